#include <gtest/gtest.h>

#include "engine/network/address.hpp"
#include "engine/network/firewall.hpp"
#include "engine/network/network.hpp"
#include "engine/network/ports.hpp"

namespace lab::engine::network {
namespace {

IpAddress address(std::string_view text) { return parse_address(text).value(); }
Subnet subnet(std::string_view text) { return Subnet::parse(text).value(); }

TEST(Subnet, ClearsHostBitsAndRefusesWhatIsNone) {
  EXPECT_EQ(subnet("172.17.5.2/16").text(), "172.17.0.0/16");
  EXPECT_EQ(subnet("fd00:1::5/64").text(), "fd00:1::/64");
  for (const char* text : {"", "bad", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x",
                           "fd00::/129", "10.0.0/8"})
    EXPECT_FALSE(Subnet::parse(text)) << text;
  EXPECT_EQ(Subnet::parse("bad").error().message, "invalid CIDR address: bad");
}

TEST(Subnet, KnowsWhatItContainsAndOverlaps) {
  EXPECT_TRUE(subnet("10.9.0.0/24").contains(address("10.9.0.200")));
  EXPECT_FALSE(subnet("10.9.0.0/24").contains(address("10.9.1.0")));
  EXPECT_FALSE(subnet("10.9.0.0/24").contains(address("fd00::1")));
  EXPECT_TRUE(subnet("10.9.0.0/16").overlaps(subnet("10.9.7.0/24")));
  EXPECT_TRUE(subnet("10.9.7.0/24").overlaps(subnet("10.9.0.0/16")));
  EXPECT_FALSE(subnet("10.9.0.0/25").overlaps(subnet("10.9.0.128/25")));
  EXPECT_EQ(subnet("fd00::/64").at(257).to_string(), "fd00::101");
}

TEST(Addresses, AreWrittenAndRead) {
  EXPECT_EQ(address("::ffff:10.0.0.1").to_string(), "10.0.0.1");
  EXPECT_FALSE(parse_address("10.0.0"));
  EXPECT_FALSE(parse_address("fe80::1%eth0"));
  EXPECT_EQ(format_mac(mac_for(address("172.17.0.2"))), "02:42:ac:11:00:02");
  EXPECT_EQ(format_mac(parse_mac("02:42:AC:11:00:02").value()), "02:42:ac:11:00:02");
  EXPECT_FALSE(parse_mac("02:42:ac:11:00"));
  EXPECT_EQ(parse_mac("zz").error().message, "address zz: invalid MAC address");
}

TEST(AddressPool, GivesTheLowestFreeAndTheOnesThatAreAskedFor) {
  AddressPool pool(subnet("10.1.0.0/29"));
  EXPECT_EQ(pool.take_any()->to_string(), "10.1.0.1");
  EXPECT_TRUE(pool.take(address("10.1.0.3")));
  EXPECT_EQ(pool.take_any()->to_string(), "10.1.0.2");
  EXPECT_EQ(pool.take_any()->to_string(), "10.1.0.4");
  EXPECT_EQ(pool.take(address("10.1.0.4")).error().message, "Address already in use");
  EXPECT_EQ(pool.take(address("10.1.0.7")).error().message, "Requested address is out of range");
  pool.give_back(address("10.1.0.2"));
  EXPECT_EQ(pool.take_any()->to_string(), "10.1.0.2");
  EXPECT_TRUE(pool.take_any());
  EXPECT_TRUE(pool.take_any());
  EXPECT_EQ(pool.take_any().error().message, "No available addresses on this pool");
}

TEST(AddressPool, KeepsToItsRange) {
  AddressPool pool(subnet("10.1.0.0/24"), subnet("10.1.0.128/30"));
  EXPECT_EQ(pool.take_any()->to_string(), "10.1.0.128");
  EXPECT_TRUE(pool.take(address("10.1.0.9")));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pool.take_any());
  EXPECT_FALSE(pool.take_any());
  AddressPool six(subnet("fd00::/64"));
  EXPECT_EQ(six.take_any()->to_string(), "fd00::1");
}

TEST(AddressPool, SubnetsOfTheDefaultPoolsAvoidWhatIsTaken) {
  std::vector<Subnet> taken{subnet("172.17.0.0/16"), subnet("172.18.4.0/24")};
  EXPECT_EQ(free_subnet(docker_default_pools(), taken)->text(), "172.19.0.0/16");
  taken.push_back(subnet("172.16.0.0/12"));
  EXPECT_EQ(free_subnet(docker_default_pools(), taken)->text(), "192.168.0.0/20");
  taken.push_back(subnet("192.168.0.0/20"));
  EXPECT_EQ(free_subnet(docker_default_pools(), taken)->text(), "192.168.16.0/20");
  taken.push_back(subnet("0.0.0.0/0"));
  EXPECT_FALSE(free_subnet(docker_default_pools(), taken));
}

PortMapping mapping(std::string_view protocol, std::string_view host, std::uint16_t host_port,
                    std::string_view container, std::uint16_t container_port) {
  PortMapping port;
  port.protocol = protocol;
  port.host_address = address(host);
  port.host_port = host_port;
  port.container_address = address(container);
  port.container_port = container_port;
  return port;
}

TEST(Firewall, PublishedPortsAreElementsOfMaps) {
  FirewallBridge bridge{"docker0", {subnet("172.17.0.0/16")}, true, true, false};
  std::string text = ruleset({bridge}, {mapping("tcp", "0.0.0.0", 8080, "172.17.0.2", 80),
                                        mapping("udp", "10.0.0.1", 5353, "172.17.0.3", 53),
                                        mapping("tcp", "::", 8080, "fd00::2", 80),
                                        mapping("tcp", "::", 8081, "172.17.0.2", 80)});
  EXPECT_TRUE(text.starts_with("table inet engined {}\ndelete table inet engined\n"));
  EXPECT_NE(text.find("engined any4 { tcp . 8080 : 172.17.0.2 . 80 }\n"), std::string::npos);
  EXPECT_NE(text.find("engined address4 { udp . 10.0.0.1 . 5353 : 172.17.0.3 . 53 }\n"),
            std::string::npos);
  EXPECT_NE(text.find("engined any6 { tcp . 8080 : fd00::2 . 80 }\n"), std::string::npos);
  // From IPv6 to IPv4 is no translation of addresses.
  EXPECT_EQ(text.find("8081"), std::string::npos);
}

TEST(Firewall, BridgesAreMasqueradedOpenOrInternal) {
  FirewallBridge open{"br-a", {subnet("10.1.0.0/24"), subnet("fd00::/64")}, true, true, false};
  FirewallBridge closed{"br-b", {subnet("10.2.0.0/24")}, false, false, true};
  std::string text = ruleset({open, closed}, {});
  EXPECT_NE(text.find("ip saddr 10.1.0.0/24 oifname != \"br-a\" masquerade"), std::string::npos);
  EXPECT_NE(text.find("ip6 saddr fd00::/64 oifname != \"br-a\" masquerade"), std::string::npos);
  EXPECT_EQ(text.find("ip saddr 10.2.0.0/24 oifname != \"br-b\" masquerade"), std::string::npos);
  EXPECT_NE(text.find("set bridges { type ifname; elements = { \"br-a\", \"br-b\" } }"),
            std::string::npos);
  EXPECT_NE(text.find("set internal { type ifname; elements = { \"br-b\" } }"), std::string::npos);
  EXPECT_NE(text.find("set open { type ifname . ifname; elements = { \"br-a\" . \"br-a\" } }"),
            std::string::npos);
}

TEST(Ports, AreTakenOnceAndGivenBack) {
  PortRegistry ports;
  IpAddress loopback = address("127.0.0.1");
  std::uint16_t port = *ports.take_any("tcp", loopback, 0, 0);
  Result<void> again = ports.take("tcp", loopback, port);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message,
            fmt::format("Bind for 127.0.0.1:{} failed: port is already allocated", port));
  EXPECT_FALSE(ports.take("tcp", address("0.0.0.0"), port));
  EXPECT_TRUE(ports.take("udp", loopback, port));
  EXPECT_TRUE(ports.socket_of("tcp", loopback, port));
  ports.give_back("tcp", loopback, port);
  EXPECT_FALSE(ports.socket_of("tcp", loopback, port));
  EXPECT_TRUE(ports.take("tcp", loopback, port));
}

