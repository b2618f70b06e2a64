#include "swarm/transport/peer_transport.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "base/x509.hpp"

namespace lab::swarm::transport {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

struct Swarm {
  Swarm() {
    cluster.set_id("u2ch6zhaw4snxwsdpkrk4y2e2");
    *cluster.mutable_root_ca() = ca::make_root(SystemClock().wall_now()).value();
  }
  ca::Identity node(const std::string& id, proto::Role role) {
    ca::Identity identity;
    identity.key_pem = x509::generate_key().value();
    std::string request = x509::create_request(identity.key_pem, {}).value();
    identity.certificate_pem =
        signer.issue(cluster, request, id, role, SystemClock().wall_now()).value().certificate_pem;
    identity.root_certificate_pem = cluster.root_ca().certificate_pem();
    return identity;
  }
  ca::JoinToken token() {
    return ca::parse_join_token(cluster.root_ca().join_tokens().worker()).value();
  }
  proto::Cluster cluster;
  ca::CertificateSigner signer;
};

struct Peer {
  explicit Peer(asio::io_context& io)
      : transport(io.get_executor(), clock,
                  {.received =
                       [this](Endpoint from, proto::Envelope message) {
                         senders.push_back(from);
                         messages.push_back(std::move(message));
                       },
                   .admitted = [this](const std::string& id) { return !removed.contains(id); },
                   .failed = [this](const std::string&,
                                    const Error& error) { failures.push_back(error.message); }}) {}
  void be(const ca::Identity& identity) {
    ASSERT_TRUE(transport.set_identity(identity));
    address = fmt::format("127.0.0.1:{}", transport.listen("127.0.0.1", 0).value());
  }
  SystemClock clock;
  std::set<std::string> removed;
  std::vector<Endpoint> senders;
  std::vector<proto::Envelope> messages;
  std::vector<std::string> failures;
  std::string address;
  PeerTransport transport;
};

proto::Envelope text(const std::string& words) {
  proto::Envelope envelope;
  envelope.mutable_session_close()->set_reason(words);
  return envelope;
}

// A manager "m" and a worker "w" of one swarm.
class PeerTransportTest : public testing::Test {
 protected:
  void SetUp() override {
    manager.be(swarm.node("m", proto::ROLE_MANAGER));
    worker.be(swarm.node("w", proto::ROLE_WORKER));
  }
  template <typename Condition>
  bool run_until(Condition condition, std::chrono::milliseconds limit = 5s) {
    TimePoint end = SystemClock().now() + limit;
    while (!condition() && SystemClock().now() < end) {
      io.restart();
      io.run_one_for(10ms);
    }
    return condition();
  }

