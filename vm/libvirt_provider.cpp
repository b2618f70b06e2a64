// The blocking calls of libvirt's C API, all in this file, libvirt_relay.cpp and
// libvirt_state.cpp; each operation runs on the pool.
#include <poll.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <mutex>

#include "base/blocking.hpp"
#include "base/clock.hpp"
#include "base/file.hpp"
#include "vm/domain_xml.hpp"
#include "vm/kvm.hpp"
#include "vm/libvirt_handles.hpp"
#include "vm/libvirt_relay.hpp"
#include "vm/libvirt_session.hpp"
#include "vm/libvirt_state.hpp"
#include "vm/machine_files.hpp"
#include "vm/provider.hpp"

namespace lab::vm {
namespace {

bool last_error_is(int code) {
  const virErrorPtr last = virGetLastError();
  return last != nullptr && last->code == code;
}

MachineState state_of(virDomainPtr domain) {
  int state = VIR_DOMAIN_NOSTATE;
  int reason = 0;
  if (virDomainGetState(domain, &state, &reason, 0) != 0) return MachineState::absent;
  switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
    case VIR_DOMAIN_SHUTDOWN: return MachineState::running;
    case VIR_DOMAIN_PAUSED:
    case VIR_DOMAIN_PMSUSPENDED:
      return waits_for_state(domain) ? MachineState::unfinished : MachineState::paused;
    case VIR_DOMAIN_CRASHED: return MachineState::crashed;
    default: break;
  }
  const bool died = reason == VIR_DOMAIN_SHUTOFF_CRASHED || reason == VIR_DOMAIN_SHUTOFF_FAILED;
  return died ? MachineState::crashed : MachineState::off;
}

bool is_active(MachineState state) {
  return state == MachineState::running || state == MachineState::paused ||
         state == MachineState::unfinished;
}

std::optional<Ownership> ownership_of(virDomainPtr domain) {
  char* text = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, metadata_namespace, 0);
  if (text == nullptr) return std::nullopt;
  std::optional<Ownership> ownership = parse_metadata(text);
  std::free(text);
  return ownership;
}

// A distribution's update of QEMU need not change its version.
constexpr const char* emulator_path = "/usr/bin/qemu-system-x86_64";

std::string file_stamp(const char* path) {
  struct stat info {};
  if (stat(path, &info) != 0) return "?";
  return fmt::format("{}/{}", info.st_size, info.st_mtim.tv_sec);
}

// With KVM a guest sees the host's processor, as its kernel lets it.
std::string host_processor() {
  const Result<std::string> text = read_file("/proc/cpuinfo");
  std::string processor = "kvm";
  utsname kernel{};
  if (uname(&kernel) == 0) processor += fmt::format(" {}", kernel.release);
  if (!text) return processor;
  for (const char* field : {"model name", "microcode", "flags"}) {
    const std::size_t at = text->find(field);
    if (at != std::string::npos) processor += " " + text->substr(at, text->find('\n', at) - at);
  }
  return processor;
}

