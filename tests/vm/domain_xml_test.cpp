#include "vm/domain_xml.hpp"

#include <gtest/gtest.h>
#include <lz4.h>

#include <cstring>

#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "vm/kernel.hpp"
#include "vm/kvm.hpp"
#include "vm/machine_files.hpp"
#include "vm/provider.hpp"
#include "vm/seed.hpp"

namespace lab::vm {
namespace {

MachineSpec spec() {
  MachineSpec spec;
  spec.id = {"tutorial-0a1b2c", "vm1"};
  spec.directory = "/labs/it's & <mine>";
  spec.memory_mib = 512;
  spec.cpus = 2;
  spec.image.kernel = "/images/k";
  spec.lab_nic = {"52:54:00:00:00:01", 5000, 5001};
  spec.ssh_port = 2222;
  return spec;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(DomainXml, RecipeMachineBootsItsKernelDirectly) {
  const std::string xml = domain_xml(spec(), false);
  EXPECT_TRUE(has(xml, "<domain type='qemu'"));
  EXPECT_TRUE(has(xml, "<name>tutorial-0a1b2c.vm1</name>"));
  EXPECT_TRUE(has(xml, "<memory unit='MiB'>512</memory>"));
  EXPECT_TRUE(has(xml, "<vcpu>2</vcpu>"));
  EXPECT_TRUE(has(xml, "<kernel>/images/k</kernel>"));
  EXPECT_TRUE(has(xml, "<initrd>/labs/it&apos;s &amp; &lt;mine&gt;/initrd</initrd>"));
  EXPECT_TRUE(has(xml, "&lt;mine&gt;/seed'/>"));
}

TEST(DomainXml, ProcessorsThatCanBePluggedAreNotThereYet) {
  MachineSpec growing = spec();
  growing.cpus_max = 4;
  EXPECT_TRUE(has(domain_xml(growing, false), "<vcpu current='2'>4</vcpu>"));
}

TEST(DomainXml, OnlyAnEmulatedMachinesServicesAvoidVectorInstructions) {
  EXPECT_TRUE(has(domain_xml(spec(), false), " systemd.setenv=OPENSSL_ia32cap=~0x"));
  EXPECT_FALSE(has(domain_xml(spec(), true), "OPENSSL_ia32cap"));
}

TEST(DomainXml, CloudMachineBootsItsDiskAndHasTheSeedVolume) {
  MachineSpec cloud = spec();
  cloud.image.kernel.clear();
  const std::string xml = domain_xml(cloud, true);
  EXPECT_TRUE(has(xml, "<domain type='kvm'"));
  EXPECT_TRUE(has(xml, "<cpu mode='host-passthrough'"));
  EXPECT_FALSE(has(xml, "<kernel>"));
  EXPECT_TRUE(has(xml, "&lt;mine&gt;/seed'/>"));
  EXPECT_TRUE(has(xml, "<boot dev='hd'/>"));
}

TEST(DomainXml, NicsAreTheSwitchsPortAndTheForwardedOne) {
  const std::string xml = domain_xml(spec(), false);
  EXPECT_TRUE(has(xml,
                  "<source address='127.0.0.1' port='5000'>"
                  "<local address='127.0.0.1' port='5001'/></source>"));
  EXPECT_TRUE(has(xml, "hostfwd=tcp:127.0.0.1:2222-:22"));
  EXPECT_TRUE(has(xml, "<mac address='52:54:00:00:00:01'/>"));
}

TEST(DomainXml, MachinesOfTwoLabsShareNeitherNameNorUuid) {
  MachineSpec other = spec();
  other.id.lab_id = "tutorial-ffffff";
  const std::string a = domain_xml(spec(), false);
  const std::string b = domain_xml(other, false);
  const auto uuid = [](const std::string& xml) { return xml.substr(xml.find("<uuid>") + 6, 36); };
  EXPECT_NE(uuid(a), uuid(b));
  EXPECT_EQ(uuid(a), uuid(domain_xml(spec(), true)));
  EXPECT_NE(domain_name(spec().id), domain_name(other.id));
}

TEST(DomainXml, StartsFromASavedStateWithItsMemoryMappedPrivately) {
  const std::string xml = domain_xml(spec(), false);
  EXPECT_TRUE(has(xml, "'memory-backend-ram,id=lab-memory,size=512M'"));
  EXPECT_FALSE(has(xml, "-incoming"));
  const auto mapped = incoming_domain_xml(xml, "/a,b & c");
  ASSERT_TRUE(mapped);
  EXPECT_TRUE(has(
      *mapped, "'memory-backend-file,mem-path=/a,,b &amp; c,share=off,id=lab-memory,size=512M'"));
  EXPECT_TRUE(has(*mapped, "<qemu:arg value='-incoming'/>\n    <qemu:arg value='defer'/>"));
  const auto read = incoming_domain_xml(xml, {});
  ASSERT_TRUE(read);
  EXPECT_TRUE(has(*read, "'memory-backend-ram,id=lab-memory,size=512M'"));
  EXPECT_TRUE(has(*read, "-incoming"));
  EXPECT_EQ(incoming_domain_xml("<domain/>", {}).error().code, Code::unsupported);
}

TEST(DomainXml, TemplatesMemoryIsASharedFile) {
  MachineSpec machine = spec();
  machine.memory_file = "/a,b";
  EXPECT_TRUE(has(domain_xml(machine, false),
                  "'memory-backend-file,id=lab-memory,size=512M,mem-path=/a,,b,share=on'"));
}

TEST(Metadata, ComesBackAsItWentIn) {
  const Ownership ownership{{"tutorial-0a1b2c", "vm1"}, "/labs/it's & <mine> \"x\"", 2222};
  const auto parsed = parse_metadata(metadata_xml(ownership));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->id, ownership.id);
  EXPECT_EQ(parsed->directory, ownership.directory);
  EXPECT_EQ(parsed->ssh_port, 2222);
}

TEST(Metadata, IsReadInTheQuotesThatLibvirtWrites) {
  const auto parsed = parse_metadata(
      "<machine xmlns=\"urn:swarmlab:machine:1\" lab=\"l\" name=\"n\" directory=\"/d\" "
      "ssh=\"1\"/>");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->id.lab_id, "l");
  EXPECT_FALSE(parse_metadata("<machine xmlns='urn:swarmlab:machine:1' lab='l'/>"));
  EXPECT_FALSE(parse_metadata(""));
}

TEST(MachineFiles, DiskSmallerThanItsImageIsRefused) {
  const TemporaryDirectory folder;
  MachineSpec machine = spec();
  machine.directory = folder.path() / "vm1";
  machine.disk_mib = 100;
  machine.image.base_mib = 200;
  const auto prepared = prepare_machine_files(machine);
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Code::invalid_argument);
  EXPECT_TRUE(has(prepared.error().message, "200 MiB"));
}

