#include "engine/network/dns/name_table.hpp"

#include <gtest/gtest.h>

namespace lab::engine::network::dns {
namespace {

Endpoint endpoint(const std::string& network, const std::string& ipv4,
                  std::vector<std::string> names) {
  Endpoint made;
  made.id = network + ipv4;
  made.network_id = "id-of-" + network;
  made.network_name = network;
  made.serves_names = true;
  made.address = parse_address(ipv4);
  made.names = std::move(names);
  return made;
}

std::vector<std::string> found(const NameTable& table, const std::vector<Endpoint>& asker,
                               std::string_view name) {
  std::vector<std::string> texts;
  for (const IpAddress& address : table.resolve(asker, name, false).addresses)
    texts.push_back(address.to_string());
  std::sort(texts.begin(), texts.end());
  return texts;
}

using Texts = std::vector<std::string>;

TEST(NameTable, KnowsNamesOnTheNetworksOfTheAsker) {
  NameTable table;
  Endpoint web = endpoint("front", "10.1.0.2", {"web", "0123456789ab"});
  Endpoint other = endpoint("back", "10.2.0.2", {"db"});
  table.add(web);
  table.add(other);
  EXPECT_EQ(found(table, {web}, "web"), Texts{"10.1.0.2"});
  EXPECT_EQ(found(table, {web}, "0123456789ab"), Texts{"10.1.0.2"});
  EXPECT_EQ(found(table, {web}, "db"), Texts{});
  EXPECT_FALSE(table.resolve({web}, "db", false).known);
  EXPECT_EQ(found(table, {web, other}, "db"), Texts{"10.2.0.2"});
  table.remove(web);
  EXPECT_EQ(found(table, {web}, "web"), Texts{});
}

TEST(NameTable, NameOfTheNetworkMayFollow) {
  NameTable table;
  Endpoint web = endpoint("my.net", "10.1.0.2", {"a.b"});
  table.add(web);
  EXPECT_EQ(found(table, {web}, "a.b.my.net"), Texts{"10.1.0.2"});
  EXPECT_EQ(found(table, {web}, "a.b.net"), Texts{});
  EXPECT_EQ(found(table, {web}, "a.b"), Texts{"10.1.0.2"});
}

TEST(NameTable, SharedAliasGivesAllWhoHaveIt) {
  NameTable table;
  Endpoint one = endpoint("net", "10.1.0.2", {"One", "app"});
  Endpoint two = endpoint("net", "10.1.0.3", {"two", "app"});
  table.add(one);
  table.add(two);
  EXPECT_EQ(found(table, {one}, "app"), (Texts{"10.1.0.2", "10.1.0.3"}));
  EXPECT_EQ(found(table, {two}, "one"), Texts{"10.1.0.2"});
}

TEST(NameTable, LinksAreTheAskersOwnAndComeFirst) {
  NameTable table;
  Endpoint db = endpoint("net", "10.1.0.2", {"storage"});
  Endpoint fake = endpoint("net", "10.1.0.9", {"db"});
  Endpoint asker = endpoint("net", "10.1.0.3", {"asker"});
  asker.links["db"] = "storage";
  for (const Endpoint& one : {db, fake, asker}) table.add(one);
  EXPECT_EQ(found(table, {asker}, "db"), Texts{"10.1.0.2"});
  EXPECT_EQ(found(table, {fake}, "db"), Texts{"10.1.0.9"});
}

TEST(NameTable, NameWithoutAnAddressOfTheFamilyIsKnown) {
  NameTable table;
  Endpoint web = endpoint("net", "10.1.0.2", {"web"});
  table.add(web);
  NameTable::Found six = table.resolve({web}, "web", true);
  EXPECT_TRUE(six.known);
  EXPECT_TRUE(six.addresses.empty());
}

TEST(NameTable, AddressesHaveTheFirstName) {
  NameTable table;
  Endpoint web = endpoint("net", "10.1.0.2", {"web", "alias"});
  table.add(web);
  EXPECT_EQ(table.reverse({web}, *parse_address("10.1.0.2")), "web.net");
  EXPECT_EQ(table.reverse({web}, *parse_address("10.1.0.3")), "");
  EXPECT_EQ(table.reverse({endpoint("far", "10.9.0.1", {})}, *parse_address("10.1.0.2")), "");
}

}  // namespace
}  // namespace lab::engine::network::dns
