#include "vm/apt_sources.hpp"

#include <gtest/gtest.h>

#include "base/file.hpp"

namespace lab::vm {
namespace {

class AptEntries : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) {
    ASSERT_TRUE(make_directories((folder_.path() / name).parent_path()));
    ASSERT_TRUE(write_file(folder_.path() / name, content));
  }
  Result<std::string> entries() { return apt_entries_for_suite(folder_.path(), "bookworm"); }

  TemporaryDirectory folder_;
};

TEST_F(AptEntries, KeepTheSuiteWithItsUpdatesAndSecurityFromTheNewFormat) {
  write("sources.list.d/debian.sources",
        "# a comment\nTypes: deb deb-src\nURIs: http://mirror.example/debian\n"
        "Suites: bookworm bookworm-updates bookworm-backports\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n\n"
        "Types: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\n"
        "Components: main\n");
  EXPECT_EQ(*entries(),
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
            "Components: main\nSigned-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n\n"
            "Types: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\n"
            "Components: main\n\n");
}

TEST_F(AptEntries, ReadTheOldFormatWithItsOptions) {
  write("sources.list",
        "deb [arch=amd64,i386 signed-by=/usr/share/k.gpg] http://m.example/debian bookworm main "
        "contrib # here\n#deb http://off.example/ bookworm main\n"
        "deb-src http://m.example/debian bookworm main\n");
  EXPECT_EQ(
      *entries(),
      "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main contrib\n"
      "Architectures: amd64 i386\nSigned-By: /usr/share/k.gpg\n\n");
}

TEST_F(AptEntries, LeaveOutOtherSuitesDisabledEntriesAndOtherFiles) {
  write("sources.list", "deb http://m.example/debian trixie main\n");
  write("sources.list.d/other.sources",
        "Types: deb\nURIs: https://node.example\nSuites: nodistro\nComponents: main\n");
  write("sources.list.d/off.sources",
        "Enabled: no\nTypes: deb\nURIs: http://m.example\nSuites: bookworm\nComponents: main\n");
  write("sources.list.d/old.list.disabled", "deb http://m.example/debian bookworm main\n");
  const auto none = entries();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::not_found);
  EXPECT_NE(none.error().message.find("`bookworm`"), std::string::npos);
}

TEST(AptOption, ProxyGoesToTheEnvironmentAndNoPasswordToACommandLine) {
  AptSources sources;
  take_apt_option("Acquire::http::Proxy \"http://me:secret@proxy.example:3128\";", sources);
  take_apt_option("Acquire::https::Proxy::host.example \"http://me:secret@p.example\";", sources);
  take_apt_option("Acquire::Check-Valid-Until \"false\";", sources);
  take_apt_option("Acquire::http \"\";", sources);
  take_apt_option("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";", sources);
  take_apt_option("APT::Architecture \"amd64\";", sources);
  EXPECT_EQ(sources.environment.at("http_proxy"), "http://me:secret@proxy.example:3128");
  EXPECT_EQ(sources.options, std::vector<std::string>{"Acquire::Check-Valid-Until \"false\";"});
}

}  // namespace
}  // namespace lab::vm