TEST(MachineFiles, DiskIsKeptWithTheImageItWasMadeFrom) {
  const TemporaryDirectory folder;
  const auto image = [&folder](const std::string& name) {
    const std::filesystem::path path = folder.path() / name;
    EXPECT_TRUE(make_directories(path));
    for (const char* file : {"kernel", "modules.cpio"}) EXPECT_TRUE(write_file(path / file, name));
    EXPECT_TRUE(write_file(path / "disk.raw", std::string(1 << 20, 'x')));
    GuestImage result;
    result.base_disk = path / "disk.raw";
    result.base_format = "raw";
    result.base_mib = 1;
    result.kernel = path / "kernel";
    result.initrd = path / "modules.cpio";
    return result;
  };
  MachineSpec machine = spec();
  machine.directory = folder.path() / "vm1";
  machine.image = image("old");
  const auto first = prepare_machine_files(machine);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(std::filesystem::status(machine.directory / "seed").permissions(),
            std::filesystem::perms{0600});
  EXPECT_EQ(std::filesystem::file_size(machine.directory / "seed"), seed_disk_bytes);
  machine.image = image("new");
  const auto second = prepare_machine_files(machine);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->image.kernel, folder.path() / "old/kernel");
  EXPECT_TRUE(read_file(machine.directory / "initrd")->starts_with("old"));
  std::filesystem::remove_all(folder.path() / "old");
  const auto third = prepare_machine_files(machine);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, Code::not_found);
  remove_machine_files(machine.directory);
  EXPECT_FALSE(std::filesystem::exists(machine.directory));
}

TEST(MachineFiles, DiskOfATemplateLivesAsLongAsAMachineOnIt) {
  const TemporaryDirectory folder;
  Command command;
  const std::filesystem::path disk = folder.path() / "template.qcow2";
  command.argv = {"qemu-img", "create", "-q", "-f", "qcow2", disk.string(), "1M"};
  ASSERT_TRUE(run_checked(command));
  MachineSpec machine = spec();
  machine.directory = folder.path() / "vm1";
  machine.disk_mib = 1;
  machine.image.kernel.clear();
  machine.image.base_disk = "/images/disk.raw";
  machine.template_disk = disk;
  ASSERT_TRUE(prepare_machine_files(machine));
  std::filesystem::remove(disk);
  command.argv = {"qemu-img", "check", "-q", (machine.directory / "disk.qcow2").string()};
  EXPECT_TRUE(run_checked(command));
  remove_machine_files(machine.directory);
  EXPECT_FALSE(std::filesystem::exists(machine.directory));
}

