#include "netsim/daemon_config.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/file.hpp"

namespace lab::netsim {
namespace {

constexpr const char* good = R"({
  "lab": "demo", "control_socket": "/tmp/labd.sock", "subnet": "192.168.50.0/24",
  "mirror": {"address": "127.0.0.1", "port": 5001, "catalogue": "/tmp/catalogue"},
  "ports": [
    {"machine": "vm1", "mac": "52:54:00:00:00:01", "address": "192.168.50.4",
     "switch_port": 4001, "nic_port": 4002},
    {"machine": "vm2", "mac": "52:54:00:00:00:02", "address": "192.168.50.5",
     "switch_port": 4003, "nic_port": 4004}],
  "links": [{"from": "*", "to": "*", "delay": "1ms"},
            {"from": "vm1", "to": "vm2", "loss": "1%", "limit": 50}]})";

// The good one with one value replaced, or added.
std::string changed(const std::string& pointer, const char* value) {
  boost::json::value config = boost::json::parse(good);
  const std::size_t slash = pointer.rfind('/');
  const std::string key = pointer.substr(slash + 1);
  boost::json::value& parent = config.at_pointer(pointer.substr(0, slash));
  if (parent.is_array()) {
    parent.as_array().at(std::stoul(key)) = boost::json::parse(value);
  } else {
    parent.as_object()[key] = boost::json::parse(value);
  }
  return boost::json::serialize(config);
}

TEST(DaemonConfig, ReadsWhatLabUpWrites) {
  const auto config = parse_daemon_config(good);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->lab, "demo");
  EXPECT_EQ(config->mirror->port, 5001);
  ASSERT_EQ(config->ports.size(), 2U);
  EXPECT_EQ(config->ports[1].machine, "vm2");
  EXPECT_EQ(config->ports[1].nic_port, 4004);
  ASSERT_EQ(config->links.size(), 2U);
  EXPECT_EQ(config->links[1].quality.at("limit").as_string(), "50");
}

TEST(DaemonConfig, ALinkThatSetsNothingIsNoMistake) {
  EXPECT_TRUE(parse_daemon_config(changed("/links", R"([{"from":"vm1","to":"*"}])")));
}

TEST(DaemonConfig, EveryErrorNamesKeyAndValue) {
  const std::vector<std::array<const char*, 3>> cases{
      {"/lab", "7", "lab is 7, not a string"},
      {"/lab", "\"\"", "lab is \"\", not a string"},
      {"/mirror/port", "70000", "mirror.port is 70000, not a port number, 0 to 65535"},
      {"/mirror/address", "\"localhost\"", "mirror.address is \"localhost\", not an IPv4 address"},
      {"/ports", "{}", "ports is {}, not an array"},
      {"/ports/0", "3", "ports[0] is 3, not an object"},
      {"/ports/0/mac", "\"52:54\"",
       "ports[0].mac is \"52:54\", not an address like 52:54:00:12:34:56"},
      {"/ports/1/switch_port", "0", "ports[1].switch_port is 0, not a port number, 1 to 65535"},
      {"/ports/1/switch_port", "4001", "ports[1].switch_port is 4001, as is ports[0].switch_port"},
      {"/ports/1/nic_port", "4001", "ports[1].nic_port is 4001, as is ports[0].switch_port"},
      {"/ports/1/machine", "\"vm1\"", "ports[1].machine is \"vm1\", as is ports[0].machine"},
      {"/links/1/to", "\"vm7\"", "links[1].to is \"vm7\", but no entry of ports has that machine"},
      {"/links/1/to", "\"vm1\"", "links[1]: from and to are both \"vm1\""},
      {"/links/1/loss", "\"1\"",
       "links[1]: loss: \"1\" is not a probability: write a number and %, like \"1%\""},
      {"/links/1/loss", "1", "links[1]: loss: 1 is not a string"},
      {"/links/1/latency", "\"1ms\"", "links[1].latency is not a known key (its value is \"1ms\")"},
      {"/color", "\"red\"", "color is not a known key (its value is \"red\")"},
  };
  for (const auto& [pointer, value, message] : cases) {
    const auto config = parse_daemon_config(changed(pointer, value));
    ASSERT_FALSE(config) << pointer;
    EXPECT_EQ(config.error().message, message);
    EXPECT_EQ(config.error().code, Code::invalid_argument);
  }
  EXPECT_EQ(parse_daemon_config("{}").error().message, "lab is missing");
  EXPECT_EQ(parse_daemon_config("[1]").error().message, "the root is [1], not an object");
  EXPECT_EQ(parse_daemon_config("{\"lab\":").error().message.find("not JSON: "), 0U);
}

TEST(DaemonConfig, NoPrefixOfAConfigurationIsTakenForAWholeOne) {
  const std::string text = good;
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(parse_daemon_config(std::string_view(text).substr(0, length))) << length;
  }
}

TEST(DaemonConfig, TheErrorOfAFileBeginsWithItsPath) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "labd.json";
  ASSERT_TRUE(write_file(path, "{}"));
  EXPECT_EQ(read_daemon_config(path).error().message, path.string() + ": lab is missing");
  EXPECT_EQ(read_daemon_config(directory.path() / "none").error().code, Code::not_found);
}

}  // namespace
}  // namespace lab::netsim
