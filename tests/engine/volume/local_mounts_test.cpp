#include "engine/volume/local_mounts.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace lab::engine::volume {
namespace {

std::string failure(std::string_view options) {
  Result<MountOptions> parsed = parse_mount_options(boost::json::parse(options));
  return parsed ? std::string() : parsed.error().message;
}

TEST(LocalMounts, OptionsAreThreeOfWhichTwoAreNeeded) {
  EXPECT_EQ(parse_mount_options(nullptr)->type, "");
  EXPECT_EQ(parse_mount_options(boost::json::object())->type, "");
  MountOptions parsed = *parse_mount_options(
      boost::json::parse(R"({"type": "nfs", "device": ":/x", "o": "addr=10.0.0.1,rw"})"));
  EXPECT_EQ(parsed.type, "nfs");
  EXPECT_EQ(parsed.device, ":/x");
  EXPECT_EQ(parsed.options, "addr=10.0.0.1,rw");
  EXPECT_EQ(failure(R"({"foo": "bar"})"), "invalid option: \"foo\"");
  EXPECT_EQ(failure(R"({"type": "tmpfs"})"), "missing required option: \"device\"");
  EXPECT_EQ(failure(R"({"o": "bind"})"), "missing required option: \"device\"");
  EXPECT_EQ(failure(R"({"device": "/tmp"})"), "missing required option: \"type\"");
}

TEST(LocalMounts, WhatCannotBeMountedIsSaidAsDockerDoes) {
  LocalMounts mounts;
  MountOptions options{"none", "/nosuch/folder", "bind,ro"};
  Result<void> got = mounts.acquire("/nosuch/target", options, "user");
  ASSERT_FALSE(got);
  EXPECT_TRUE(got.error().message.starts_with(
      "error while mounting volume '/nosuch/target': failed to mount local volume: mount "
      "/nosuch/folder:/nosuch/target, flags: 0x1001: "));
}

}  // namespace
}  // namespace lab::engine::volume
