#include <gtest/gtest.h>

#include "base/x509.hpp"
#include "swarm/ca/certificates.hpp"
#include "swarm/ca/join_token.hpp"

namespace lab::swarm::ca {
namespace {

using namespace std::chrono_literals;

// 2026-01-01T00:00:00Z
constexpr WallTime start{std::chrono::seconds(1767225600)};

// A root certificate and its token as dockerd 20.10 made them.
constexpr std::string_view docker_root =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBajCCARCgAwIBAgIUHC/QR/ShXObfYtDbU2XLbyDs22wwCgYIKoZIzj0EAwIw\n"
    "EzERMA8GA1UEAxMIc3dhcm0tY2EwHhcNMjYxMTI0MDcyMTAwWhcNNDYxMTE5MDcy\n"
    "MTAwWjATMREwDwYDVQQDEwhzd2FybS1jYTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
    "A0IABDraEQ2k4NJ5ES+dIsn9INa0G7nRdZrJD/e8XwP29opE85YxPI7/ATFie0Rg\n"
    "jIs77Vn1APSc6qT6OwMH7+N7vP6jQjBAMA4GA1UdDwEB/wQEAwIBBjAPBgNVHRMB\n"
    "Af8EBTADAQH/MB0GA1UdDgQWBBTHgy5ke//EbTdc1BUOr9JilmzoZjAKBggqhkjO\n"
    "PQQDAgNIADBFAiAzA9FWzmakKC6quN0QFaL5Uu000lhockFXr4mblOswnAIhAPP1\n"
    "yqAlDtTABMZpYBJezUo6UBGfNORfbweo1xRFpCzR\n"
    "-----END CERTIFICATE-----\n";
constexpr std::string_view docker_token =
    "SWMTKN-1-2p9kqly0xag49mv59z8ufjb1rkqlw5tyadnuy1guyxx0otoc2e-bi5xim25q0wwu46w4labh51wd";

TEST(JoinToken, OfDockerPinsDockersRoot) {
  JoinToken token = parse_join_token(docker_token).value();
  EXPECT_EQ(token.secret, "bi5xim25q0wwu46w4labh51wd");
  EXPECT_TRUE(check_root(token, docker_root));
}

TEST(JoinToken, OfAnotherRootIsRefusedInDockersWords) {
  JoinToken token = parse_join_token(docker_token).value();
  Result<void> checked = check_root(token, std::string(docker_root) + "x");
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().message.find("remote CA does not match fingerprint. Expected: "), 0U);
}

TEST(JoinToken, ComesBackFromItsTextAndIsNeverTheSameTwice) {
  std::string text = make_join_token("a root");
  EXPECT_EQ(text.size(), docker_token.size());
  EXPECT_TRUE(check_root(parse_join_token(text).value(), "a root"));
  EXPECT_NE(text, make_join_token("a root"));
}

TEST(JoinToken, WhatIsNotOneIsRefused) {
  std::string token(docker_token);
  for (std::string bad :
       {std::string(), std::string("bogus"), token + "a", token.substr(0, token.size() - 1),
        "SWMTKN-9" + token.substr(8), "SWMTKN-1-" + std::string(50, 'z') + token.substr(59)}) {
    Result<JoinToken> parsed = parse_join_token(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().message, "invalid join token");
  }
  token[12] = 'A';
  EXPECT_FALSE(parse_join_token(token));
}

struct Swarm {
  Swarm() {
    cluster.set_id("u2ch6zhaw4snxwsdpkrk4y2e2");
    *cluster.mutable_root_ca() = make_root(start).value();
  }
  Identity node(proto::Role role, WallTime now) {
    Identity identity;
    identity.key_pem = x509::generate_key().value();
    std::string request = x509::create_request(identity.key_pem, {.common_name = "me"}).value();
    identity.certificate_pem =
        signer.issue(cluster, request, "8jy6mm9yehx9jvhznbadpl1b4", role, now)
            .value()
            .certificate_pem;
    identity.root_certificate_pem = cluster.root_ca().certificate_pem();
    return identity;
  }
  proto::Cluster cluster;
  CertificateSigner signer;
};

TEST(Certificates, SayWhoTheNodeIs) {
  Swarm swarm;
  for (proto::Role role : {proto::ROLE_MANAGER, proto::ROLE_WORKER}) {
    Identity identity = swarm.node(role, start);
    NodeCertificate node = parse_node_certificate(identity.certificate_pem).value();
    EXPECT_EQ(node.node_id, "8jy6mm9yehx9jvhznbadpl1b4");
    EXPECT_EQ(node.cluster_id, "u2ch6zhaw4snxwsdpkrk4y2e2");
    EXPECT_EQ(node.role, role);
    EXPECT_EQ(node.not_after, start + 90 * 24h);
    EXPECT_TRUE(
        x509::verify_chain(identity.certificate_pem, {identity.root_certificate_pem}, start + 1h));
  }
}

TEST(Certificates, LiveAsLongAsTheClusterSaysButAnHourAtLeast) {
  Swarm swarm;
  swarm.cluster.mutable_spec()->set_node_certificate_expiry_ns(Duration(48h).count());
  Identity identity = swarm.node(proto::ROLE_WORKER, start);
  EXPECT_EQ(parse_node_certificate(identity.certificate_pem).value().not_after, start + 48h);
  swarm.cluster.mutable_spec()->set_node_certificate_expiry_ns(1);
  identity = swarm.node(proto::ROLE_WORKER, start);
  EXPECT_EQ(parse_node_certificate(identity.certificate_pem).value().not_after, start + 1h);
}

TEST(Certificates, AreRenewedBetweenHalfAndFourFifthsOfTheirLife) {
  NodeCertificate certificate{.not_before = start, .not_after = start + 100h};
  Random random(1);
  std::set<WallTime> seen;
  for (int i = 0; i < 100; ++i) {
    WallTime time = renewal_time(certificate, random);
    EXPECT_GE(time, start + 50h);
    EXPECT_LE(time, start + 80h);
    seen.insert(time);
  }
  EXPECT_GT(seen.size(), 90U);
}

TEST(Certificates, OfTheRootIsNotANodes) {
  Swarm swarm;
  EXPECT_FALSE(parse_node_certificate(swarm.cluster.root_ca().certificate_pem()));
}

TEST(Identity, ComesBackFromItsTextAndItsPartsBelongTogether) {
  Swarm swarm;
  Swarm other;
  Identity identity = swarm.node(proto::ROLE_WORKER, start);
  Identity read = decode_identity(encode_identity(identity)).value();
  EXPECT_EQ(read.key_pem, identity.key_pem);
  EXPECT_EQ(read.certificate_pem, identity.certificate_pem);
  EXPECT_EQ(read.root_certificate_pem, identity.root_certificate_pem);

  Identity mixed = identity;
  mixed.key_pem = other.node(proto::ROLE_WORKER, start).key_pem;
  EXPECT_FALSE(decode_identity(encode_identity(mixed)));
  mixed = identity;
  mixed.root_certificate_pem = other.cluster.root_ca().certificate_pem();
  EXPECT_FALSE(decode_identity(encode_identity(mixed)));
  EXPECT_FALSE(decode_identity(identity.key_pem));
}

}  // namespace
}  // namespace lab::swarm::ca
