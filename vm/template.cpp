#include "vm/template.hpp"

#include <unistd.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/blocking.hpp"
#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/file.hpp"
#include "vm/domain_xml.hpp"
#include "vm/embedded.hpp"
#include "vm/seed.hpp"
#include "vm/template_files.hpp"

namespace lab::vm {
namespace {

namespace fs = std::filesystem;
namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr int lock_wait_ms = 10 * 60 * 1000;
constexpr std::chrono::minutes boot_time_max{5};
constexpr milliseconds look_again{20};
// guest/identity.cpp says so.
constexpr std::string_view waiting_line = "lab: waiting for an identity";
// A few sizes of machines, and an older version of this program beside this one.
constexpr std::size_t templates_kept = 6;

// The machine without what is only this one's.
MachineSpec template_spec(const MachineSpec& like) {
  MachineSpec spec = like;
  spec.id = {"template", "vm"};
  spec.directory.clear();
  spec.identity = {};
  spec.template_disk.clear();
  spec.memory_file.clear();
  spec.is_template = true;
  spec.lab_nic = {"52:54:00:00:00:00", 0, 0};
  spec.ssh_port = 0;
  return spec;
}

constexpr std::string_view unfinished_prefix = ".new-";

// Makes one template, in a folder of its own that is removed with what is left in it. Only one
// maker works in a folder of templates at a time.
class Maker {
 public:
  Maker(Provider& provider, const MachineSpec& like, const std::string& key, fs::path templates)
      : provider_(provider),
        target_(templates / key),
        folder_(templates / fmt::format("{}{}", unfinished_prefix, key)),
        spec_(template_spec(like)) {
    spec_.id.lab_id = "template-" + key.substr(0, 12);
    spec_.directory = folder_.path();
    spec_.memory_file = folder_.memory();
    spec_.lab_nic = like.lab_nic;
    spec_.ssh_port = like.ssh_port;
  }

  asio::awaitable<Result<void>> run() {
    LAB_CO_CHECK(co_await clean());
    Result<void> made = co_await make();
    Result<void> cleaned = co_await clean();
    co_return made ? cleaned : made;
  }

 private:
  asio::awaitable<Result<void>> clean();
  asio::awaitable<Result<void>> make();
  asio::awaitable<Result<void>> wait_until_it_waits();
  Result<void> publish();

