#include "vm/seed.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <boost/json.hpp>

#include "base/digest.hpp"
#include "base/random.hpp"
#include "vm/cpio.hpp"
#include "vm/embedded.hpp"

namespace lab::vm {
namespace {

// QEMU's user networking, the same in each machine's own little network.
constexpr const char* management_address = "10.0.2.15/24";
constexpr const char* management_gateway = "10.0.2.2";
constexpr const char* management_name_server = "10.0.2.3";

std::string hosts_file(const MachineSpec& spec) {
  std::string text =
      "127.0.0.1 localhost\n"
      "::1 localhost ip6-localhost ip6-loopback\n";
  for (const auto& [address, name] : spec.identity.hosts)
    text += fmt::format("{} {}\n", address, name);
  return text;
}

// Each connection is served by a fork of the daemon, which would otherwise start itself anew for
// it: under emulation that is two thirds of what a login costs.
SeedFile sshd_drop_in() {
  return {"/etc/systemd/system/ssh.service.d/lab.conf",
          "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -r\n",
          0644,
          {}};
}

std::string authorized_keys_file(const MachineSpec& spec) {
  std::string text;
  for (const std::string& key : spec.identity.authorized_keys) text += key + "\n";
  return text;
}

std::string with_final_newline(std::string text) {
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

// What guest/network.cpp reads. A template's NICs only get their names: nobody may reach it.
std::string network_config(const MachineSpec& spec) {
  if (spec.is_template)
    return fmt::format("nic {} mgmt0\nnic {} lab0\n", management_mac(spec.id), spec.lab_nic.mac);
  return fmt::format("nic {} mgmt0 {} {}\nnic {} lab0 {}\n", management_mac(spec.id),
                     management_address, management_gateway, spec.lab_nic.mac,
                     spec.identity.lab_address);
}

Result<void> check_path(const std::string& path) {
  const std::filesystem::path parsed(path);
  if (parsed.is_absolute() && parsed.has_filename() && parsed.lexically_normal().string() == path &&
      path.find('\0') == std::string::npos)
    return {};
  return make_error(Code::invalid_argument,
                    "seed file `{}`: the path has to be absolute, without `.`, `..` or empty parts",
                    path);
}

struct ArchiveCloser {
  void operator()(archive* writer) const { archive_write_free(writer); }
};
struct EntryCloser {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

// libarchive's way of handing over what it has written.
la_ssize_t append_to_string(archive*, void* target, const void* bytes, std::size_t count) {
  static_cast<std::string*>(target)->append(static_cast<const char*>(bytes), count);
  return static_cast<la_ssize_t>(count);
}

bool write_entry(archive* writer, const char* name, const std::string& content) {
  const std::unique_ptr<archive_entry, EntryCloser> entry(archive_entry_new());
  archive_entry_set_pathname(entry.get(), name);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content.size()));
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0444);
  return archive_write_header(writer, entry.get()) == ARCHIVE_OK &&
         archive_write_data(writer, content.data(), content.size()) ==
             static_cast<la_ssize_t>(content.size());
}

boost::json::object written_file(const SeedFile& file) {
  return {{"path", file.path},
          {"permissions", fmt::format("0{:o}", file.mode & 07777)},
          {"encoding", "b64"},
          {"content", base64_encode(file.content)}};
}

}  // namespace

std::string management_mac(const MachineId& id) {
  const std::string hash = sha256(id.lab_id + "\n" + id.name);
  const auto byte = [&hash](int i) { return static_cast<unsigned char>(hash.at(i)); };
  return fmt::format("52:55:{:02x}:{:02x}:{:02x}:{:02x}", byte(0), byte(1), byte(2), byte(3));
}

std::string machine_identifier(const MachineSpec& spec) {
  return sha256_hex(spec.id.lab_id + "\n" + spec.id.name + "\n" + spec.identity.ssh_host_key_pub)
      .substr(0, 32);
}

std::vector<SeedFile> recipe_seed_files(const MachineSpec& spec) {
  const Identity& identity = spec.identity;
  std::vector<SeedFile> files = {
      {"/etc/hostname", identity.hostname + "\n", 0644},
      {"/etc/hosts", hosts_file(spec), 0644},
      {"/etc/machine-id", machine_identifier(spec) + "\n", 0444},
      {"/etc/resolv.conf", fmt::format("nameserver {}\n", management_name_server), 0644},
      {"/etc/ssh/ssh_host_ed25519_key", with_final_newline(identity.ssh_host_key), 0600},
      {"/etc/ssh/ssh_host_ed25519_key.pub", with_final_newline(identity.ssh_host_key_pub), 0644},
      {"/root/.ssh/authorized_keys", authorized_keys_file(spec), 0600},
      sshd_drop_in(),
  };
  for (const SeedFile& file : spec.seed_files) {
    std::erase_if(files, [&file](const SeedFile& other) { return other.path == file.path; });
    files.push_back(file);
  }
  return files;
}