  asio::io_context io;
  Swarm swarm;
  Peer manager{io};
  Peer worker{io};
};

TEST_F(PeerTransportTest, MessagesArriveWithTheIdentityOfTheSendersCertificate) {
  worker.transport.send({.node_id = "m", .address = manager.address}, text("hello"));
  ASSERT_TRUE(run_until([&] { return !manager.messages.empty(); }));
  EXPECT_EQ(manager.messages[0].session_close().reason(), "hello");
  EXPECT_EQ(manager.senders[0].node_id, "w");
  EXPECT_EQ(manager.senders[0].role, proto::ROLE_WORKER);
}

TEST_F(PeerTransportTest, TheAnswerTakesTheSameConnectionInOrder) {
  worker.transport.send({.address = manager.address}, text("hello"));
  ASSERT_TRUE(run_until([&] { return !manager.messages.empty(); }));
  for (int i = 0; i < 100; ++i)
    manager.transport.send({.node_id = "w"}, text(fmt::format("{}", i)));
  ASSERT_TRUE(run_until([&] { return worker.messages.size() == 100; }));
  for (std::size_t i = 0; i < 100; ++i)
    EXPECT_EQ(worker.messages[i].session_close().reason(), fmt::format("{}", i));
  EXPECT_EQ(worker.senders[0].node_id, "m");
  EXPECT_EQ(worker.senders[0].role, proto::ROLE_MANAGER);
}

TEST_F(PeerTransportTest, AMessageOfMegabytesArrivesWhole) {
  std::string words(std::size_t{3} << 20, 'x');
  worker.transport.send({.address = manager.address}, text(words));
  ASSERT_TRUE(run_until([&] { return !manager.messages.empty(); }));
  EXPECT_EQ(manager.messages[0].session_close().reason(), words);
}

TEST_F(PeerTransportTest, AnotherNodeThanTheOneExpectedGetsNothing) {
  worker.transport.send({.node_id = "x", .address = manager.address}, text("secret"));
  ASSERT_TRUE(run_until([&] { return !worker.failures.empty(); }));
  EXPECT_NE(worker.failures[0].find("is node m, not x"), std::string::npos);
  manager.transport.send({.address = worker.address}, text("secret"));
  ASSERT_TRUE(run_until([&] { return !manager.failures.empty(); }));
  EXPECT_NE(manager.failures[0].find("is not a manager"), std::string::npos);
  EXPECT_TRUE(worker.messages.empty() && manager.messages.empty());
}

TEST_F(PeerTransportTest, ARemovedNodeIsRefused) {
  manager.removed = {"w"};
  worker.transport.send({.node_id = "m", .address = manager.address}, text("hello"));
  EXPECT_FALSE(run_until([&] { return !manager.messages.empty(); }, 300ms));
  manager.removed.clear();
  worker.transport.send({.node_id = "m", .address = manager.address}, text("hello"));
  EXPECT_TRUE(run_until([&] { return !manager.messages.empty(); }));
}

TEST_F(PeerTransportTest, ANodeOfAnotherSwarmIsRefused) {
  Swarm other;  // the same swarm id, another root
  Peer stranger(io);
  stranger.be(other.node("w", proto::ROLE_MANAGER));
  stranger.transport.send({.address = manager.address}, text("hello"));
  ASSERT_TRUE(run_until([&] { return !stranger.failures.empty(); }));
  EXPECT_NE(stranger.failures[0].find("certificate refused"), std::string::npos)
      << stranger.failures[0];
  manager.transport.send({.address = stranger.address}, text("hello"));
  ASSERT_TRUE(run_until([&] { return !manager.failures.empty(); }));
  EXPECT_TRUE(manager.messages.empty() && stranger.messages.empty());
}

TEST_F(PeerTransportTest, DisconnectingEndsTheConnectionsAndTheNextMessageDialsAgain) {
  worker.transport.send({.address = manager.address}, text("one"));
  ASSERT_TRUE(run_until([&] { return manager.messages.size() == 1; }));
  std::uint64_t first = manager.senders[0].connection;
  manager.transport.disconnect("w");
  manager.transport.send({.node_id = "w", .connection = first}, text("lost"));
  EXPECT_TRUE(run_until([&] {
    worker.transport.send({.address = manager.address}, text("two"));
    return manager.messages.size() >= 2;
  }));
  EXPECT_NE(manager.senders.back().connection, first);
  EXPECT_TRUE(worker.messages.empty());
}

TEST_F(PeerTransportTest, ANewRoleIsSeenAfterTheIdentityChanged) {
  worker.transport.send({.node_id = "m", .address = manager.address}, text("one"));
  ASSERT_TRUE(run_until([&] { return manager.messages.size() == 1; }));
  ASSERT_TRUE(worker.transport.set_identity(swarm.node("w", proto::ROLE_MANAGER)));
  worker.transport.send({.node_id = "m", .address = manager.address}, text("two"));
  ASSERT_TRUE(run_until([&] { return manager.messages.size() == 2; }));
  EXPECT_EQ(manager.senders[1].role, proto::ROLE_MANAGER);
}

TEST_F(PeerTransportTest, ANewNodeSpeaksToAManagerThatItsTokenPins) {
  Peer joining(io);
  joining.transport.set_pin(swarm.token());
  joining.transport.send({.address = manager.address}, text("let me in"));
  ASSERT_TRUE(run_until([&] { return !manager.messages.empty(); }));
  EXPECT_EQ(manager.senders[0].node_id, "");
  manager.transport.send({.connection = manager.senders[0].connection}, text("welcome"));
  ASSERT_TRUE(run_until([&] { return !joining.messages.empty(); }));
  EXPECT_EQ(joining.senders[0].node_id, "m");
}

TEST_F(PeerTransportTest, ANewNodeSaysNothingToASwarmThatItsTokenDoesNotPin) {
  Swarm other;
  Peer joining(io);
  joining.transport.set_pin(other.token());
  joining.transport.send({.address = manager.address}, text("secret"));
  ASSERT_TRUE(run_until([&] { return !joining.failures.empty(); }));
  EXPECT_EQ(joining.failures[0].find("remote CA does not match fingerprint"), 0U);
  EXPECT_TRUE(manager.messages.empty());
}

TEST_F(PeerTransportTest, ANewNodeSaysNothingToAWorker) {
  Peer joining(io);
  joining.transport.set_pin(swarm.token());
  joining.transport.send({.address = worker.address}, text("secret"));
  ASSERT_TRUE(run_until([&] { return !joining.failures.empty(); }));
  EXPECT_TRUE(worker.messages.empty());
}

TEST_F(PeerTransportTest, APeerWithoutACertificateMayNotSendMuch) {
  Peer joining(io);
  joining.transport.set_pin(swarm.token());
  joining.transport.send({.address = manager.address}, text(std::string(100'000, 'x')));
  EXPECT_FALSE(run_until([&] { return !manager.messages.empty(); }, 300ms));
}

TEST_F(PeerTransportTest, WithoutIdentityOrPinNothingIsSent) {
  Peer nobody(io);
  nobody.transport.send({.address = manager.address}, text("hello"));
  EXPECT_FALSE(run_until([&] { return !manager.messages.empty(); }, 200ms));
}

TEST_F(PeerTransportTest, ARefusedDialIsReportedAndNotRepeatedAtOnce) {
  std::string gone = manager.address;
  manager.transport.stop();
  worker.transport.send({.address = gone}, text("hello"));
  ASSERT_TRUE(run_until([&] { return !worker.failures.empty(); }));
  worker.transport.send({.address = gone}, text("hello"));
  EXPECT_FALSE(run_until([&] { return worker.failures.size() > 1; }, 200ms));
}

TEST(Address, IsHostAndPort) {
  EXPECT_EQ(parse_address("10.0.0.1:2377")->port, 2377);
  EXPECT_EQ(parse_address("[fd00::1]:2377")->host, "fd00::1");
  for (const char* bad : {"", "10.0.0.1", ":2377", "a:0", "a:70000", "a:23x"})
    EXPECT_FALSE(parse_address(bad)) << bad;
}

}  // namespace
}  // namespace lab::swarm::transport