  Provider& provider_;
  fs::path target_;
  TemplateFolder folder_;
  MachineSpec spec_;
};

// Also what earlier makers left that were interrupted.
asio::awaitable<Result<void>> Maker::clean() {
  const fs::path templates = target_.parent_path();
  LAB_CO_TRY(const std::vector<MachineInfo> machines, co_await provider_.list(""));
  for (const MachineInfo& machine : machines) {
    if (machine.directory.parent_path() != templates) continue;
    MachineId id = machine.id;
    LAB_CO_CHECK(co_await provider_.destroy(id));
  }
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(templates, ignored))
    if (entry.path().filename().string().starts_with(unfinished_prefix))
      fs::remove_all(entry.path(), ignored);
  co_return Result<void>{};
}

asio::awaitable<Result<void>> Maker::make() {
  LAB_CO_CHECK(make_directories(folder_.path(), 0700));
  MachineSpec spec = spec_;
  MachineId id = spec_.id;
  LAB_CO_CHECK(co_await provider_.define(std::move(spec)));
  LAB_CO_CHECK(co_await provider_.start(id));
  LAB_CO_CHECK(co_await wait_until_it_waits());
  SavedState state{folder_.devices(), folder_.memory()};
  LAB_CO_CHECK(co_await provider_.save(id, std::move(state)));
  LAB_CO_CHECK(co_await provider_.stop(id, milliseconds(0)));
  std::function<Result<void>()> publish = [this] { return this->publish(); };
  co_return co_await run_blocking(std::move(publish));
}

asio::awaitable<Result<void>> Maker::wait_until_it_waits() {
  constexpr int looks_between_questions = 50;
  const SystemClock clock;
  const TimePoint deadline = clock.now() + boot_time_max;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (int look = 1;; ++look) {
    const Result<std::string> console = read_file(console_path(folder_.path()));
    if (console && console->find(waiting_line) != std::string::npos) co_return Result<void>{};
    MachineState state = MachineState::running;
    MachineId id = spec_.id;
    if (look % looks_between_questions == 0) {
      LAB_CO_TRY(state, co_await provider_.state(id));
    }
    if (state != MachineState::running || clock.now() >= deadline)
      co_return make_error(Code::unavailable, "the template's machine {}; its console:\n{}",
                           state == MachineState::running ? "did not boot in time" : "stopped",
                           console_tail(folder_.path()));
    timer.expires_after(look_again);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

// Only what belongs to a template, under its final name.
Result<void> Maker::publish() {
  const TemplateFolder finished(folder_.path().string() + ".sealed");
  std::error_code ignored;
  fs::remove_all(target_, ignored);
  LAB_CHECK(make_directories(finished.path(), 0700));
  for (auto [from, to] : {std::pair{disk_path(folder_.path()), finished.disk()},
                          std::pair{folder_.memory(), finished.memory()},
                          std::pair{folder_.devices(), finished.devices()}}) {
    if (rename(from.c_str(), to.c_str()) != 0)
      return errno_error(errno, "renaming " + from.string());
  }
  LAB_CHECK(finished.seal());
  finished.mark_used();
  if (rename(finished.path().c_str(), target_.c_str()) != 0)
    return errno_error(errno, "renaming " + finished.path().string());
  remove_unused_templates(target_.parent_path(), templates_kept);
  return {};
}

Result<void> check_and_mark(const TemplateFolder& folder) {
  LAB_CHECK(folder.check());
  folder.mark_used();
  return {};
}

}  // namespace

std::string template_key(const MachineSpec& like, const std::string& emulator) {
  const MachineSpec spec = template_spec(like);
  std::string text = fmt::format("{}\n{}\n{}\n{}\n", emulator, spec.image.id, spec.disk_mib,
                                 domain_xml(spec, false));
  for (const SeedFile& file : template_seed_files(spec))
    text += fmt::format("{} {:o} {}\n", file.path, file.mode,
                        file.sha256.empty() ? sha256_hex(file.content) : file.sha256);
  return sha256_hex(text).substr(0, 32);
}

asio::awaitable<Result<MachineTemplate>> ensure_template(
    Provider& provider, MachineSpec like, fs::path cache_root,
    std::function<void(std::string line)> progress) {
  if (like.image.is_cloud())
    co_return make_error(Code::unsupported, "a cloud image has no template: its machines boot");
  LAB_CO_TRY(const std::string emulator, co_await provider.emulator());
  const fs::path templates = cache_root / "templates";
  const std::string key = template_key(like, emulator);
  const TemplateFolder folder(templates / key);
  const MachineTemplate result{key, folder.disk(), {folder.devices(), folder.memory()}};
  std::function<Result<void>()> check = [&folder] { return check_and_mark(folder); };
  if (co_await run_blocking(check)) co_return result;

  LAB_CO_CHECK(make_directories(templates, 0700));
  std::function<Result<Fd>()> wait = [&templates] {
    return lock_file(templates / "lock", lock_wait_ms);
  };
  LAB_CO_TRY(const Fd lock, co_await run_blocking(std::move(wait)));
  Result<void> checked = co_await run_blocking(check);
  if (checked) co_return result;
  if (checked.error().code != Code::not_found)
    progress(checked.error().message + "; making it anew");
  progress("making the template that machines start from (once)");
  Maker maker(provider, like, key, templates);
  LAB_CO_CHECK(co_await maker.run());
  co_return result;
}

}  // namespace lab::vm
