// The seam between a lab and what makes its machines real. All operations are idempotent, so that
// an interrupted command can be repeated, and touch only machines that carry the lab's ownership
// mark: a machine of the same name that somebody else made is Code::conflict, never changed.
// Operations on different machines may run at the same time.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "vm/machine.hpp"
#include "vm/port_relay.hpp"
#include "vm/saved_state.hpp"

namespace lab::vm {

struct MachineInfo {
  MachineId id;
  MachineState state = MachineState::absent;
  std::filesystem::path directory;  // of its spec
  std::uint16_t ssh_port = 0;       // of its spec
};

class Provider {
 public:
  virtual ~Provider() = default;

  // What a person should know about this host, each said once by the caller:
  // "/dev/kvm cannot be used (...): machines are emulated, which is about ten times slower".
  [[nodiscard]] virtual std::vector<std::string> notices() const = 0;

  // What a saved state depends on besides its machine: the versions of hypervisor and emulator, and
  // the processor that it shows. One line, equal where states can be exchanged.
  [[nodiscard]] virtual boost::asio::awaitable<Result<std::string>> emulator() = 0;

  // Makes the machine's disk and seed and tells the hypervisor. A machine that is defined already
  // keeps its disk and takes over the rest of the spec: at once when it is off, at its next start
  // when it runs.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> define(MachineSpec spec) = 0;

  // Returns when the emulator runs; the guest then still has to boot. A running machine stays as
  // it is, a paused one goes on. The console file begins anew.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> start(MachineId id) = 0;

  // Pauses a running machine and writes its state; disks are the caller's matter. The machine stays
  // paused: start() lets it go on. A file that is there already is replaced. Code::unavailable when
  // the machine does not run.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> save(MachineId id,
                                                                  SavedState state) = 0;

  // Starts a machine that is off from such a state: of this machine, or of another one with the
  // same devices, memory and processors (its own disk, MACs and ports stay its own). It is paused
  // then: start() lets it go on. Nothing of it runs when this fails.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> start_saved(MachineId id,
                                                                         SavedState state) = 0;

  // Gives a running machine more processors, or takes some, until its next definition says
  // otherwise; the guest still has to use them. Code::unsupported for more than its cpus_max, as it
  // was started; Code::unavailable when it does not run, or the guest does not let one go.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> set_cpus(MachineId id,
                                                                      unsigned cpus) = 0;

  // Power button, and after `grace` the plug. A grace of zero pulls the plug at once.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> stop(
      MachineId id, std::chrono::milliseconds grace) = 0;

  // Plug, definition, disk, seed and console; absent is fine. The machine's folder is removed.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> destroy(MachineId id) = 0;

  [[nodiscard]] virtual boost::asio::awaitable<Result<MachineState>> state(MachineId id) = 0;

  // Where this host reaches a TCP port of a machine that runs: a port of a loopback address that
  // the emulator relays through the management NIC, whatever becomes of the lab's network. Made
  // when it is not there; ends with close_port() or the emulator. Code::unavailable for a machine
  // that does not run. Nobody has looked whether anything listens in the guest.
  [[nodiscard]] virtual boost::asio::awaitable<Result<PortRelay>> open_port(
      MachineId id, std::uint16_t guest_port) = 0;
  // Connections that exist live on. What is not open is fine.
  [[nodiscard]] virtual boost::asio::awaitable<Result<void>> close_port(
      MachineId id, std::uint16_t guest_port) = 0;

  // Every machine of the lab that the provider knows, by name; of all labs of this user when
  // `lab_id` is empty.
  [[nodiscard]] virtual boost::asio::awaitable<Result<std::vector<MachineInfo>>> list(
      std::string lab_id) = 0;
};

// Where the serial console of a machine goes, from the start of its kernel.
[[nodiscard]] std::filesystem::path console_path(const std::filesystem::path& machine_directory);

// The last `lines` lines of it, without terminal control sequences; says so when there is nothing.
[[nodiscard]] std::string console_tail(const std::filesystem::path& machine_directory,
                                       std::size_t lines = 15);

// Whether a recipe machine has said on its console that its network is configured, since it was
// started last.
[[nodiscard]] bool network_is_up(const std::filesystem::path& machine_directory);

// libvirt's C API. Connects at the first operation; "qemu:///session" starts its own daemon and
// needs no root. Code::unavailable when libvirt cannot be reached.
[[nodiscard]] std::unique_ptr<Provider> make_libvirt_provider(std::string uri = "qemu:///session");

}  // namespace lab::vm