class LibvirtProvider final : public Provider {
 public:
  explicit LibvirtProvider(std::string uri) : uri_(std::move(uri)) {
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});  // errors are values, not lines on stderr
  }

  [[nodiscard]] std::vector<std::string> notices() const override {
    const KvmStatus& status = kvm();
    if (status.usable) return {};
    return {fmt::format("KVM cannot be used here ({}): machines are emulated, which is slower",
                        status.reason)};
  }

  boost::asio::awaitable<Result<std::string>> emulator() override {
    std::function<Result<std::string>()> work = [this] { return emulator_now(); };
    co_return co_await run_blocking(std::move(work));
  }
  boost::asio::awaitable<Result<void>> define(MachineSpec spec) override {
    std::function<Result<void>()> work = [this, &spec] { return define_now(spec); };
    co_return co_await run_blocking(std::move(work));
  }
  boost::asio::awaitable<Result<void>> start(MachineId id) override {
    std::function<Result<void>()> work = [this, &id] { return start_now(id); };
    co_return co_await run_blocking(std::move(work));
  }
  boost::asio::awaitable<Result<void>> save(MachineId id, SavedState state) override {
    std::function<Result<void>()> work = [this, &id, &state] { return save_now(id, state); };
    co_return co_await run_blocking(std::move(work));
  }
  boost::asio::awaitable<Result<void>> start_saved(MachineId id, SavedState state) override {
    std::function<Result<void>()> work = [this, &id, &state] { return start_saved_now(id, state); };
    co_return co_await run_blocking(std::move(work));
  }
  boost::asio::awaitable<Result<void>> set_cpus(MachineId id, unsigned cpus) override {
    std::function<Result<void>()> work = [this, &id, cpus] { return set_cpus_now(id, cpus); };
    co_return co_await run_blocking(std::move(work));
  }
  boost::asio::awaitable<Result<void>> stop(MachineId id, std::chrono::milliseconds grace) override;
  boost::asio::awaitable<Result<void>> destroy(MachineId id) override {
    std::function<Result<void>()> work = [this, &id] { return destroy_now(id); };
    co_return co_await run_blocking(std::move(work));
  }
  boost::asio::awaitable<Result<MachineState>> state(MachineId id) override {
    std::function<Result<MachineState>()> work = [this, &id] { return state_now(id); };
    co_return co_await run_blocking(std::move(work));
  }
  boost::asio::awaitable<Result<PortRelay>> open_port(MachineId id,
                                                      std::uint16_t guest_port) override {
    std::function<Result<PortRelay>()> work = [this, &id, guest_port] {
      return open_port_now(id, guest_port);
    };
    co_return co_await run_blocking(std::move(work));
  }
  boost::asio::awaitable<Result<void>> close_port(MachineId id, std::uint16_t guest_port) override {
    std::function<Result<void>()> work = [this, &id, guest_port] {
      return close_port_now(id, guest_port);
    };
    co_return co_await run_blocking(std::move(work));
  }
  boost::asio::awaitable<Result<std::vector<MachineInfo>>> list(std::string lab_id) override {
    std::function<Result<std::vector<MachineInfo>>()> work = [this, &lab_id] {
      return list_now(lab_id);
    };
    co_return co_await run_blocking(std::move(work));
  }

 private:
  Result<virConnectPtr> connection();
  static Result<void> start_own_session();
  // The machine's domain; null when there is none; Code::conflict when it is not ours.
  Result<Domain> find(virConnectPtr connection, const MachineId& id);
  const KvmStatus& kvm() const {
    std::call_once(kvm_once_, [this] { kvm_ = probe_kvm(); });
    return kvm_;
  }

  Result<std::string> emulator_now();
  Result<void> define_now(const MachineSpec& spec);
  Result<void> start_now(const MachineId& id);
  Result<void> save_now(const MachineId& id, const SavedState& state);
  Result<void> start_saved_now(const MachineId& id, const SavedState& state);
  Result<void> set_cpus_now(const MachineId& id, unsigned cpus);
  Result<void> press_power_button(const MachineId& id);
  Result<void> pull_plug(const MachineId& id);
  Result<void> destroy_now(const MachineId& id);
  Result<MachineState> state_now(const MachineId& id);
  Result<std::vector<MachineInfo>> list_now(const std::string& lab_id);
  Result<PortRelay> open_port_now(const MachineId& id, std::uint16_t guest_port);
  Result<void> close_port_now(const MachineId& id, std::uint16_t guest_port);

  std::string uri_;
  std::mutex mutex_;  // guards connection_
  Connection connection_;
  mutable std::once_flag kvm_once_;
  mutable KvmStatus kvm_;
};

