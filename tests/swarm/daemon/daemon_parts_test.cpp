#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.hpp"
#include "base/x509.hpp"
#include "swarm/daemon/addresses.hpp"
#include "swarm/daemon/description.hpp"
#include "swarm/daemon/state_files.hpp"

namespace lab::swarm::daemon {
namespace {

using namespace std::chrono_literals;

const std::vector<InterfaceAddress> one_way = {
    {.interface = "lo", .address = "127.0.0.1", .loopback = true},
    {.interface = "eth0", .address = "192.168.50.4"},
    {.interface = "eth0", .address = "fe80::1", .ipv6 = true},
    {.interface = "docker0", .address = "172.17.0.1"}};
const std::vector<InterfaceAddress> two_ways = {{.interface = "eth0", .address = "10.0.2.15"},
                                                {.interface = "eth1", .address = "192.168.50.4"}};

TEST(Addresses, ListenAddressMayBeAnInterfaceAndLackItsPort) {
  EXPECT_EQ(resolve_listen_address("0.0.0.0:2377", 2377, one_way).value(), "0.0.0.0:2377");
  EXPECT_EQ(resolve_listen_address("eth0", 2377, one_way).value(), "192.168.50.4:2377");
  EXPECT_EQ(resolve_listen_address("eth0:2400", 2377, one_way).value(), "192.168.50.4:2400");
  EXPECT_EQ(resolve_listen_address("::", 2377, one_way).value(), "[::]:2377");
  EXPECT_EQ(resolve_listen_address("", 2377, one_way).error().message,
            "invalid ListenAddr \"\": invalid empty address");
  EXPECT_FALSE(resolve_listen_address("nosuchif", 2377, one_way));
}

TEST(Addresses, AdvertisedIsWhatIsAskedForOrTheOnlyOne) {
  EXPECT_EQ(resolve_advertise_address("", "0.0.0.0:2377", one_way).value(), "192.168.50.4:2377");
  EXPECT_EQ(resolve_advertise_address("", "10.0.0.9:2377", two_ways).value(), "10.0.0.9:2377");
  EXPECT_EQ(resolve_advertise_address("eth1", "0.0.0.0:2377", two_ways).value(),
            "192.168.50.4:2377");
  EXPECT_EQ(resolve_advertise_address("192.168.50.4:2400", "0.0.0.0:2377", two_ways).value(),
            "192.168.50.4:2400");
  EXPECT_EQ(resolve_advertise_address("1.2.3.4", "0.0.0.0:2377", one_way).value(), "1.2.3.4:2377");
}

TEST(Addresses, WhatCannotBeDecidedIsAnErrorInDockersWords) {
  EXPECT_EQ(resolve_advertise_address("", "0.0.0.0:2377", two_ways).error().message,
            "could not choose an IP address to advertise since this system has multiple addresses "
            "on different interfaces (10.0.2.15 on eth0 and 192.168.50.4 on eth1) - specify one "
            "with --advertise-addr");
  EXPECT_EQ(resolve_advertise_address("nosuchif", "0.0.0.0:2377", two_ways).error().message,
            "advertise address must be a non-zero IP address or network interface (with optional "
            "port number)");
  EXPECT_EQ(resolve_advertise_address("1.2.3.4", "0.0.0.0:2377", two_ways)
                .error()
                .message.find("must specify a listening address"),
            0U);
  EXPECT_FALSE(resolve_advertise_address("0.0.0.0", "0.0.0.0:2377", one_way));
}

TEST(Addresses, TowardsLoopbackIsLoopback) {
  EXPECT_EQ(address_towards("127.0.0.1:2377").value(), "127.0.0.1");
}

TEST(Description, TakesTheEnginesWordOverTheKernels) {
  proto::NodeDescription machine = describe_machine();
  EXPECT_EQ(machine.os(), "linux");
  EXPECT_GT(machine.memory_bytes(), 0);
  proto::NodeDescription described =
      add_engine_info(machine,
                      R"({"ServerVersion":"0.1.0","Name":"vm1","NCPU":3,"MemTotal":4096,)"
                      R"("Labels":["disk=ssd","fast"],"Plugins":{"Volume":["local"],"Log":null}})")
          .value();
  EXPECT_EQ(described.engine_version(), "0.1.0");
  EXPECT_EQ(described.hostname(), "vm1");
  EXPECT_EQ(described.nano_cpus(), 3'000'000'000);
  EXPECT_EQ(described.memory_bytes(), 4096);
  EXPECT_EQ(described.engine_labels().at("disk"), "ssd");
  EXPECT_EQ(described.engine_labels().at("fast"), "");
  ASSERT_EQ(described.plugins_size(), 1);
  EXPECT_FALSE(add_engine_info(machine, "[]"));
}

TEST(StateFiles, HoldWhatWasSavedAndNothingAfterRemoval) {
  TemporaryDirectory folder;
  StateFiles files(folder.path() / "swarmd");
  ASSERT_TRUE(files.make_folder());
  EXPECT_FALSE(files.load_state().value());
  EXPECT_FALSE(files.load_identity().value());
  EXPECT_EQ(files.load_listen_address().value(), "");

  proto::LocalState state;
  state.set_node_id("n");
  state.set_raft_id(7);
  ASSERT_TRUE(files.save_state(state));
  EXPECT_EQ(files.load_state().value()->raft_id(), 7U);
  ASSERT_TRUE(files.remove_state());
  ASSERT_TRUE(files.remove_state());
  EXPECT_FALSE(files.load_state().value());

  ASSERT_TRUE(write_file(folder.path() / "swarmd" / "state", "\x08\x63"));
  EXPECT_FALSE(files.load_state());
}

TEST(StateFiles, TheKeyIsReadableByItsOwnerOnly) {
  TemporaryDirectory folder;
  StateFiles files(folder.path());
  WallTime now = SystemClock().wall_now();
  proto::Cluster cluster;
  cluster.set_id("c");
  *cluster.mutable_root_ca() = ca::make_root(now).value();
  ca::Identity identity;
  identity.key_pem = x509::generate_key().value();
  identity.root_certificate_pem = cluster.root_ca().certificate_pem();
  ca::CertificateSigner signer;
  identity.certificate_pem = signer
                                 .issue(cluster, x509::create_request(identity.key_pem, {}).value(),
                                        "n", proto::ROLE_WORKER, now)
                                 .value()
                                 .certificate_pem;
  ASSERT_TRUE(files.save_identity(identity));
  auto mode = std::filesystem::status(folder.path() / "identity.pem").permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(files.load_identity().value()->key_pem, identity.key_pem);
}

}  // namespace
}  // namespace lab::swarm::daemon
