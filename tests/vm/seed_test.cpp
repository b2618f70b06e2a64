#include "vm/seed.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "vm/cpio.hpp"

namespace lab::vm {
namespace {

MachineSpec spec() {
  MachineSpec spec;
  spec.id = {"tutorial-0a1b2c", "vm1"};
  spec.identity.hostname = "vm1";
  spec.identity.lab_address = "192.168.50.4/24";
  spec.identity.ssh_host_key = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret";
  spec.identity.ssh_host_key_pub = "ssh-ed25519 AAAAhost";
  spec.identity.authorized_keys = {"ssh-ed25519 AAAAuser"};
  spec.identity.hosts = {{"192.168.50.4", "vm1"}, {"192.168.50.5", "vm2"}};
  spec.lab_nic = {"52:54:00:00:00:01", 5000, 5001};
  return spec;
}

const SeedFile* find(const std::vector<SeedFile>& files, const std::string& path) {
  for (const SeedFile& file : files)
    if (file.path == path) return &file;
  return nullptr;
}

// Unpacks with the system's own cpio and gives the folder's path.
void unpack(const std::string& archive, const std::filesystem::path& folder) {
  Command command;
  command.argv = {"cpio", "--quiet", "-i", "--no-absolute-filenames", "-d"};
  command.input = archive;
  command.working_directory = folder;
  const auto result = run_checked(command);
  ASSERT_TRUE(result) << result.error().message;
}

unsigned mode_of(const std::filesystem::path& path) {
  return static_cast<unsigned>(std::filesystem::status(path).permissions());
}

TEST(Cpio, IsReadByTheSystemsCpioWithModesAndParents) {
  CpioWriter writer;
  writer.add_file("a/b/c", "hello", 0640);
  writer.add_directory("a/d", 0700);
  writer.add_file("a/b/empty", "", 0755);
  const std::string archive = writer.finish();
  EXPECT_EQ(archive.size() % 512, 0U);
  const TemporaryDirectory folder;
  unpack(archive, folder.path());
  EXPECT_EQ(*read_file(folder.path() / "a/b/c"), "hello");
  EXPECT_EQ(mode_of(folder.path() / "a/b/c"), 0640U);
  EXPECT_EQ(mode_of(folder.path() / "a/d"), 0700U);
  EXPECT_EQ(mode_of(folder.path() / "a/b/empty"), 0755U);
}

TEST(RecipeSeed, BringsTheIdentityIntoTheGuest) {
  const std::vector<SeedFile> files = recipe_seed_files(spec());
  EXPECT_EQ(find(files, "/etc/hostname")->content, "vm1\n");
  EXPECT_EQ(find(files, "/etc/hosts")->content,
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
            "192.168.50.4 vm1\n192.168.50.5 vm2\n");
  EXPECT_EQ(find(files, "/etc/ssh/ssh_host_ed25519_key")->mode, 0600U);
  EXPECT_EQ(find(files, "/root/.ssh/authorized_keys")->content, "ssh-ed25519 AAAAuser\n");
  EXPECT_EQ(find(files, "/etc/machine-id")->content.size(), 33U);
}

TEST(RecipeSeed, OwnSeedFilesWinOverTheIdentitys) {
  MachineSpec changed = spec();
  changed.seed_files = {{"/etc/hostname", "other\n", 0600}};
  const std::vector<SeedFile> files = recipe_seed_files(changed);
  EXPECT_EQ(find(files, "/etc/hostname")->content, "other\n");
  EXPECT_EQ(std::count_if(files.begin(), files.end(),
                          [](const SeedFile& file) { return file.path == "/etc/hostname"; }),
            1);
}

TEST(RecipeSeed, ArchiveHoldsConfigurationAndFilesAndSaysThatItIsAnIdentity) {
  const auto archive = recipe_seed_archive(spec());
  ASSERT_TRUE(archive) << archive.error().message;
  const TemporaryDirectory folder;
  unpack(*archive, folder.path());
  EXPECT_EQ(*read_file(folder.path() / "lab/identity"), "");
  EXPECT_EQ(read_file(folder.path() / "lab/random")->size(), 64U);
  EXPECT_NE(*archive, *recipe_seed_archive(spec()));  // the random bytes
  EXPECT_EQ(*read_file(folder.path() / "lab/config"),
            "nic " + management_mac(spec().id) +
                " mgmt0 10.0.2.15/24 10.0.2.2\nnic 52:54:00:00:00:01 lab0 192.168.50.4/24\n");
  EXPECT_EQ(*read_file(folder.path() / "lab/files/etc/hostname"), "vm1\n");
  EXPECT_EQ(mode_of(folder.path() / "lab/files/etc/ssh/ssh_host_ed25519_key"), 0600U);
}

TEST(RecipeSeed, TemplatesArchiveHoldsNoIdentityAndNoAddress) {
  MachineSpec machine = spec();
  machine.is_template = true;
  machine.seed_files = {{"/etc/systemd/system/engined.service", "[Unit]\n", 0644}};
  const auto archive = recipe_seed_archive(machine);
  ASSERT_TRUE(archive) << archive.error().message;
  const TemporaryDirectory folder;
  unpack(*archive, folder.path());
  EXPECT_FALSE(read_file(folder.path() / "lab/identity"));
  EXPECT_TRUE(read_file(folder.path() / "lab/template"));
  EXPECT_EQ(*read_file(folder.path() / "lab/config"),
            "nic " + management_mac(spec().id) + " mgmt0\nnic 52:54:00:00:00:01 lab0\n");
  const std::filesystem::path files = folder.path() / "lab/files";
  EXPECT_EQ(mode_of(files / "usr/local/sbin/lab-guest"), 0755U);
  EXPECT_TRUE(read_file(files / "etc/systemd/system/lab-identity.service"));
  EXPECT_TRUE(read_file(files / "etc/systemd/system/engined.service"));
  EXPECT_FALSE(std::filesystem::exists(files / "etc/ssh"));
  EXPECT_FALSE(std::filesystem::exists(files / "root"));
}

TEST(RecipeSeed, FirstProgramIsTheInitrdsInit) {
  const TemporaryDirectory folder;
  unpack(first_program_archive(), folder.path());
  EXPECT_EQ(mode_of(folder.path() / "init"), 0755U);
}

TEST(RecipeSeed, PathsThatLeaveTheRootAreRefused) {
  for (const char* path : {"etc/x", "/etc/../x", "/etc//x", "/etc/x/", "/", "", "/./x"}) {
    MachineSpec changed = spec();
    changed.seed_files = {{path, "", 0644}};
    const auto archive = recipe_seed_archive(changed);
    ASSERT_FALSE(archive) << path;
    EXPECT_EQ(archive.error().code, Code::invalid_argument);
  }
}

TEST(Machine, MacsAndMachineIdsDifferBetweenMachinesAndStay) {
  MachineSpec other = spec();
  other.id.name = "vm2";
  EXPECT_EQ(management_mac(spec().id), management_mac(spec().id));
  EXPECT_NE(management_mac(spec().id), management_mac(other.id));
  EXPECT_EQ(machine_identifier(spec()), machine_identifier(spec()));
  EXPECT_NE(machine_identifier(spec()), machine_identifier(other));
  MachineSpec reborn = spec();
  reborn.identity.ssh_host_key_pub = "ssh-ed25519 BBBB";
  EXPECT_NE(machine_identifier(spec()), machine_identifier(reborn));
}

TEST(NoCloud, DocumentsSayKeysAddressesAndFiles) {
  MachineSpec machine = spec();
  machine.seed_files = {{"/etc/motd", "hi", 0640}};
  const NoCloud documents = nocloud_documents(machine);
  ASSERT_TRUE(documents.user_data.starts_with("#cloud-config\n"));
  const auto user = boost::json::parse(documents.user_data.substr(14));
  EXPECT_EQ(user.at_pointer("/hostname"), "vm1");
  EXPECT_EQ(user.at_pointer("/users/0/name"), "root");
  EXPECT_EQ(user.at_pointer("/users/0/ssh_authorized_keys/0"), "ssh-ed25519 AAAAuser");
  EXPECT_EQ(user.at_pointer("/ssh_keys/ed25519_public"), "ssh-ed25519 AAAAhost\n");
  EXPECT_EQ(user.at_pointer("/write_files/0/path"), "/etc/motd");
  EXPECT_EQ(user.at_pointer("/write_files/0/permissions"), "0640");
  EXPECT_EQ(user.at_pointer("/write_files/0/content"), boost::json::string(base64_encode("hi")));
  const auto network = boost::json::parse(documents.network_config);
  EXPECT_EQ(network.at_pointer("/version"), 2);
  EXPECT_EQ(network.at_pointer("/ethernets/lab0/addresses/0"), "192.168.50.4/24");
  EXPECT_EQ(network.at_pointer("/ethernets/lab0/match/macaddress"), "52:54:00:00:00:01");
  EXPECT_EQ(network.at_pointer("/ethernets/mgmt0/gateway4"), "10.0.2.2");
}

TEST(NoCloud, AnotherIdentityIsAnotherInstance) {
  MachineSpec other = spec();
  other.identity.lab_address = "192.168.50.9/24";
  EXPECT_NE(nocloud_documents(spec()).meta_data, nocloud_documents(other).meta_data);
  EXPECT_EQ(nocloud_documents(spec()).meta_data, nocloud_documents(spec()).meta_data);
}

TEST(NoCloud, VolumeIsAnIsoNamedCidata) {
  const auto volume = nocloud_volume(nocloud_documents(spec()));
  ASSERT_TRUE(volume) << volume.error().message;
  // The primary volume descriptor is sector 16; its identifier is 32 characters at offset 40.
  ASSERT_GT(volume->size(), 17U * 2048);
  EXPECT_EQ(volume->substr(16 * 2048 + 1, 5), "CD001");
  std::string name = volume->substr(16 * 2048 + 40, 32);
  name.erase(name.find_last_not_of(' ') + 1);
  // blkid compares labels without case, cloud-init asks for both.
  EXPECT_EQ(name, "CIDATA");
  EXPECT_NE(volume->find("#cloud-config\n"), std::string::npos);
}

}  // namespace
}  // namespace lab::vm
