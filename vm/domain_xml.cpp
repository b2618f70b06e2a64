#include "vm/domain_xml.hpp"

#include <charconv>
#include <cstring>

#include "base/digest.hpp"
#include "vm/provider.hpp"
#include "vm/seed.hpp"

namespace lab::vm {
namespace {

// What a kernel need not find out, test or protect inside a machine that serves one lab. The
// console stays: its tail explains a machine that does not come up.
constexpr const char* command_line =
    "console=ttyS0 quiet loglevel=4 panic=1 nokaslr mitigations=off audit=0 selinux=0 apparmor=0 "
    "no_timer_check tsc=reliable rcupdate.rcu_expedited=1 cryptomgr.notests nowatchdog "
    "random.trust_cpu=on";

// For all services of an emulated machine: its processor claims vector instructions that cost more
// than the plain ones. Without them (SSSE3, AVX, AVX2, BMI, SHA) OpenSSL's SHA-256 is 2.3 times as
// fast, ChaCha20 6 times; AES stays.
constexpr const char* emulated_command_line =
    " systemd.setenv=OPENSSL_ia32cap=~0x1000020000000000:~0x20080128";

// Every machine has its memory under the same name, or one could not go on from another's state.
constexpr const char* anonymous_memory = "memory-backend-ram,";

std::string domain_uuid(const MachineId& id) {
  std::string hex = sha256_hex("domain\n" + id.lab_id + "\n" + id.name).substr(0, 32);
  hex[12] = '8';  // a UUID of version 8: made up by its maker
  hex[16] = 'a';
  for (const std::size_t dash : {8U, 13U, 18U, 23U}) hex.insert(dash, "-");
  return hex;
}

// A device directly on the root bus: without a PCI port of its own there is less to enumerate.
std::string pci_address(int slot) {
  return fmt::format("<address type='pci' domain='0' bus='0' slot='{}' function='0'/>", slot);
}

std::string os_xml(const MachineSpec& spec, bool kvm) {
  if (spec.image.is_cloud())
    return "  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>\n";
  return fmt::format(
      "  <os>\n"
      "    <type arch='x86_64' machine='q35'>hvm</type>\n"
      "    <kernel>{}</kernel>\n"
      "    <initrd>{}</initrd>\n"
      "    <cmdline>{}{}</cmdline>\n"
      "  </os>\n",
      xml_escape(spec.image.kernel.string()), xml_escape(initrd_path(spec.directory).string()),
      command_line, kvm ? "" : emulated_command_line);
}

std::string cpu_xml(bool kvm) {
  if (kvm) return "  <cpu mode='host-passthrough' check='none'/>\n";
  // Five-level page tables make each emulated page walk longer.
  return "  <cpu mode='maximum' check='none'><feature policy='disable' name='la57'/></cpu>\n";
}

std::string disks_xml(const MachineSpec& spec) {
  // The lab's disks are thrown away with it, so nothing waits for the host's disk. A killed
  // emulator loses nothing; a host that loses its power may.
  return fmt::format(
      "    <disk type='file' device='disk'>\n"
      "      <driver name='qemu' type='qcow2' cache='unsafe' discard='unmap'/>\n"
      "      <source file='{}'/>\n"
      "      <target dev='vda' bus='virtio'/>\n"
      "      {}\n"
      "    </disk>\n"
      "    <disk type='file' device='disk'>\n"
      "      <driver name='qemu' type='raw' cache='unsafe'/>\n"
      "      <source file='{}'/>\n"
      "      <target dev='vdb' bus='virtio'/>\n"
      "      <readonly/>\n"
      "      {}\n"
      "    </disk>\n",
      xml_escape(disk_path(spec.directory).string()), pci_address(2),
      xml_escape(seed_path(spec.directory).string()), pci_address(5));
}

std::string lab_nic_xml(const LabNic& nic) {
  return fmt::format(
      "    <interface type='udp'>\n"
      "      <mac address='{}'/>\n"
      "      <source address='127.0.0.1' port='{}'>"
      "<local address='127.0.0.1' port='{}'/></source>\n"
      "      <model type='virtio'/>\n"
      "      <rom enabled='no'/>\n"
      "      {}\n"
      "    </interface>\n",
      nic.mac, nic.switch_port, nic.nic_port, pci_address(3));
}

// A comma in a value of QEMU's command line is written twice.
std::string option_value(const std::filesystem::path& path) {
  std::string value;
  for (const char c : path.string()) value.append(c == ',' ? 2 : 1, c);
  return value;
}

std::string memory_size(std::uint64_t mib) { return fmt::format("id=lab-memory,size={}M", mib); }

std::string memory_object(const MachineSpec& spec) {
  if (spec.memory_file.empty()) return anonymous_memory + memory_size(spec.memory_mib);
  return fmt::format("memory-backend-file,{},mem-path={},share=on", memory_size(spec.memory_mib),
                     option_value(spec.memory_file));
}

std::string argument(std::string_view text) {
  return fmt::format("    <qemu:arg value='{}'/>\n", xml_escape(text));
}

// What libvirt has no words for: memory in a file of our choice, and a forwarded port of QEMU's
// user networking.
std::string command_line_xml(const MachineSpec& spec) {
  const std::string network =
      fmt::format("user,id=mgmt,ipv6=off,hostfwd=tcp:127.0.0.1:{}-:22", spec.ssh_port);
  return "  <qemu:commandline>\n" + argument("-object") + argument(memory_object(spec)) +
         argument("-machine") + argument("memory-backend=lab-memory") + argument("-netdev") +
         argument(network) + argument("-device") +
         argument(fmt::format("virtio-net-pci,netdev=mgmt,mac={},romfile=,bus=pcie.0,addr=0x4",
                              management_mac(spec.id))) +
         "  </qemu:commandline>\n";
}

std::string xml_unescape(std::string text) {
  const std::pair<const char*, const char*> entities[] = {
      {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}, {"&amp;", "&"}};
  for (const auto& [entity, character] : entities)
    for (std::size_t at = 0; (at = text.find(entity, at)) != std::string::npos; ++at)
      text.replace(at, std::string_view(entity).size(), character);
  return text;
}

// libvirt may write the attribute in either kind of quotes.
std::optional<std::string> attribute(const std::string& xml, const std::string& name) {
  for (const char quote : {'\'', '"'}) {
    const std::string opening = " " + name + "=" + quote;
    const std::size_t start = xml.find(opening);
    if (start == std::string::npos) continue;
    const std::size_t end = xml.find(quote, start + opening.size());
    if (end == std::string::npos) return std::nullopt;
    return xml_unescape(xml.substr(start + opening.size(), end - start - opening.size()));
  }
  return std::nullopt;
}

}  // namespace

std::string xml_escape(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '&': result += "&amp;"; break;
      case '\'': result += "&apos;"; break;
      case '"': result += "&quot;"; break;
      default: result += c;
    }
  }
  return result;
}

