#include "engine/layer/pack.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/subprocess.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::layer {
namespace {

namespace fs = std::filesystem;

class Pack : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "owners and devices need root";
    fs::create_directories(upper_ / "etc/opaque");
    write_file(upper_ / "etc/app", "hello", 04711).value();
    ASSERT_EQ(::chown((upper_ / "etc/app").c_str(), 12, 34), 0);
    ASSERT_EQ(::chmod((upper_ / "etc/app").c_str(), 04711), 0);
    fs::create_hard_link(upper_ / "etc/app", upper_ / "etc/twin");
    fs::create_symlink("../outside", upper_ / "link");
    ASSERT_EQ(::mknod((upper_ / "etc/gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
    ASSERT_EQ(::mkfifo((upper_ / "pipe").c_str(), 0600), 0);
    ASSERT_EQ(::lsetxattr((upper_ / "etc/opaque").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
    write_file(upper_ / "caf\xc3\xa9", "utf-8 name").value();
  }

  std::string packed(const PackOptions& options = {}) {
    std::string tar;
    auto result = pack_directory(upper_, options, [&tar](std::string_view bytes) {
      tar += bytes;
      return Result<void>{};
    });
    EXPECT_TRUE(result) << result.error().message;
    return tar;
  }

  std::string names_in(const std::string& tar) {
    write_file(temporary_.path() / "x.tar", tar).value();
    Command command;
    command.argv = {"tar", "tf", temporary_.path() / "x.tar", "--quoting-style=literal"};
    return run_checked(command).value();
  }

  TemporaryDirectory temporary_;
  fs::path upper_ = temporary_.path() / "upper";
};

TEST_F(Pack, WritesDockersWhiteoutsInOrder) {
  EXPECT_EQ(names_in(packed()),
            "caf\xc3\xa9\netc/\netc/app\netc/.wh.gone\netc/opaque/\netc/opaque/.wh..wh..opq\netc/"
            "twin\nlink\npipe\n");
}

TEST_F(Pack, SameFolderGivesTheSameBytes) {
  EXPECT_EQ(packed(), packed());
  auto digest = digest_of_layer(upper_);
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->diff_id, "sha256:" + sha256_hex(packed()));
}

TEST_F(Pack, UnpackingGivesTheFolderBack) {
  std::string first = packed();
  fs::path copy = temporary_.path() / "copy";
  fs::create_directory(copy);
  StringSource source(first);
  auto unpacked = unpack_layer(source, copy);
  ASSERT_TRUE(unpacked) << unpacked.error().message;
  upper_ = copy;
  EXPECT_EQ(packed(), first);
}

TEST_F(Pack, PrefixRenamesTheTree) {
  PackOptions options;
  options.prefix = "new/";
  options.whiteouts = false;
  std::string names = names_in(packed(options));
  EXPECT_TRUE(names.starts_with("new/\nnew/caf\xc3\xa9\n")) << names;
  EXPECT_NE(names.find("new/etc/gone\n"), std::string::npos);
}

TEST_F(Pack, SinksErrorEndsIt) {
  auto result = pack_directory(upper_, PackOptions{}, [](std::string_view) {
    return Result<void>(make_error(Code::cancelled, "the reader went away"));
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "the reader went away");
}

TEST_F(Pack, OneFileUnderItsNewName) {
  std::string tar;
  auto result = pack_file(upper_ / "link", "renamed", [&tar](std::string_view bytes) {
    tar += bytes;
    return Result<void>{};
  });
  ASSERT_TRUE(result);
  EXPECT_EQ(names_in(tar), "renamed\n");
}

}  // namespace
}  // namespace lab::engine::layer
