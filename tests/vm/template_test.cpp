#include "vm/template_files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>
#include <set>

#include "base/file.hpp"
#include "vm/template.hpp"

namespace lab::vm {
namespace {

namespace fs = std::filesystem;

MachineSpec a_machine() {
  MachineSpec spec;
  spec.id = {"lab-123456", "vm1"};
  spec.directory = "/labs/lab-123456/vm1";
  spec.image.id = "image";
  spec.image.base_disk = "/images/image/disk.raw";
  spec.image.kernel = "/images/image/kernel";
  spec.image.initrd = "/images/image/modules.cpio";
  spec.seed_files = {{"/etc/systemd/system/engined.service", "[Service]", 0644}};
  return spec;
}

// The key of a machine that is like a_machine() but for one thing.
std::string key_with(const std::function<void(MachineSpec&)>& change) {
  MachineSpec spec = a_machine();
  change(spec);
  return template_key(spec, "libvirt 1 qemu 2 emulated");
}

TEST(TemplateKey, DiffersWithEachThingThatMakesATemplateStale) {
  std::set<std::string> keys = {key_with([](MachineSpec&) {})};
  const std::vector<std::function<void(MachineSpec&)>> changes = {
      [](MachineSpec& spec) { spec.image.id = "another recipe"; },
      [](MachineSpec& spec) { spec.image.kernel = "/images/image/another-kernel"; },
      [](MachineSpec& spec) { spec.memory_mib = 1024; },
      [](MachineSpec& spec) { spec.cpus = 2; },
      [](MachineSpec& spec) { spec.cpus_max = 2; },
      [](MachineSpec& spec) { spec.disk_mib = 9000; },
      [](MachineSpec& spec) { spec.seed_files[0].content = "[Unit]"; },
      [](MachineSpec& spec) { spec.seed_files[0].mode = 0600; },
      [](MachineSpec& spec) { spec.seed_files[0].path = "/etc/systemd/system/swarmd.service"; },
      [](MachineSpec& spec) { spec.seed_files.clear(); }};
  for (const auto& change : changes) keys.insert(key_with(change));
  // libvirt, QEMU, and the processor that guests see
  for (const char* emulator : {"libvirt 2 qemu 2 emulated", "libvirt 1 qemu 3 emulated",
                               "libvirt 1 qemu 2 model name: another"})
    keys.insert(template_key(a_machine(), emulator));
  EXPECT_EQ(keys.size(), 1 + changes.size() + 3);
}

TEST(TemplateKey, IsTheSameForWhatIsOnlyOneMachines) {
  const std::string key = key_with([](MachineSpec&) {});
  EXPECT_EQ(key, key_with([](MachineSpec& spec) {
              spec.id = {"other-654321", "vm2"};
              spec.directory = "/labs/other-654321/vm2";
              spec.identity.hostname = "vm2";
              spec.identity.lab_address = "192.168.50.5/24";
              spec.identity.authorized_keys = {"ssh-ed25519 AAAA"};
              spec.lab_nic = {"52:54:00:11:22:33", 20001, 20002};
              spec.ssh_port = 20003;
              spec.template_disk = "/templates/x/disk.qcow2";
              spec.memory_file = "/templates/x/memory";
            }));
}

class Template : public testing::Test {
 protected:
  Template() {
    EXPECT_TRUE(make_directories(template_.path()));
    EXPECT_TRUE(write_file(template_.disk(), "disk"));
    EXPECT_TRUE(write_file(template_.devices(), "devices"));
    std::string memory(std::size_t{4} << 20, '\0');
    memory.replace(1 << 20, 7, "kernel!");
    memory.replace(memory.size() - 5, 5, "user!");
    EXPECT_TRUE(write_file(template_.memory(), memory));
  }

  // A byte changes, and everything that `ls` tells is as before.
  static void damage_unseen(const fs::path& file, std::streamoff at) {
    const auto time = fs::last_write_time(file);
    fs::permissions(file, fs::perms::owner_write, fs::perm_options::add);
    std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(at).put('~');
    fs::last_write_time(file, time);
  }

  TemporaryDirectory root_;
  TemplateFolder template_{root_.path() / "key"};
};

TEST_F(Template, IsGoodAsItWasSealedAndItsZerosAreHoles) {
  EXPECT_EQ(template_.check().error().code, Code::not_found);
  const std::string memory = *read_file(template_.memory());
  ASSERT_TRUE(template_.seal());
  EXPECT_TRUE(template_.check());
  EXPECT_EQ(*read_file(template_.memory()), memory);
  struct stat info {};
  ASSERT_EQ(stat(template_.memory().c_str(), &info), 0);
  EXPECT_LT(info.st_blocks * 512, 1 << 20);
}

TEST_F(Template, FileThatLooksChangedIsCompared) {
  ASSERT_TRUE(template_.seal());
  fs::last_write_time(template_.memory(), fs::file_time_type::clock::now());
  EXPECT_TRUE(template_.check());
  for (const fs::path& file : {template_.memory(), template_.disk(), template_.devices()}) {
    const std::string before = *read_file(file);
    ASSERT_TRUE(write_file(file, before.substr(0, before.size() - 1) + "~"));
    EXPECT_FALSE(template_.check()) << file;
    ASSERT_TRUE(write_file(file, before));
    EXPECT_TRUE(template_.check()) << file;
  }
}

TEST_F(Template, AfterABootOfTheHostAllIsCompared) {
  ASSERT_TRUE(template_.seal());
  damage_unseen(template_.memory(), 3 << 20);
  EXPECT_TRUE(template_.check());  // as documented
  ASSERT_TRUE(write_file(template_.path() / "compared", "another boot\n"));
  const auto checked = template_.check();
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Code::internal);
  EXPECT_NE(checked.error().message.find(template_.path()), std::string::npos);
}

TEST_F(Template, WithAFileMissingIsNoTemplate) {
  for (const char* name : {"disk.qcow2", "memory", "devices"}) {
    ASSERT_TRUE(template_.seal());
    const std::string content = *read_file(template_.path() / name);
    fs::remove(template_.path() / name);
    EXPECT_FALSE(template_.check()) << name;
    ASSERT_TRUE(write_file(template_.path() / name, content));
  }
}

TEST_F(Template, OnlyTheLastUsedAreKept) {
  for (const char* name : {"a", "b", "c"}) {
    const TemplateFolder folder(root_.path() / name);
    ASSERT_TRUE(make_directories(folder.path()));
    folder.mark_used();
  }
  using std::chrono::hours;
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(root_.path() / "a/used", now - hours(1));
  fs::last_write_time(root_.path() / "b/used", now - hours(3));
  fs::last_write_time(root_.path() / "c/used", now - hours(2));
  remove_unused_templates(root_.path(), 2);
  EXPECT_TRUE(fs::exists(root_.path() / "a"));
  EXPECT_FALSE(fs::exists(root_.path() / "b"));
  EXPECT_TRUE(fs::exists(root_.path() / "c"));
  EXPECT_TRUE(fs::exists(root_.path() / "key"));  // never used: being made
}

}  // namespace
}  // namespace lab::vm
