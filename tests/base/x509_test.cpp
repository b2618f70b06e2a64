#include "base/x509.hpp"

#include <gtest/gtest.h>

namespace lab::x509 {
namespace {

using namespace std::chrono_literals;

// 2026-01-01T00:00:00Z
constexpr WallTime start{std::chrono::seconds(1767225600)};
constexpr auto year = std::chrono::hours(24 * 365);

struct Authority {
  std::string key = generate_key().value();
  std::string certificate =
      self_signed_authority(key, Name{.common_name = "swarm-ca"}, {start, start + 20 * year})
          .value();
};

LeafOptions node_options() {
  return {.subject = {.common_name = "8jy6mm9yehx9jvhznbadpl1b4",
                      .organization = "u2ch6zhaw4snxwsdpkrk4y2e2",
                      .organizational_unit = "swarm-manager"},
          .dns_names = {"swarm-manager", "vm1"},
          .ip_addresses = {"192.168.50.4", "fd00::4"},
          .validity = {start, start + 90 * 24h}};
}

TEST(X509, AuthorityIsSelfSignedAndAnAuthority) {
  Authority authority;
  Fields fields = parse_certificate(authority.certificate).value();
  EXPECT_TRUE(fields.authority);
  EXPECT_EQ(fields.subject.common_name, "swarm-ca");
  EXPECT_EQ(fields.subject, fields.issuer);
  EXPECT_EQ(fields.not_before, start);
  EXPECT_EQ(fields.not_after, start + 20 * year);
  EXPECT_EQ(fields.fingerprint.size(), 64U);
  EXPECT_TRUE(verify_chain(authority.certificate, {authority.certificate}, start + 1h));
}

TEST(X509, LeafCarriesSubjectNamesAndValidity) {
  Authority authority;
  std::string key = generate_key().value();
  std::string leaf = issue(key, node_options(), authority.certificate, authority.key).value();
  Fields fields = parse_certificate(leaf).value();
  EXPECT_EQ(fields.subject, node_options().subject);
  EXPECT_EQ(fields.issuer.common_name, "swarm-ca");
  EXPECT_FALSE(fields.authority);
  EXPECT_EQ(fields.dns_names, node_options().dns_names);
  EXPECT_EQ(fields.ip_addresses, node_options().ip_addresses);
  EXPECT_EQ(fields.not_after, start + 90 * 24h);
  EXPECT_GE(fields.serial.size(), 30U);
  EXPECT_TRUE(check_key(leaf, key));
  EXPECT_FALSE(check_key(leaf, authority.key));
}

TEST(X509, RequestIsSignedForItsKeyButWithTheSignersSubject) {
  Authority authority;
  std::string key = generate_key().value();
  std::string request = create_request(key, {.common_name = "asked-for"}).value();
  RequestFields asked = parse_request(request).value();
  EXPECT_EQ(asked.subject.common_name, "asked-for");
  std::string leaf =
      sign_request(request, node_options(), authority.certificate, authority.key).value();
  Fields fields = parse_certificate(leaf).value();
  EXPECT_EQ(fields.subject, node_options().subject);
  EXPECT_EQ(fields.public_key_der, asked.public_key_der);
  EXPECT_TRUE(check_key(leaf, key));
}

TEST(X509, RequestWithABrokenSignatureIsRefused) {
  std::string request = create_request(generate_key().value(), {.common_name = "x"}).value();
  std::size_t near_the_end = request.find("\n-----END") - 12;
  request[near_the_end] = request[near_the_end] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(parse_request(request));
}

TEST(X509, ChainVerifiesOnlyUnderItsAuthorityAndInItsTime) {
  Authority authority;
  Authority stranger;
  std::string leaf =
      issue(generate_key().value(), node_options(), authority.certificate, authority.key).value();
  EXPECT_TRUE(verify_chain(leaf, {authority.certificate}, start + 24h));
  EXPECT_TRUE(verify_chain(leaf, {stranger.certificate, authority.certificate}, start + 24h));
  Result<void> foreign = verify_chain(leaf, {stranger.certificate}, start + 24h);
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, Code::unauthorized);
  Result<void> late = verify_chain(leaf, {authority.certificate}, start + 91 * 24h);
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message.find("expired"), std::string::npos) << late.error().message;
  EXPECT_FALSE(verify_chain(leaf, {authority.certificate}, start - 1h));
}

TEST(X509, ALeafCannotSignForOthers) {
  Authority authority;
  std::string key = generate_key().value();
  std::string leaf = issue(key, node_options(), authority.certificate, authority.key).value();
  std::string below = issue(generate_key().value(), node_options(), leaf, key).value();
  EXPECT_FALSE(verify_chain(below + leaf, {authority.certificate}, start + 24h));
}

TEST(X509, SigningWithAKeyThatIsNotTheAuthoritysIsRefused) {
  Authority authority;
  std::string key = generate_key().value();
  EXPECT_FALSE(issue(key, node_options(), authority.certificate, key));
}

TEST(X509, ChainIsSplitIntoItsCertificates) {
  Authority one;
  Authority two;
  auto chain = split_chain("# one\n" + one.certificate + "\n# two\n" + two.certificate).value();
  ASSERT_EQ(chain.size(), 2U);
  EXPECT_EQ(chain[0], one.certificate);
  EXPECT_EQ(chain[1], two.certificate);
  EXPECT_FALSE(split_chain("nothing here"));
}

TEST(X509, TextThatIsNotPemIsRefused) {
  EXPECT_FALSE(parse_certificate("hello"));
  EXPECT_FALSE(parse_request(""));
  EXPECT_FALSE(create_request("-----BEGIN PRIVATE KEY-----\n", {}));
  LeafOptions bad = node_options();
  bad.ip_addresses = {"192.168.50"};
  Authority authority;
  Result<std::string> leaf =
      issue(generate_key().value(), bad, authority.certificate, authority.key);
  ASSERT_FALSE(leaf);
  EXPECT_NE(leaf.error().message.find("192.168.50"), std::string::npos);
}

}  // namespace
}  // namespace lab::x509