TEST(MachineFiles, SeedThatIsTooLargeIsRefused) {
  const TemporaryDirectory folder;
  MachineSpec machine = spec();
  machine.directory = folder.path() / "vm1";
  Command command;
  machine.image.base_disk = folder.path() / "base.qcow2";
  machine.image.base_format = "qcow2";
  machine.image.kernel = machine.image.initrd = folder.path() / "modules.cpio";
  ASSERT_TRUE(write_file(machine.image.initrd, ""));
  command.argv = {"qemu-img", "create", "-q", "-f", "qcow2", machine.image.base_disk, "1M"};
  ASSERT_TRUE(run_checked(command));
  machine.seed_files = {{"/big", std::string(seed_disk_bytes, 'x'), 0644}};
  const auto prepared = prepare_machine_files(machine);
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Code::invalid_argument);
  EXPECT_TRUE(has(prepared.error().message, "at most 256 MiB"));
}

TEST(MachineFiles, RemovalLeavesFilesOfOthers) {
  const TemporaryDirectory folder;
  ASSERT_TRUE(write_file(folder.path() / "disk.qcow2", ""));
  ASSERT_TRUE(write_file(folder.path() / "mine.txt", ""));
  remove_machine_files(folder.path());
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "disk.qcow2"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "mine.txt"));
}

TEST(Console, TailIsTheLastLinesWithoutControlSequences) {
  const TemporaryDirectory folder;
  EXPECT_TRUE(console_tail(folder.path()).starts_with("(no console"));
  ASSERT_TRUE(write_file(console_path(folder.path()), ""));
  EXPECT_TRUE(has(console_tail(folder.path()), "is empty"));
  ASSERT_TRUE(write_file(console_path(folder.path()),
                         "one\r\n\x1b[2J\x1b[0;1;31mtwo\x1b[0m\r\n\r\n   \nthr\x07"
                         "ee\n"));
  EXPECT_EQ(console_tail(folder.path(), 2), "two\nthree");
}

TEST(KvmProbe, FirmwareEndsWithTheResetVector) {
  const std::string firmware = kvm_probe_firmware();
  ASSERT_EQ(firmware.size(), 65536U);
  EXPECT_EQ(firmware[0], '\xfa');  // cli
  EXPECT_EQ(firmware.substr(0xfff0, 3), std::string("\xe9\x0d\x00", 3));
}

// A bzImage with just the fields that matter, around an LZ4 payload.
std::string bzimage(const std::string& kernel) {
  std::string block(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(kernel.size()))),
                    0);
  block.resize(static_cast<std::size_t>(LZ4_compress_default(kernel.data(), block.data(),
                                                             static_cast<int>(kernel.size()),
                                                             static_cast<int>(block.size()))));
  const auto word = [](std::uint32_t value) {
    std::string bytes(4, '\0');
    std::memcpy(bytes.data(), &value, 4);
    return bytes;
  };
  const std::string payload = word(0x184c2102) + word(static_cast<std::uint32_t>(block.size())) +
                              block + word(static_cast<std::uint32_t>(kernel.size()));
  std::string image(1024, '\0');
  image[0x1f1] = 1;
  image.replace(0x202, 4, "HdrS");
  image.replace(0x206, 2, std::string("\x0f\x02", 2));
  image.replace(0x248, 4, word(16));
  image.replace(0x24c, 4, word(static_cast<std::uint32_t>(payload.size())));
  return image + std::string(16, '\0') + payload;
}

const std::string entry_note{"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0", 16};

TEST(Kernel, IsTakenOutOfABzImage) {
  const std::string kernel =
      "\x7f"
      "ELF" +
      std::string(100000, 'k') + entry_note;
  const auto extracted = extract_vmlinux(bzimage(kernel));
  ASSERT_TRUE(extracted) << extracted.error().message;
  EXPECT_EQ(*extracted, kernel);
}

TEST(Kernel, WithoutAnEntryPointOrCutOffIsUnsupported) {
  const std::string kernel =
      "\x7f"
      "ELF" +
      std::string(1000, 'k') + entry_note;
  const std::string image = bzimage(kernel);
  EXPECT_FALSE(
      extract_vmlinux(bzimage("\x7f"
                              "ELF" +
                              std::string(1000, 'k'))));
  EXPECT_FALSE(extract_vmlinux(image.substr(0, image.size() - 20)));
  EXPECT_FALSE(extract_vmlinux("MZ"));
  EXPECT_FALSE(extract_vmlinux(""));
}

}  // namespace
}  // namespace lab::vm
