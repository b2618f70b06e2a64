#include <gtest/gtest.h>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "engine/network/networks.hpp"
#include "engine/network/ports.hpp"

namespace lab::engine::network {
namespace {

TEST(Ipv4, IsWrittenAndRead) {
  EXPECT_EQ(format_ipv4(0xac110002), "172.17.0.2");
  EXPECT_EQ(*parse_ipv4("172.17.0.2"), 0xac110002U);
  EXPECT_FALSE(parse_ipv4("172.17.0"));
  EXPECT_FALSE(parse_ipv4("::1"));
}

TEST(Nat, PublishedPortsAreElementsOfMaps) {
  PortMapping any{"tcp", 80, 0xac110002, 0, 8080};
  PortMapping one{"udp", 53, 0xac110003, 0x0a000001, 5353};
  NatBridge bridge{"docker0", "172.17.0.0/16", true};
  std::string text = nat_ruleset({bridge}, {any, one});
  EXPECT_TRUE(text.starts_with("table ip engined {}\ndelete table ip engined\n"));
  EXPECT_NE(text.find("add element ip engined tcp_any { 8080 : 172.17.0.2 . 80 }\n"),
            std::string::npos);
  EXPECT_NE(text.find("add element ip engined udp_address { 10.0.0.1 . 5353 : 172.17.0.3 . 53 }\n"),
            std::string::npos);
  EXPECT_NE(text.find("ip saddr 172.17.0.0/16 oifname != \"docker0\" masquerade"),
            std::string::npos);
}

TEST(Ports, AreTakenOnceAndGivenBack) {
  PortRegistry ports;
  std::uint16_t port = *ports.take_any("tcp", 0x7f000001, 0, 0);
  Result<void> again = ports.take("tcp", 0x7f000001, port);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message,
            fmt::format("Bind for 127.0.0.1:{} failed: port is already allocated", port));
  EXPECT_FALSE(ports.take("tcp", 0, port));
  EXPECT_TRUE(ports.take("udp", 0x7f000001, port));
  ports.give_back("tcp", 0x7f000001, port);
  EXPECT_TRUE(ports.take("tcp", 0x7f000001, port));
}

TEST(Ports, OfAnotherProgramAreRefused) {
  PortRegistry ours;
  PortRegistry theirs;
  std::uint16_t port = *theirs.take_any("tcp", 0x7f000001, 0, 0);
  Result<void> taken = ours.take("tcp", 0x7f000001, port);
  ASSERT_FALSE(taken);
  EXPECT_NE(taken.error().message.find("bind: address already in use"), std::string::npos);
}

TEST(Sandbox, SurvivesItsDocument) {
  Sandbox sandbox;
  sandbox.id = "s";
  sandbox.key = "/run/x";
  Endpoint endpoint;
  endpoint.id = "e";
  endpoint.network_name = "bridge";
  endpoint.host_interface = "veth1";
  endpoint.address = 0xac110002;
  endpoint.prefix = 16;
  endpoint.mac = {2, 0x42, 0xac, 0x11, 0, 2};
  sandbox.endpoints.push_back(endpoint);
  sandbox.ports.push_back(PortMapping{"tcp", 80, 0xac110002, 0, 8080});
  EXPECT_EQ(to_json(sandbox_from_json(to_json(sandbox))), to_json(sandbox));
  EXPECT_EQ(endpoint_settings(endpoint).at("MacAddress"), "02:42:ac:11:00:02");
}

}  // namespace
}  // namespace lab::engine::network