Result<virConnectPtr> LibvirtProvider::connection() {
  const std::scoped_lock lock(mutex_);
  if (connection_ && virConnectIsAlive(connection_.get()) == 1) return connection_.get();
  if (session_is_ours_to_start(uri_) && !session_answers()) LAB_CHECK(start_own_session());
  connection_.reset(virConnectOpen(uri_.c_str()));
  if (!connection_)
    return libvirt_error(Code::unavailable, fmt::format("connecting to libvirt at {}", uri_));
  return connection_.get();
}

// Returns when it answers, or does not in time: then opening a connection says why.
Result<void> LibvirtProvider::start_own_session() {
  constexpr int look_again_ms = 20;  // libvirt has no way to wait for a daemon
  constexpr std::chrono::seconds time_max{20};
  LAB_CHECK(start_session());
  const SystemClock clock;
  const TimePoint deadline = clock.now() + time_max;
  while (!session_answers() && clock.now() < deadline) poll(nullptr, 0, look_again_ms);
  return {};
}

Result<Domain> LibvirtProvider::find(virConnectPtr connection, const MachineId& id) {
  const std::string name = domain_name(id);
  Domain domain(virDomainLookupByName(connection, name.c_str()));
  if (!domain) {
    if (last_error_is(VIR_ERR_NO_DOMAIN)) return Domain{};
    return libvirt_error(Code::internal, fmt::format("looking for machine {}", name));
  }
  const std::optional<Ownership> ownership = ownership_of(domain.get());
  if (ownership && ownership->id == id) return domain;
  return make_error(Code::conflict,
                    "the libvirt domain {} was not made by this program, so it is left alone; "
                    "rename it or this lab",
                    name);
}

Result<std::string> LibvirtProvider::emulator_now() {
  LAB_TRY(const virConnectPtr connection, this->connection());
  unsigned long libvirt = 0;
  unsigned long qemu = 0;
  if (virConnectGetLibVersion(connection, &libvirt) != 0 ||
      virConnectGetVersion(connection, &qemu) != 0)
    return libvirt_error(Code::internal, "asking libvirt for its version");
  return fmt::format("libvirt {} qemu {} {} {}", libvirt, qemu, file_stamp(emulator_path),
                     kvm().usable ? host_processor() : "emulated");
}

Result<void> LibvirtProvider::define_now(const MachineSpec& spec) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain existing, find(connection, spec.id));
  if (existing) {
    const std::optional<Ownership> ownership = ownership_of(existing.get());
    if (ownership && ownership->directory != spec.directory)
      return make_error(Code::conflict, "machine {} exists already, in {}; destroy that lab first",
                        domain_name(spec.id), ownership->directory.string());
  }
  LAB_TRY(const MachineSpec prepared, prepare_machine_files(spec));
  const std::string xml = domain_xml(prepared, kvm().usable);
  const Domain domain(virDomainDefineXMLFlags(connection, xml.c_str(), 0));
  if (!domain)
    return libvirt_error(Code::internal, fmt::format("defining machine {}", domain_name(spec.id)));
  return {};
}

Result<void> LibvirtProvider::start_now(const MachineId& id) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain domain, find(connection, id));
  if (!domain) return make_error(Code::not_found, "machine {} is not defined", domain_name(id));
  const MachineState state = state_of(domain.get());
  if (state == MachineState::running) return {};
  if (state == MachineState::unfinished) LAB_CHECK(pull_plug(id));
  const bool done = state == MachineState::paused ? virDomainResume(domain.get()) == 0
                                                  : virDomainCreate(domain.get()) == 0;
  if (done) return {};
  Error error = libvirt_error(Code::internal, fmt::format("starting machine {}", domain_name(id)));
  // Somebody else may have been faster.
  if (state_of(domain.get()) == MachineState::running) return {};
  return error;
}

