#include "engine/layer/tar_writer.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/layer/byte_source.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::layer {
namespace {

TEST(TarWriter, WritesWhatTheUnpackerReads) {
  if (::geteuid() != 0) GTEST_SKIP() << "owners need root";
  std::string tar;
  const TarSink sink = [&tar](std::string_view bytes) {
    tar += bytes;
    return Result<void>{};
  };
  TarWriter writer(sink);
  const std::string long_name = std::string(90, 'n') + "/" + std::string(90, 'm');
  const std::string umlaut =
      "gr\xc3\xbc\xc3\x9f"
      "e";
  TarEntry entry;
  entry.name = long_name;
  entry.mode = S_IFREG | 0640;
  entry.size_bytes = 5;
  entry.uid = 4'000'000;
  entry.gid = 7;
  entry.mtime_seconds = 1'700'000'000;
  entry.attributes["trusted.note"] = std::string("a\0b", 3);
  ASSERT_TRUE(writer.header(entry).has_value());
  ASSERT_TRUE(writer.data("hel").has_value());  // two bytes short: filled up
  ASSERT_TRUE(writer.file(umlaut, "x").has_value());
  TarEntry link;
  link.name = "link";
  link.mode = S_IFLNK | 0777;
  link.symbolic_link = std::string(150, 't');
  ASSERT_TRUE(writer.header(link).has_value());
  TarEntry hard;
  hard.name = "hard";
  hard.mode = S_IFREG | 0640;
  hard.hard_link = long_name;
  ASSERT_TRUE(writer.header(hard).has_value());
  ASSERT_TRUE(writer.finish().has_value());
  EXPECT_EQ(tar.size() % 512, 0U);

  const TemporaryDirectory place;
  StringSource source(tar);
  const auto unpacked = unpack_layer(source, place.path());
  ASSERT_TRUE(unpacked.has_value()) << unpacked.error().message;
  EXPECT_EQ(unpacked->entries, 4U);
  const auto file = place.path() / long_name;
  EXPECT_EQ(read_file(file).value(), std::string("hel\0\0", 5));
  struct stat status {};
  ASSERT_EQ(::lstat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 4'000'000U);
  EXPECT_EQ(status.st_nlink, 2U);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'700'000'000);
  char value[8];
  EXPECT_EQ(::lgetxattr(file.c_str(), "trusted.note", value, sizeof value), 3);
  EXPECT_EQ(read_file(place.path() / umlaut).value(), "x");
  EXPECT_EQ(std::filesystem::read_symlink(place.path() / "link"), std::string(150, 't'));
}

TEST(TarWriter, RefusesMoreContentThanAnnounced) {
  const TarSink sink = [](std::string_view) { return Result<void>{}; };
  TarWriter writer(sink);
  TarEntry entry;
  entry.name = "f";
  entry.mode = S_IFREG;
  entry.size_bytes = 1;
  ASSERT_TRUE(writer.header(entry).has_value());
  EXPECT_TRUE(writer.data("ab").has_error());
}

}  // namespace
}  // namespace lab::engine::layer
