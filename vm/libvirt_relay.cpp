#include "vm/libvirt_relay.hpp"

#include <libvirt/libvirt-qemu.h>

#include <cstdlib>
#include <optional>

#include "base/random.hpp"
#include "vm/domain_xml.hpp"

namespace lab::vm {
namespace {

Result<std::string> ask_monitor(virDomainPtr domain, const std::string& command) {
  char* text = nullptr;
  if (virDomainQemuMonitorCommand(domain, command.c_str(), &text,
                                  VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) != 0)
    return libvirt_error(Code::unavailable, fmt::format("`{}`", command));
  std::string answer = text == nullptr ? "" : text;
  std::free(text);
  return answer;
}

// The machine's relay to this port, if there is one.
Result<std::optional<PortRelay>> find_relay(virDomainPtr domain, const MachineId& id,
                                            std::uint16_t guest_port) {
  LAB_TRY(const std::string listed, ask_monitor(domain, "info usernet"));
  const std::string address = relay_address(id);
  for (const PortRelay& relay : parse_relays(listed))
    if (relay.host_address == address && relay.guest_port == guest_port) return relay;
  return std::nullopt;
}

}  // namespace

Result<PortRelay> open_relay(virDomainPtr domain, const MachineId& id, std::uint16_t guest_port) {
  constexpr int attempts = 20;
  LAB_TRY(const auto existing, find_relay(domain, id, guest_port));
  if (existing) return *existing;
  PortRelay relay{relay_address(id), 0, guest_port};
  std::string answer;
  Random random(secure_random_seed());
  for (int attempt = 0; attempt < attempts; ++attempt) {
    relay.host_port = static_cast<std::uint16_t>(random.between(20000, 32000));
    LAB_TRY(answer, ask_monitor(domain, add_relay_command(relay)));
    if (answer.empty()) return relay;
  }
  return make_error(Code::unavailable, "{}: `{}`: {}", domain_name(id), add_relay_command(relay),
                    answer);
}

Result<void> close_relay(virDomainPtr domain, const MachineId& id, std::uint16_t guest_port) {
  LAB_TRY(const auto relay, find_relay(domain, id, guest_port));
  // It answers "host forwarding rule for ... removed".
  if (relay) LAB_CHECK(ask_monitor(domain, remove_relay_command(*relay)));
  return {};
}

}  // namespace lab::vm
