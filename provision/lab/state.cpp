#include "provision/lab/state.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "base/digest.hpp"
#include "base/random.hpp"

namespace lab::provision {

namespace json = boost::json;

namespace {

// Below the kernel's ephemeral ports, which come and go.
constexpr std::uint16_t port_min = 20000;
constexpr std::uint16_t port_max = 32000;

std::uint16_t number_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_int64() ? static_cast<std::uint16_t>(value->as_int64()) : 0;
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

}  // namespace

Result<LabState> load_state(const LabPaths& paths) {
  auto text = read_file(paths.state());
  if (!text) return text.error().wrap("the lab's state");
  boost::system::error_code error;
  json::value parsed = json::parse(*text, error);
  if (error || !parsed.is_object()) {
    return make_error(Code::internal, "{} does not parse; `lab destroy` starts afresh",
                      paths.state().string());
  }
  const json::object& object = parsed.as_object();
  LabState state;
  state.name = text_of(object, "name");
  state.id = text_of(object, "id");
  state.labfile = text_of(object, "labfile");
  state.libvirt_uri = text_of(object, "libvirt_uri");
  state.mirror_port = number_of(object, "mirror_port");
  if (const json::value* machines = object.if_contains("machines");
      machines != nullptr && machines->is_object()) {
    for (const auto& [name, value] : machines->as_object()) {
      if (!value.is_object()) continue;
      const json::object& machine = value.as_object();
      state.machines[std::string(name)] =
          MachinePorts{text_of(machine, "mac"),           number_of(machine, "ssh_port"),
                       number_of(machine, "switch_port"), number_of(machine, "nic_port"),
                       number_of(machine, "cpus"),        text_of(machine, "spec_hash"),
                       text_of(machine, "image_id")};
    }
  }
  return state;
}

Result<void> save_state(const LabPaths& paths, const LabState& state) {
  json::object machines;
  for (const auto& [name, machine] : state.machines) {
    machines[name] = json::object{{"mac", machine.mac},
                                  {"ssh_port", machine.ssh_port},
                                  {"switch_port", machine.switch_port},
                                  {"nic_port", machine.nic_port},
                                  {"cpus", machine.cpus},
                                  {"spec_hash", machine.spec_hash},
                                  {"image_id", machine.image_id}};
  }
  json::object object{{"name", state.name},
                      {"id", state.id},
                      {"labfile", state.labfile.string()},
                      {"libvirt_uri", state.libvirt_uri},
                      {"mirror_port", state.mirror_port},
                      {"machines", std::move(machines)}};
  return write_file_durably(paths.state(), json::serialize(object) + "\n", 0600);
}

bool port_is_free(Transport transport, std::uint16_t port) {
  int kind = transport == Transport::tcp ? SOCK_STREAM : SOCK_DGRAM;
  Fd fd(socket(AF_INET, kind | SOCK_CLOEXEC, 0));
  int on = 1;
  // What QEMU does too: connections in TIME_WAIT do not count.
  if (transport == Transport::tcp) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return fd && bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

Result<std::uint16_t> choose_port(Transport transport, const std::vector<std::uint16_t>& taken) {
  Random random(secure_random_seed());
  for (int attempt = 0; attempt < 1000; ++attempt) {
    auto port = static_cast<std::uint16_t>(random.between(port_min, port_max));
    if (std::find(taken.begin(), taken.end(), port) == taken.end() &&
        port_is_free(transport, port)) {
      return port;
    }
  }
  return make_error(Code::unavailable, "no free port on 127.0.0.1 between {} and {}", port_min,
                    port_max);
}

std::string machine_mac(const std::string& lab_id, const std::string& machine) {
  std::string digest = sha256_hex(lab_id + "/" + machine);
  return fmt::format("52:54:00:{}:{}:{}", digest.substr(0, 2), digest.substr(2, 2),
                     digest.substr(4, 2));
}

Result<Fd> lock_lab(const LabPaths& paths) {
  LAB_CHECK(make_directories(paths.directory, 0700));
  auto lock = lock_file(paths.lock(), 500);
  if (!lock) {
    auto holder = read_file(paths.lock());
    return make_error(Code::conflict, "another lab command{} is changing this lab; try again",
                      holder && !holder->empty() ? fmt::format(" (process {})", *holder) : "");
  }
  std::string pid = std::to_string(getpid());
  if (ftruncate(lock->get(), 0) == 0) {
    [[maybe_unused]] ssize_t written = pwrite(lock->get(), pid.data(), pid.size(), 0);
  }
  return lock;
}

}  // namespace lab::provision
