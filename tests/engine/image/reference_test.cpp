#include "engine/image/reference.hpp"

#include <gtest/gtest.h>

namespace lab::engine::image {
namespace {

const std::string digest = "sha256:" + std::string(64, 'a');

TEST(Reference, CompletesShortNamesToTheHubAndLatest) {
  const Reference reference = parse_reference_with_default_tag("busybox").value();
  EXPECT_EQ(reference.canonical(), "docker.io/library/busybox:latest");
  EXPECT_EQ(reference.familiar(), "busybox:latest");
  EXPECT_EQ(parse_reference("team/app:1.0").value().name(), "docker.io/team/app");
  EXPECT_EQ(parse_reference("index.docker.io/library/app").value().familiar_name(), "app");
}

TEST(Reference, TakesTheFirstComponentAsRegistryWhenItLooksLikeAHost) {
  const Reference reference = parse_reference("192.168.50.4:5000/hello:1.0").value();
  EXPECT_EQ(reference.domain, "192.168.50.4:5000");
  EXPECT_EQ(reference.path, "hello");
  EXPECT_EQ(reference.tag, "1.0");
  EXPECT_EQ(reference.familiar_name(), "192.168.50.4:5000/hello");
  EXPECT_EQ(parse_reference("localhost/x").value().domain, "localhost");
  EXPECT_EQ(parse_reference("registry.local/a/b").value().path, "a/b");
  EXPECT_EQ(parse_reference("user/x").value().domain, "docker.io");
}

TEST(Reference, KeepsTheFamiliarLibraryPrefixOnlyWhereItIsNeeded) {
  EXPECT_EQ(parse_reference("docker.io/library/a").value().familiar_name(), "a");
  EXPECT_EQ(parse_reference("docker.io/library/a/b").value().familiar_name(), "library/a/b");
}

TEST(Reference, ReadsDigestsAndAddsNoTagToThem) {
  const Reference reference = parse_reference_with_default_tag("debian@" + digest).value();
  EXPECT_EQ(reference.digest, digest);
  EXPECT_TRUE(reference.tag.empty());
  EXPECT_EQ(reference.familiar(), "debian@" + digest);
  EXPECT_EQ(parse_reference("debian:12@" + digest).value().tag, "12");
}

TEST(Reference, InvertsItsCanonicalForm) {
  for (const std::string text : {"busybox:1", "10.0.0.1:5000/a/b:x", "localhost/a"}) {
    const Reference reference = parse_reference(text).value();
    EXPECT_EQ(parse_reference(reference.canonical()).value(), reference);
  }
}

TEST(Reference, RefusesWhatDockerRefuses) {
  for (const std::string text : {"", ":tag", "a:", "a b", "a//b", "/a", "a/", "-a", "a-", "a..b",
                                 "a___b", "a:b c", "a@b", "a@sha256:12", "http://a/b", "a:-x"}) {
    const auto result = parse_reference(text);
    ASSERT_TRUE(result.has_error()) << text;
    EXPECT_EQ(result.error().message, "invalid reference format") << text;
    EXPECT_EQ(result.error().code, Code::invalid_argument);
  }
  EXPECT_EQ(parse_reference("Busybox").error().message,
            "invalid reference format: repository name must be lowercase");
  EXPECT_TRUE(parse_reference(std::string(64, 'a')).has_error());
  EXPECT_TRUE(parse_reference("a:" + std::string(129, 'x')).has_error());
  EXPECT_TRUE(parse_reference(std::string(300, 'x')).has_error());
}

TEST(Reference, TellsIdsFromNames) {
  EXPECT_TRUE(is_hex_id("0123abc"));
  EXPECT_FALSE(is_hex_id("0123ABC"));
  EXPECT_FALSE(is_hex_id(""));
  EXPECT_EQ(short_id("sha256:" + std::string(64, 'b')), std::string(12, 'b'));
}

}  // namespace
}  // namespace lab::engine::image