std::vector<SeedFile> template_seed_files(const MachineSpec& spec) {
  const std::string units = "/etc/systemd/system/";
  const std::string drop_in = "/lab-identity.conf";
  // guest/identity.cpp removes all but the program.
  std::vector<SeedFile> files = {
      {"/etc/hostname", "template\n", 0644},
      {"/etc/machine-id", machine_identifier(spec) + "\n", 0444},
      {"/usr/local/sbin/lab-guest", std::string(embedded_file("guest_init")), 0755},
      {units + "lab-identity.service", std::string(embedded_file("lab-identity.service")), 0644},
      {units + "multi-user.target.d" + drop_in, "[Unit]\nWants=lab-identity.service\n", 0644},
      // Nothing is written down here; the journal begins with the machine's own id.
      {"/etc/systemd/journald.conf.d/template.conf", "[Journal]\nStorage=none\n", 0644},
      {units + "engined.service.d" + drop_in,
       "[Unit]\nAfter=lab-modules.service\n"
       "[Service]\nExecStartPre=-/sbin/modprobe -a -q vxlan ip_vs\n"
       "ExecStartPre=-/bin/sh /var/lib/lab/template/prepare\n",
       0644},
      // It waits for somebody to write the key into the pipe.
      {units + "ssh.service.d/lab.conf",
       "[Service]\nTimeoutStartSec=infinity\nExecStartPre=mkdir -p /run/lab\n"
       "ExecStartPre=-mkfifo -m 600 /run/lab/host-key\nExecStart=\n"
       "ExecStart=/usr/sbin/sshd -D -r -h /run/lab/host-key\n",
       0644}};
  // Their work is done before the wait.
  for (const char* unit :
       {"systemd-tmpfiles-setup.service", "systemd-sysctl.service", "power-button.service"})
    files.push_back(
        {units + unit + ".d" + drop_in, "[Unit]\nConditionPathExists=!/run/lab/template\n", 0644});
  files.insert(files.end(), spec.seed_files.begin(), spec.seed_files.end());
  return files;
}

Result<std::string> recipe_seed_archive(const MachineSpec& spec) {
  CpioWriter archive;
  archive.add_file(spec.is_template ? "lab/template" : "lab/identity", {}, 0600);
  archive.add_file("lab/random", secure_random_bytes(64), 0600);
  archive.add_file("lab/config", network_config(spec), 0600);
  archive.add_directory("lab/files", 0755);
  for (const SeedFile& file :
       spec.is_template ? template_seed_files(spec) : recipe_seed_files(spec)) {
    LAB_CHECK(check_path(file.path));
    archive.add_file("lab/files" + file.path, file.content, file.mode & 07777);
  }
  return archive.finish();
}

std::string first_program_archive() {
  CpioWriter archive;
  archive.add_file("init", embedded_file("guest_init"), 0755);
  return archive.finish();
}

NoCloud nocloud_documents(const MachineSpec& spec) {
  const Identity& identity = spec.identity;
  boost::json::array keys(identity.authorized_keys.begin(), identity.authorized_keys.end());
  boost::json::array files;
  for (const SeedFile& file : spec.seed_files) files.push_back(written_file(file));
  files.push_back(written_file({"/etc/hosts", hosts_file(spec), 0644}));
  const boost::json::object user = {
      {"hostname", identity.hostname},
      {"preserve_hostname", false},
      {"disable_root", false},
      {"ssh_pwauth", false},
      {"ssh_deletekeys", true},
      {"ssh_genkeytypes", boost::json::array{}},
      {"ssh_keys",
       {{"ed25519_private", with_final_newline(identity.ssh_host_key)},
        {"ed25519_public", with_final_newline(identity.ssh_host_key_pub)}}},
      {"users", {{{"name", "root"}, {"lock_passwd", true}, {"ssh_authorized_keys", keys}}}},
      {"growpart", {{"mode", "auto"}, {"devices", {"/"}}}},
      {"write_files", files}};
  const std::string user_data = "#cloud-config\n" + boost::json::serialize(user) + "\n";

  boost::json::object lab = {
      {"match", {{"macaddress", spec.lab_nic.mac}}}, {"set-name", "lab0"}, {"optional", true}};
  if (!identity.lab_address.empty())
    lab["addresses"] = boost::json::array{boost::json::string(identity.lab_address)};
  const boost::json::object management = {
      {"match", {{"macaddress", management_mac(spec.id)}}},
      {"set-name", "mgmt0"},
      {"addresses", boost::json::array{boost::json::string(management_address)}},
      {"gateway4", management_gateway},
      {"nameservers",
       {{"addresses", boost::json::array{boost::json::string(management_name_server)}}}}};
  const boost::json::object network = {{"version", 2},
                                       {"ethernets", {{"mgmt0", management}, {"lab0", lab}}}};

  // cloud-init does its work again when the instance is another one.
  const std::string instance =
      sha256_hex(user_data + boost::json::serialize(network)).substr(0, 16);
  const boost::json::object meta = {{"instance-id", spec.id.name + "-" + instance},
                                    {"local-hostname", identity.hostname}};
  return {boost::json::serialize(meta) + "\n", user_data, boost::json::serialize(network) + "\n"};
}

Result<std::string> nocloud_volume(const NoCloud& documents) {
  std::string volume;
  const std::unique_ptr<archive, ArchiveCloser> writer(archive_write_new());
  const bool written =
      archive_write_set_format_iso9660(writer.get()) == ARCHIVE_OK &&
      archive_write_set_options(writer.get(), "volume-id=cidata,joliet,rockridge=useful") ==
          ARCHIVE_OK &&
      archive_write_open(writer.get(), &volume, nullptr, append_to_string, nullptr) == ARCHIVE_OK &&
      write_entry(writer.get(), "meta-data", documents.meta_data) &&
      write_entry(writer.get(), "user-data", documents.user_data) &&
      write_entry(writer.get(), "network-config", documents.network_config) &&
      archive_write_close(writer.get()) == ARCHIVE_OK;
  if (!written)
    return make_error(Code::internal, "writing the NoCloud volume: {}",
                      archive_error_string(writer.get()) ? archive_error_string(writer.get()) : "");
  return volume;
}

}  // namespace lab::vm
