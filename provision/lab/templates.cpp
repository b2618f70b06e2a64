#include "provision/lab/templates.hpp"

#include "provision/lab/state.hpp"
#include "provision/node/files.hpp"

namespace lab::provision {

namespace asio = boost::asio;

asio::awaitable<Result<vm::MachineTemplate>> Templates::ensure(vm::MachineSpec like) {
  like.seed_files.clear();
  for (const NodeFile& file : unit_files())
    like.seed_files.push_back({file.path, *file.content, file.mode});
  // For a moment only: those of the machine itself may be held by the lab's daemon already.
  std::vector<std::uint16_t> taken;
  for (std::uint16_t* port : {&like.lab_nic.nic_port, &like.lab_nic.switch_port}) {
    LAB_CO_TRY(*port, choose_port(Transport::udp, taken));
    taken.push_back(*port);
  }
  LAB_CO_TRY(like.ssh_port, choose_port(Transport::tcp, taken));
  co_return co_await vm::ensure_template(provider_, std::move(like), cache_root_,
                                         [this](std::string line) { progress_.step("lab", line); });
}

asio::awaitable<std::optional<vm::MachineTemplate>> Templates::of(const vm::MachineSpec& machine) {
  const Size size{machine.memory_mib, machine.cpus, machine.cpus_max, machine.disk_mib};
  auto [at, is_new] = entries_.try_emplace(size, executor_);
  Entry& entry = at->second;
  if (!is_new) {
    co_await entry.known.wait();
    co_return entry.found;
  }
  Result<vm::MachineTemplate> made = co_await ensure(machine);
  if (made) {
    entry.found = std::move(*made);
  } else if (made.error().code != Code::unsupported) {
    progress_.notice(fmt::format("there is no template ({}): machines boot", made.error().message));
  }
  entry.known.fire();
  co_return entry.found;
}

}  // namespace lab::provision