TEST(Ports, OfAnotherProgramAreRefused) {
  PortRegistry ours;
  PortRegistry theirs;
  std::uint16_t port = *theirs.take_any("udp", address("127.0.0.1"), 0, 0);
  Result<void> taken = ours.take("udp", address("127.0.0.1"), port);
  ASSERT_FALSE(taken);
  EXPECT_NE(taken.error().message.find("bind: address already in use"), std::string::npos);
}

Endpoint endpoint(const std::string& name, const std::string& ipv4) {
  Endpoint made;
  made.id = "id-" + name;
  made.network_id = "net-" + name;
  made.network_name = name;
  made.address = address(ipv4);
  made.gateway = address("10.0.0.1");
  made.prefix = 24;
  made.mac = mac_for(*made.address);
  made.names = {"web", "alias"};
  made.links = {{"db", "storage"}};
  return made;
}

TEST(Sandbox, SurvivesItsDocument) {
  Sandbox sandbox;
  sandbox.id = "s";
  sandbox.key = "/run/x";
  sandbox.endpoints.push_back(endpoint("one", "10.0.0.2"));
  sandbox.endpoints.front().address6 = address("fd00::2");
  sandbox.ports.push_back(mapping("tcp", "::", 8080, "fd00::2", 80));
  sandbox.name_servers = {"10.0.2.3"};
  EXPECT_EQ(to_document(sandbox_from_document(to_document(sandbox))), to_document(sandbox));
}

TEST(Sandbox, LeavesThroughTheFirstNetworkByNameThatIsNotInternal) {
  Sandbox sandbox;
  EXPECT_EQ(sandbox.gateway(), nullptr);
  sandbox.endpoints = {endpoint("zoo", "10.0.0.2"), endpoint("mid", "10.1.0.2"),
                       endpoint("all", "10.2.0.2")};
  sandbox.endpoints[2].internal = true;
  EXPECT_EQ(sandbox.gateway()->network_name, "mid");
}

TEST(Network, SurvivesItsDocument) {
  Network network;
  network.id = "n";
  network.name = "mine";
  network.driver = "bridge";
  IpamConfig ipam;
  ipam.subnet = subnet("10.9.0.0/24");
  ipam.range = subnet("10.9.0.128/25");
  ipam.gateway = address("10.9.0.5");
  ipam.auxiliary["router"] = address("10.9.0.129");
  ipam.subnet_given = true;
  network.ipam.push_back(ipam);
  network.labels["k"] = "v";
  EXPECT_EQ(to_document(network_from_document(to_document(network)).value()), to_document(network));
  EXPECT_FALSE(ipam_settings(ipam).contains("Gateway"));
  ipam.gateway_given = true;
  EXPECT_EQ(ipam_settings(ipam).at("Gateway"), "10.9.0.5");
}

}  // namespace
}  // namespace lab::engine::network
