#include "vm/port_relay.hpp"

#include <gtest/gtest.h>

namespace lab::vm {
namespace {

TEST(PortRelay, ReadsTheListeningRelaysOfInfoUsernet) {
  const std::string listed =
      "Hub -1 (mgmt):\r\n"
      "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
      "  TCP[HOST_FORWARD]  30  127.140.88.120 24760       10.0.2.15    81     0     0\r\n"
      "  TCP[ESTABLISHED]   33  127.140.88.120 24760       10.0.2.15    81     0     0\r\n"
      "  UDP[7 sec]         31       10.0.2.15 44321        10.0.2.3    53     0     0\r\n"
      "  TCP[HOST_FORWARD]  13       127.0.0.1 24070       10.0.2.15    22     0     0\r\n";
  const std::vector<PortRelay> expected{{"127.140.88.120", 24760, 81}, {"127.0.0.1", 24070, 22}};
  EXPECT_EQ(parse_relays(listed), expected);
  EXPECT_TRUE(parse_relays("").empty());
}

TEST(PortRelay, AMachineHasALoopbackAddressOfItsOwn) {
  const std::string address = relay_address({"demo-123456", "vm1"});
  EXPECT_EQ(address, relay_address({"demo-123456", "vm1"}));
  EXPECT_NE(address, relay_address({"demo-123456", "vm2"}));
  EXPECT_NE(address, relay_address({"demo-123457", "vm1"}));
  EXPECT_TRUE(address.starts_with("127."));
  EXPECT_FALSE(address.starts_with("127.0."));
}

TEST(PortRelay, SaysItInTheMonitorsWords) {
  const PortRelay relay{"127.70.1.2", 21000, 80};
  EXPECT_EQ(add_relay_command(relay), "hostfwd_add mgmt tcp:127.70.1.2:21000-:80");
  EXPECT_EQ(remove_relay_command(relay), "hostfwd_remove mgmt tcp:127.70.1.2:21000");
}

}  // namespace
}  // namespace lab::vm