Result<void> LibvirtProvider::save_now(const MachineId& id, const SavedState& state) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain domain, find(connection, id));
  if (!domain || !is_active(state_of(domain.get())))
    return make_error(Code::unavailable, "machine {} does not run: there is nothing to save",
                      domain_name(id));
  if (state_of(domain.get()) == MachineState::running && virDomainSuspend(domain.get()) != 0)
    return libvirt_error(Code::internal, fmt::format("pausing machine {}", domain_name(id)));
  if (auto saved = write_domain_state(domain.get(), state); !saved)
    return saved.error().wrap("saving machine {}", domain_name(id));
  return {};
}

Result<void> LibvirtProvider::start_saved_now(const MachineId& id, const SavedState& state) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain domain, find(connection, id));
  if (!domain) return make_error(Code::not_found, "machine {} is not defined", domain_name(id));
  const MachineState now = state_of(domain.get());
  if (now == MachineState::unfinished) {
    LAB_CHECK(pull_plug(id));
  } else if (is_active(now)) {
    return make_error(Code::conflict, "machine {} runs already; stop it first", domain_name(id));
  }
  if (auto started = start_domain_from_state(connection, domain.get(), state); !started)
    return started.error().wrap("starting machine {} from its saved state", domain_name(id));
  return {};
}

Result<void> LibvirtProvider::set_cpus_now(const MachineId& id, unsigned cpus) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain domain, find(connection, id));
  if (!domain || !is_active(state_of(domain.get())))
    return make_error(Code::unavailable, "machine {} does not run", domain_name(id));
  const int max =
      virDomainGetVcpusFlags(domain.get(), VIR_DOMAIN_VCPU_LIVE | VIR_DOMAIN_VCPU_MAXIMUM);
  if (max < static_cast<int>(cpus))
    return make_error(Code::unsupported, "it was started to have {} processors at most", max);
  constexpr int look_again_ms = 20;
  constexpr std::chrono::seconds time_max{30};
  const SystemClock clock;
  const TimePoint deadline = clock.now() + time_max;
  // libvirt waits for a guest to let a processor go, but an emulated one may take longer.
  if (virDomainSetVcpusFlags(domain.get(), cpus, VIR_DOMAIN_VCPU_LIVE) != 0 &&
      !last_error_is(VIR_ERR_OPERATION_TIMEOUT))
    return libvirt_error(Code::unavailable, fmt::format("giving it {} processors", cpus));
  while (virDomainGetVcpusFlags(domain.get(), VIR_DOMAIN_VCPU_LIVE) != static_cast<int>(cpus)) {
    if (clock.now() >= deadline)
      return make_error(Code::unavailable, "the guest does not let its processors go");
    poll(nullptr, 0, look_again_ms);
  }
  // So that it can be started from a state that is saved from now on: with them plugged in.
  if (virDomainSetVcpusFlags(domain.get(), cpus,
                             VIR_DOMAIN_VCPU_CONFIG | VIR_DOMAIN_VCPU_HOTPLUGGABLE) != 0)
    return libvirt_error(Code::internal, fmt::format("remembering {} processors", cpus));
  return {};
}

Result<void> LibvirtProvider::press_power_button(const MachineId& id) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain domain, find(connection, id));
  if (!domain || !is_active(state_of(domain.get()))) return {};
  if (state_of(domain.get()) == MachineState::paused) virDomainResume(domain.get());
  if (virDomainShutdownFlags(domain.get(), VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) == 0 ||
      !is_active(state_of(domain.get())))
    return {};
  return libvirt_error(Code::internal,
                       fmt::format("pressing the power button of {}", domain_name(id)));
}

Result<void> LibvirtProvider::pull_plug(const MachineId& id) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain domain, find(connection, id));
  if (!domain || !is_active(state_of(domain.get()))) return {};
  if (virDomainDestroy(domain.get()) == 0 || !is_active(state_of(domain.get()))) return {};
  return libvirt_error(Code::internal, fmt::format("stopping machine {}", domain_name(id)));
}

