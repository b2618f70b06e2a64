#include "provision/lab/keys.hpp"

#include "base/file.hpp"
#include "base/x509.hpp"

namespace lab::provision {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::hours day(24);

Result<SshKeyPair> ensure_ssh_key(const fs::path& path, std::string_view comment) {
  fs::path public_path = path;
  public_path += ".pub";
  auto private_key = read_file(path);
  auto public_key = read_file(public_path);
  if (private_key && public_key) {
    while (public_key->ends_with('\n')) public_key->pop_back();
    return SshKeyPair{std::move(*private_key), std::move(*public_key)};
  }
  LAB_CHECK(make_directories(path.parent_path(), 0700));
  LAB_TRY(SshKeyPair pair, make_ssh_key(comment));
  // The public part last: a pair without it is made again.
  LAB_CHECK(write_file_durably(path, pair.private_key, 0600));
  LAB_CHECK(write_file_durably(public_path, pair.public_key + "\n", 0644));
  return pair;
}

fs::path host_key_path(const LabPaths& paths, const std::string& machine) {
  return paths.keys() / (machine + "_host_ed25519");
}

Result<void> write_if_changed(const fs::path& path, const std::string& content, mode_t mode) {
  auto old = read_file(path);
  if (old && *old == content) return {};
  return write_file(path, content, mode);
}

Result<void> keep(const fs::path& path, const Certificate& certificate) {
  LAB_CHECK(make_directories(path.parent_path(), 0700));
  LAB_CHECK(write_file_durably(path.string() + ".key", certificate.private_key_pem, 0600));
  return write_file_durably(path.string() + ".crt", certificate.certificate_pem, 0644);
}

// The certificate that was kept, if it still holds for a month and for these addresses.
std::optional<Certificate> kept(const fs::path& path, const Clock& clock,
                                const std::vector<std::string>& ip_addresses) {
  auto certificate = read_file(path.string() + ".crt");
  auto key = read_file(path.string() + ".key");
  if (!certificate || !key || !x509::check_key(*certificate, *key)) return std::nullopt;
  auto fields = x509::parse_certificate(*certificate);
  if (!fields || fields->not_after < clock.wall_now() + 30 * day ||
      fields->ip_addresses != ip_addresses) {
    return std::nullopt;
  }
  return Certificate{std::move(*certificate), std::move(*key)};
}

}  // namespace

Result<SshKeyPair> ensure_user_key(const LabPaths& paths) {
  return ensure_ssh_key(paths.user_key(), "lab");
}

Result<SshKeyPair> ensure_host_key(const LabPaths& paths, const std::string& machine) {
  return ensure_ssh_key(host_key_path(paths, machine), machine);
}

std::string ssh_config_text(const LabPaths& paths, const LabState& state) {
  std::string text;
  for (const auto& [name, machine] : state.machines) {
    text += fmt::format(
        "Host {0}\n"
        "  HostName 127.0.0.1\n"
        "  Port {1}\n"
        "  User root\n"
        "  HostKeyAlias {0}.{2}\n"
        "  IdentityFile \"{3}\"\n"
        "  IdentitiesOnly yes\n"
        "  UserKnownHostsFile \"{4}\"\n"
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
        "  PasswordAuthentication no\n"
        "  HostKeyAlgorithms ssh-ed25519\n"
        "  KexAlgorithms curve25519-sha256\n"
        "  ConnectTimeout 30\n"
        "  LogLevel ERROR\n",
        name, machine.ssh_port, state.id, paths.user_key().string(), paths.known_hosts().string());
  }
  return text;
}

Result<void> write_ssh_files(const LabPaths& paths, const LabState& state) {
  std::string known;
  for (const auto& [name, machine] : state.machines) {
    LAB_TRY(SshKeyPair host, ensure_host_key(paths, name));
    known += fmt::format("{}.{} {}\n", name, state.id, host.public_key);
  }
  LAB_CHECK(write_if_changed(paths.known_hosts(), known, 0644));
  return write_if_changed(paths.ssh_config(), ssh_config_text(paths, state), 0600);
}

Result<SshTarget> ssh_target(const LabPaths& paths, const LabState& state,
                             const std::string& machine) {
  auto found = state.machines.find(machine);
  if (found == state.machines.end()) {
    std::string names;
    for (const auto& [name, ports] : state.machines) names += (names.empty() ? "" : ", ") + name;
    return make_error(Code::not_found, "there is no machine \"{}\" in this lab; there are: {}",
                      machine, names.empty() ? "none" : names);
  }
  LAB_TRY(SshKeyPair user, ensure_user_key(paths));
  LAB_TRY(SshKeyPair host, ensure_host_key(paths, machine));
  SshTarget target;
  target.name = machine;
  target.port = found->second.ssh_port;
  target.private_key = std::move(user.private_key);
  target.public_key = std::move(user.public_key);
  target.host_key = std::move(host.public_key);
  return target;
}

Result<Certificate> ensure_authority(const LabPaths& paths, const Clock& clock) {
  fs::path path = paths.pki() / "ca";
  if (auto old = kept(path, clock, {})) return std::move(*old);
  Certificate made;
  LAB_TRY(made.private_key_pem, x509::generate_key());
  // Guests' clocks may be a little behind ours.
  x509::Validity validity{clock.wall_now() - day, clock.wall_now() + 3650 * day};
  x509::Name subject{"lab authority", "lab", ""};
  LAB_TRY(made.certificate_pem,
          x509::self_signed_authority(made.private_key_pem, subject, validity));
  LAB_CHECK(keep(path, made));
  return made;
}

Result<Certificate> ensure_registry_certificate(const LabPaths& paths, const Clock& clock,
                                                const Certificate& authority,
                                                const MachineConfig& machine,
                                                const RegistryConfig& registry) {
  fs::path path = paths.pki() / fmt::format("registry-{}-{}", machine.name, registry.port);
  std::vector<std::string> addresses{machine.address, "127.0.0.1"};
  if (auto old = kept(path, clock, addresses);
      old &&
      x509::verify_chain(old->certificate_pem, {authority.certificate_pem}, clock.wall_now())) {
    return std::move(*old);
  }
  Certificate made;
  LAB_TRY(made.private_key_pem, x509::generate_key());
  x509::LeafOptions options;
  options.subject = x509::Name{machine.address, "lab", ""};
  options.ip_addresses = addresses;
  options.dns_names = {machine.name, "localhost"};
  options.validity = {clock.wall_now() - day, clock.wall_now() + 825 * day};
  LAB_TRY(made.certificate_pem, x509::issue(made.private_key_pem, options,
                                            authority.certificate_pem, authority.private_key_pem));
  LAB_CHECK(keep(path, made));
  return made;
}

}  // namespace lab::provision
