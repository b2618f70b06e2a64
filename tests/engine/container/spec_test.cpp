#include "engine/container/spec.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/json/parse.hpp>

#include "base/file.hpp"
#include "engine/container/config.hpp"
#include "engine/container/name_files.hpp"
#include "engine/container/names.hpp"
#include "engine/container/runtime_errors.hpp"
#include "engine/container/seccomp.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {
namespace {

namespace json = boost::json;

class Spec : public testing::Test {
 protected:
  json::object make(std::string_view config, std::string_view host_config, User user = {}) {
    Container container(context.get_executor());
    container.id = std::string(64, 'a');
    container.config = *complete_config(json::parse(config).as_object());
    container.host_config = *complete_host_config(json::parse(host_config).as_object());
    container.mounts = *requested_mounts(container.config, container.host_config);
    container.path = "sh";
    container.arguments = {"-c", "true"};
    SpecPaths paths;
    paths.rootfs = "/root-of-it";
    paths.hosts = "/f/hosts";
    paths.hostname = "/f/hostname";
    paths.resolv_conf = "/f/resolv.conf";
    paths.network = "/netns/x";
    HostFeatures host;
    host.cgroup_v2 = true;
    return *make_spec(container, paths, user, host);
  }
  static const json::object* find_mount(const json::object& spec, std::string_view where) {
    for (const json::value& mount : array_of(spec, "mounts")) {
      if (text_of(mount.as_object(), "destination") == where) return &mount.as_object();
    }
    return nullptr;
  }
  boost::asio::io_context context;
};

TEST_F(Spec, HasCommandEnvironmentAndNamespaces) {
  json::object spec = make(R"({"Env": ["A=1"], "Hostname": "box"})", "{}");
  const json::object& process = object_of(spec, "process");
  EXPECT_EQ(texts_of(process, "args"), (std::vector<std::string>{"sh", "-c", "true"}));
  std::vector<std::string> environment = texts_of(process, "env");
  EXPECT_EQ(environment[0], "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  EXPECT_EQ(environment[1], "HOSTNAME=box");
  EXPECT_EQ(text_of(spec, "hostname"), "box");
  EXPECT_EQ(text_of(process, "cwd"), "/");
  std::set<std::string> types;
  for (const json::value& item : array_of(object_of(spec, "linux"), "namespaces"))
    types.insert(text_of(item.as_object(), "type"));
  EXPECT_EQ(types, (std::set<std::string>{"mount", "uts", "ipc", "pid", "network"}));
  EXPECT_EQ(text_of(object_of(spec, "linux"), "cgroupsPath"), "/docker/" + std::string(64, 'a'));
}

TEST_F(Spec, AnotherUserThanRootHasNoEffectiveCapabilities) {
  json::object root = make("{}", "{}");
  const json::object& full = object_of(object_of(root, "process"), "capabilities");
  EXPECT_EQ(array_of(full, "effective").size(), 14U);
  User web{33, 33, {44}, "/var/www"};
  json::object other = make("{}", "{}", web);
  const json::object& none = object_of(object_of(other, "process"), "capabilities");
  EXPECT_EQ(array_of(none, "effective").size(), 0U);
  EXPECT_EQ(array_of(none, "bounding").size(), 14U);
}

TEST_F(Spec, AMountOfTheUsersReplacesADefaultOne) {
  json::object spec = make("{}", R"({"Binds": ["/h:/etc/hosts:ro", "/s:/dev/shm"]})");
  EXPECT_EQ(text_of(*find_mount(spec, "/etc/hosts"), "source"), "/h");
  EXPECT_EQ(text_of(*find_mount(spec, "/dev/shm"), "type"), "bind");
  EXPECT_EQ(text_of(*find_mount(spec, "/etc/hostname"), "source"), "/f/hostname");
}

TEST_F(Spec, LimitsBecomeResources) {
  json::object spec = make("{}", R"({"Memory": 33554432, "NanoCpus": 500000000, "PidsLimit": 7})");
  const json::object& resources = object_of(object_of(spec, "linux"), "resources");
  EXPECT_EQ(integer_of(object_of(resources, "memory"), "limit"), 33554432);
  EXPECT_EQ(integer_of(object_of(resources, "memory"), "swap"), 67108864);
  EXPECT_EQ(integer_of(object_of(resources, "cpu"), "quota"), 50000);
  EXPECT_EQ(integer_of(object_of(resources, "pids"), "limit"), 7);
}

TEST_F(Spec, SeccompIsLeftOutOnlyWhenAskedFor) {
  EXPECT_TRUE(object_of(make("{}", "{}"), "linux").contains("seccomp"));
  EXPECT_FALSE(object_of(make("{}", R"({"SecurityOpt": ["seccomp=unconfined"]})"), "linux")
                   .contains("seccomp"));
  EXPECT_FALSE(object_of(make("{}", R"({"Privileged": true})"), "linux").contains("seccomp"));
}

TEST(Capabilities, AreAddedDroppedAndChecked) {
  auto names = [](std::string_view text) { return capabilities_of(json::parse(text).as_object()); };
  EXPECT_EQ(names("{}")->size(), 14U);
  EXPECT_TRUE(names(R"({"CapAdd": ["net_admin"]})")->contains("CAP_NET_ADMIN"));
  EXPECT_EQ(*names(R"({"CapDrop": ["ALL"], "CapAdd": ["CHOWN"]})"),
            (std::set<std::string>{"CAP_CHOWN"}));
  EXPECT_FALSE(names(R"({"CapDrop": ["CHOWN"]})")->contains("CAP_CHOWN"));
  ASSERT_FALSE(names(R"({"CapAdd": ["NONSENSE"]})"));
}

TEST(Seccomp, ForbidsWhatACapabilityWouldAllow) {
  auto allows = [](const json::object& profile, std::string_view name) {
    for (const json::value& item : array_of(profile, "syscalls")) {
      const json::object& rule = item.as_object();
      if (text_of(rule, "action") != "SCMP_ACT_ALLOW" || rule.contains("args")) continue;
      for (const std::string& allowed : texts_of(rule, "names")) {
        if (allowed == name) return true;
      }
    }
    return false;
  };
  json::object plain = default_seccomp_profile({});
  EXPECT_TRUE(allows(plain, "openat"));
  EXPECT_FALSE(allows(plain, "mount"));
  EXPECT_FALSE(allows(plain, "keyctl"));
  EXPECT_FALSE(allows(plain, "clone"));
  json::object admin = default_seccomp_profile({"CAP_SYS_ADMIN"});
  EXPECT_TRUE(allows(admin, "mount"));
  EXPECT_TRUE(allows(admin, "clone"));
}

TEST(NameFiles, HostsListTheContainerAndExtraNames) {
  NameFiles files;
  files.hostname = "box";
  files.domain_name = "lab";
  files.addresses = {"172.17.0.2"};
  files.extra_hosts = {"other:10.0.0.1", "gate:host-gateway"};
  files.host_gateway = "172.17.0.1";
  std::string text = hosts_text(files);
  EXPECT_NE(text.find("10.0.0.1\tother\n172.17.0.1\tgate\n172.17.0.2\tbox.lab box\n"),
            std::string::npos);
  EXPECT_TRUE(text.starts_with("127.0.0.1\tlocalhost\n"));
}

TEST(NameFiles, ResolversOnLoopbackAreNotTheContainers) {
  NameFiles files;
  EXPECT_EQ(resolv_conf_text(files, "nameserver 127.0.0.53\nnameserver 10.0.2.3\nsearch a b\n"),
            "search a b\nnameserver 10.0.2.3\n");
  EXPECT_EQ(resolv_conf_text(files, "nameserver 127.0.0.1\n"),
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
  files.dns = {"10.9.9.9"};
  EXPECT_EQ(resolv_conf_text(files, "nameserver 10.0.2.3\n"), "nameserver 10.9.9.9\n");
}

TEST(Names, AreTwoWordsAndADigitWhenTheFirstAreTaken) {
  Random random(1);
  std::string name = random_name(random, 0);
  EXPECT_EQ(std::count(name.begin(), name.end(), '_'), 1);
  EXPECT_FALSE(std::isdigit(static_cast<unsigned char>(name.back())));
  EXPECT_TRUE(std::isdigit(static_cast<unsigned char>(random_name(random, 1).back())));
  EXPECT_TRUE(is_valid_name(name));
  EXPECT_FALSE(is_valid_name("a"));
  EXPECT_FALSE(is_valid_name("-ab"));
  EXPECT_FALSE(is_valid_name("a b"));
}

TEST(StartFailures, GiveTheExitStatusThatDockerDerives) {
  Error error{Code::internal, "executable file `x` not found in $PATH: No such file or directory"};
  StartFailure failure = explain_start_failure(error, "x");
  EXPECT_EQ(failure.exit_code, 127);
  EXPECT_EQ(failure.error.code, Code::invalid_argument);
  EXPECT_NE(failure.error.message.find("exec: \"x\": executable file not found in $PATH: unknown"),
            std::string::npos);
  error.message = "open executable: Permission denied";
  EXPECT_EQ(explain_start_failure(error, "/etc").exit_code, 126);
  error = Error{Code::not_found, "network x not found"};
  EXPECT_EQ(explain_start_failure(error, "x").error.message, "network x not found");
}

class Users : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(root.path() / "etc");
    ASSERT_TRUE(write_file(root.path() / "etc/passwd",
                           "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/www:/bin/sh\nbroken\n"));
    ASSERT_TRUE(write_file(root.path() / "etc/group", "root:x:0:\nwww:x:34:\nextra:x:44:a,web\n"));
  }
  TemporaryDirectory root;
};

TEST_F(Users, AreFoundByNameAndNumber) {
  User user = *resolve_user(root.path(), "web", {});
  EXPECT_EQ(user.uid, 33U);
  EXPECT_EQ(user.gid, 34U);
  EXPECT_EQ(user.groups, (std::vector<gid_t>{44}));
  EXPECT_EQ(user.home, "/www");
  EXPECT_EQ(resolve_user(root.path(), "1234:extra", {})->gid, 44U);
  EXPECT_EQ(resolve_user(root.path(), "", {})->uid, 0U);
  EXPECT_EQ(resolve_user(root.path(), "web:7", {"www"})->groups, (std::vector<gid_t>{34}));
}

TEST_F(Users, UnknownNamesHaveDockersTexts) {
  EXPECT_EQ(resolve_user(root.path(), "nobody", {}).error().message,
            "unable to find user nobody: no matching entries in passwd file");
  EXPECT_EQ(resolve_user(root.path(), "web:none", {}).error().message,
            "unable to find group none: no matching entries in group file");
}

TEST_F(Users, APasswdThatLeadsOutOfTheRootIsNotFollowed) {
  std::filesystem::remove(root.path() / "etc/passwd");
  std::filesystem::create_symlink("../../../../../../etc/passwd", root.path() / "etc/passwd");
  EXPECT_FALSE(read_file_in_root(root.path(), "/etc/passwd"));
}

TEST_F(Users, FoldersAreMadeInsideTheRootOnly) {
  std::filesystem::create_symlink("/outside", root.path() / "link");
  Result<std::filesystem::path> folder = folder_in_root(root.path(), "/link/deep", true);
  EXPECT_FALSE(std::filesystem::exists("/outside"));
  Result<std::filesystem::path> plain = folder_in_root(root.path(), "/a/b/c", true);
  ASSERT_TRUE(plain);
  EXPECT_EQ(*plain, std::filesystem::canonical(root.path()) / "a/b/c");
}

}  // namespace
}  // namespace lab::engine::container