boost::asio::awaitable<Result<void>> LibvirtProvider::stop(MachineId id,
                                                           std::chrono::milliseconds grace) {
  constexpr std::chrono::milliseconds look_again{50};
  constexpr std::chrono::seconds press_again{2};  // a guest that boots does not feel it yet
  const SystemClock clock;
  const TimePoint deadline = clock.now() + grace;
  TimePoint press_at = clock.now();
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  while (clock.now() < deadline) {
    LAB_CO_TRY(const MachineState now, co_await state(id));
    if (!is_active(now)) co_return Result<void>{};
    if (now == MachineState::unfinished) break;  // there is no guest yet that could feel a button
    if (clock.now() >= press_at) {
      std::function<Result<void>()> press = [this, &id] { return press_power_button(id); };
      LAB_CO_CHECK(co_await run_blocking(std::move(press)));
      press_at = clock.now() + press_again;
    }
    timer.expires_after(look_again);
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
  std::function<Result<void>()> pull = [this, &id] { return pull_plug(id); };
  co_return co_await run_blocking(std::move(pull));
}

Result<void> LibvirtProvider::destroy_now(const MachineId& id) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain domain, find(connection, id));
  if (!domain) return {};
  const std::optional<Ownership> ownership = ownership_of(domain.get());
  LAB_CHECK(pull_plug(id));
  constexpr unsigned flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
                             VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                             VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
  if (virDomainUndefineFlags(domain.get(), flags) != 0 && !last_error_is(VIR_ERR_NO_DOMAIN))
    return libvirt_error(Code::internal, fmt::format("removing machine {}", domain_name(id)));
  if (ownership) remove_machine_files(ownership->directory);
  std::error_code ignored;
  std::filesystem::remove(session_log_path(domain_name(id)), ignored);
  return {};
}

Result<MachineState> LibvirtProvider::state_now(const MachineId& id) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain domain, find(connection, id));
  return domain ? state_of(domain.get()) : MachineState::absent;
}

Result<std::vector<MachineInfo>> LibvirtProvider::list_now(const std::string& lab_id) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  virDomainPtr* all = nullptr;
  const int count = virConnectListAllDomains(connection, &all, 0);
  if (count < 0) return libvirt_error(Code::internal, "listing machines");
  std::vector<MachineInfo> machines;
  for (int i = 0; i < count; ++i) {
    const Domain domain(all[i]);
    // Our names say their lab; this spares a question about domains that are not ours.
    if (!std::string_view(virDomainGetName(domain.get())).starts_with(lab_id)) continue;
    const std::optional<Ownership> ownership = ownership_of(domain.get());
    if (!ownership || (!lab_id.empty() && ownership->id.lab_id != lab_id)) continue;
    machines.push_back(
        {ownership->id, state_of(domain.get()), ownership->directory, ownership->ssh_port});
  }
  std::free(all);
  std::sort(machines.begin(), machines.end(),
            [](const MachineInfo& a, const MachineInfo& b) { return a.id < b.id; });
  return machines;
}

Result<PortRelay> LibvirtProvider::open_port_now(const MachineId& id, std::uint16_t guest_port) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain domain, find(connection, id));
  if (!domain || !is_active(state_of(domain.get())))
    return make_error(Code::unavailable, "machine {} is not running", domain_name(id));
  return open_relay(domain.get(), id, guest_port);
}

Result<void> LibvirtProvider::close_port_now(const MachineId& id, std::uint16_t guest_port) {
  LAB_TRY(const virConnectPtr connection, this->connection());
  LAB_TRY(const Domain domain, find(connection, id));
  if (!domain || !is_active(state_of(domain.get()))) return {};
  return close_relay(domain.get(), id, guest_port);
}

}  // namespace

std::unique_ptr<Provider> make_libvirt_provider(std::string uri) {
  return std::make_unique<LibvirtProvider>(settle_session_uri(uri));
}

}  // namespace lab::vm