std::string domain_name(const MachineId& id) { return id.lab_id + "." + id.name; }

std::string metadata_xml(const Ownership& ownership) {
  return fmt::format("<lab:machine xmlns:lab='{}' lab='{}' name='{}' directory='{}' ssh='{}'/>",
                     metadata_namespace, xml_escape(ownership.id.lab_id),
                     xml_escape(ownership.id.name), xml_escape(ownership.directory.string()),
                     ownership.ssh_port);
}

std::optional<Ownership> parse_metadata(const std::string& xml) {
  const auto lab_id = attribute(xml, "lab");
  const auto name = attribute(xml, "name");
  const auto directory = attribute(xml, "directory");
  const auto port = attribute(xml, "ssh");
  if (!lab_id || !name || !directory || !port) return std::nullopt;
  Ownership ownership{{*lab_id, *name}, *directory, 0};
  std::from_chars(port->data(), port->data() + port->size(), ownership.ssh_port);
  return ownership;
}

std::filesystem::path disk_path(const std::filesystem::path& machine_directory) {
  return machine_directory / "disk.qcow2";
}
std::filesystem::path initrd_path(const std::filesystem::path& machine_directory) {
  return machine_directory / "initrd";
}
std::filesystem::path seed_path(const std::filesystem::path& machine_directory) {
  return machine_directory / "seed";
}

std::string domain_xml(const MachineSpec& spec, bool kvm) {
  return fmt::format(
             "<domain type='{}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
             "  <name>{}</name>\n"
             "  <uuid>{}</uuid>\n"
             "  <metadata>{}</metadata>\n"
             "  <memory unit='MiB'>{}</memory>\n"
             "  <vcpu{}>{}</vcpu>\n",
             kvm ? "kvm" : "qemu", xml_escape(domain_name(spec.id)), domain_uuid(spec.id),
             metadata_xml({spec.id, spec.directory, spec.ssh_port}), spec.memory_mib,
             spec.cpus_max > spec.cpus ? fmt::format(" current='{}'", spec.cpus) : "",
             std::max(spec.cpus, spec.cpus_max)) +
         os_xml(spec, kvm) + "  <features><acpi/><apic/></features>\n" + cpu_xml(kvm) +
         "  <clock offset='utc'/>\n"
         "  <on_poweroff>destroy</on_poweroff>\n"
         "  <on_reboot>restart</on_reboot>\n"
         "  <on_crash>destroy</on_crash>\n"
         "  <devices>\n" +
         disks_xml(spec) + "    <controller type='usb' model='none'/>\n" +
         lab_nic_xml(spec.lab_nic) +
         fmt::format(
             "    <serial type='file'><source path='{}' append='off'/>"
             "<target type='isa-serial' port='0'/></serial>\n",
             xml_escape(console_path(spec.directory).string())) +
         "    <audio id='1' type='none'/>\n"
         "    <memballoon model='none'/>\n"
         "  </devices>\n" +
         command_line_xml(spec) + "</domain>\n";
}

Result<std::string> incoming_domain_xml(std::string xml, const std::filesystem::path& memory_file) {
  const std::string closing = "</qemu:commandline>";
  const std::size_t end = xml.rfind(closing);
  const std::size_t memory = xml.find(anonymous_memory);
  if (end == std::string::npos || memory == std::string::npos)
    return make_error(Code::unsupported, "it was defined by an older version of this program");
  xml.insert(end, argument("-incoming") + argument("defer"));
  if (memory_file.empty()) return xml;
  xml.replace(memory, std::strlen(anonymous_memory),
              xml_escape(fmt::format("memory-backend-file,mem-path={},share=off,",
                                     option_value(memory_file))));
  return xml;
}

}  // namespace lab::vm
