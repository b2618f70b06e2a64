#include "engine/daemon_config.hpp"

#include <functional>
#include <map>

#include "engine/util/json.hpp"

namespace lab::engine {

namespace json = boost::json;

namespace {

using Setter = std::function<bool(DaemonConfig&, const json::value&)>;

Setter text(std::string DaemonConfig::*member) {
  return [member](DaemonConfig& config, const json::value& value) {
    if (!value.is_string()) return false;
    config.*member = std::string(value.get_string());
    return true;
  };
}

Setter path(std::filesystem::path DaemonConfig::*member) {
  return [member](DaemonConfig& config, const json::value& value) {
    if (!value.is_string()) return false;
    config.*member = std::string(value.get_string());
    return true;
  };
}

Setter flag(bool DaemonConfig::*member) {
  return [member](DaemonConfig& config, const json::value& value) {
    if (!value.is_bool()) return false;
    config.*member = value.get_bool();
    return true;
  };
}

bool take_texts(const json::value& value, std::vector<std::string>& texts) {
  if (!value.is_array()) return false;
  for (const json::value& item : value.get_array()) {
    if (!item.is_string()) return false;
    texts.emplace_back(item.get_string());
  }
  return true;
}

bool take_count(const json::value& value, unsigned& count) {
  if (!value.is_int64() || value.get_int64() < 1) return false;
  count = static_cast<unsigned>(value.get_int64());
  return true;
}

const std::map<std::string, Setter, std::less<>>& setters() {
  static const std::map<std::string, Setter, std::less<>> all = {
      {"data-root", path(&DaemonConfig::data_root)},
      {"exec-root", path(&DaemonConfig::exec_root)},
      {"pidfile", path(&DaemonConfig::pidfile)},
      {"bip", text(&DaemonConfig::bip)},
      {"group", text(&DaemonConfig::group)},
      {"debug", flag(&DaemonConfig::debug)},
      {"experimental", flag(&DaemonConfig::experimental)},
      {"tlsverify", flag(&DaemonConfig::tls_verify)},
      {"tlscacert", path(&DaemonConfig::tls_ca_certificate)},
      {"tlscert", path(&DaemonConfig::tls_certificate)},
      {"tlskey", path(&DaemonConfig::tls_key)},
      {"hosts", [](DaemonConfig& c, const json::value& v) { return take_texts(v, c.hosts); }},
      {"labels", [](DaemonConfig& c, const json::value& v) { return take_texts(v, c.labels); }},
      {"registry-mirrors",
       [](DaemonConfig& c, const json::value& v) { return take_texts(v, c.registry.mirrors); }},
      {"insecure-registries",
       [](DaemonConfig& c, const json::value& v) {
         return take_texts(v, c.registry.insecure_registries);
       }},
      {"max-concurrent-downloads",
       [](DaemonConfig& c, const json::value& v) {
         return take_count(v, c.registry.downloads_max);
       }},
      {"max-concurrent-uploads",
       [](DaemonConfig& c, const json::value& v) { return take_count(v, c.registry.uploads_max); }},
      {"mtu", [](DaemonConfig& c, const json::value& v) {
         unsigned mtu = 0;
         if (!take_count(v, mtu)) return false;
         c.mtu = static_cast<int>(mtu);
         return true;
       }}};
  return all;
}

// dockerd's other keys: their defaults are what engined does.
constexpr std::string_view accepted[] = {"allow-nondistributable-artifacts",
                                         "api-cors-header",
                                         "authorization-plugins",
                                         "bridge",
                                         "builder",
                                         "cgroup-parent",
                                         "containerd",
                                         "cpu-rt-period",
                                         "cpu-rt-runtime",
                                         "default-address-pools",
                                         "default-cgroupns-mode",
                                         "default-gateway",
                                         "default-ipc-mode",
                                         "default-runtime",
                                         "default-shm-size",
                                         "default-ulimits",
                                         "dns",
                                         "dns-opts",
                                         "dns-search",
                                         "exec-opts",
                                         "features",
                                         "fixed-cidr",
                                         "host-gateway-ip",
                                         "icc",
                                         "init",
                                         "init-path",
                                         "ip",
                                         "ip-forward",
                                         "ip-masq",
                                         "iptables",
                                         "ipv6",
                                         "live-restore",
                                         "log-driver",
                                         "log-level",
                                         "log-opts",
                                         "metrics-addr",
                                         "no-new-privileges",
                                         "node-generic-resources",
                                         "oom-score-adjust",
                                         "raw-logs",
                                         "runtimes",
                                         "seccomp-profile",
                                         "selinux-enabled",
                                         "shutdown-timeout",
                                         "storage-driver",
                                         "storage-opts",
                                         "swarm-default-advertise-addr",
                                         "tls",
                                         "userland-proxy",
                                         "userns-remap"};

}  // namespace

Result<void> apply_config_file(DaemonConfig& config, const std::string& content,
                               const std::vector<std::string>& flags) {
  if (content.find_first_not_of(" \t\r\n") == std::string::npos) return {};
  LAB_TRY(json::object document, parse_object(content));
  for (const auto& member : document) {
    std::string key(member.key());
    if (std::find(flags.begin(), flags.end(), key) != flags.end()) {
      return make_error(Code::invalid_argument,
                        "the following directives are specified both as a flag and in the "
                        "configuration file: {}",
                        key);
    }
    auto setter = setters().find(key);
    if (setter == setters().end()) {
      if (std::find(std::begin(accepted), std::end(accepted), key) != std::end(accepted)) continue;
      return make_error(Code::invalid_argument,
                        "the following directives don't match any configuration option: {}", key);
    }
    if (!setter->second(config, member.value()))
      return make_error(Code::invalid_argument, "the value of \"{}\" has the wrong type", key);
  }
  return {};
}

}  // namespace lab::engine
