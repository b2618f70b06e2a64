#include "provision/sync/sync.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "provision/sync/plan.hpp"

namespace lab::provision {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds answer_time(60'000);
constexpr std::chrono::minutes listing_time(5);
constexpr int lock_wait_ms = 10 * 60 * 1000;
constexpr std::size_t piece_bytes = std::size_t{256} << 10;
// In the folder itself, so that a file moves into place on the same file system.
constexpr const char* staging = ".lab-sync";
// A kernel's time stamps are so coarse: a file may have changed again without a later one.
constexpr std::int64_t time_stamp_grain_ns = 50'000'000;
// Far below what one command line may hold.
constexpr std::size_t command_bytes_max = 64'000;
constexpr std::int64_t second_ns = 1'000'000'000;

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Result<Fd> open_here(const std::filesystem::path& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && errno == EACCES) {
    return make_error(Code::forbidden,
                      "{} cannot be read: permission denied; change its mode, or leave it out with "
                      "`exclude`",
                      path.string());
  }
  if (!fd) return errno_error(errno, path.string());
  return fd;
}

// A command for many names, as often as its line would be too long.
class Script {
 public:
  void line(std::string_view text) {
    text_ += text;
    text_ += '\n';
  }
  void each(std::string_view command, const std::vector<std::string>& names) {
    std::string arguments;
    for (const std::string& name : names) {
      arguments += ' ' + shell_quote({name});
      if (arguments.size() < command_bytes_max) continue;
      line(fmt::format("{} --{}", command, std::exchange(arguments, {})));
    }
    if (!arguments.empty()) line(fmt::format("{} --{}", command, arguments));
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

class FolderSync {
 public:
  FolderSync(SshSession& session, const SyncConfig& config, const Clock& clock,
             const std::string& manifests)
      : session_(session),
        config_(config),
        clock_(clock),
        exclude_(config.exclude),
        manifest_(manifests + "/" + sha256_hex(config.to).substr(0, 16)) {}

  Result<SyncOutcome> run() {
    LAB_TRY(Tree wanted, read_tree(config_.from, exclude_));
    wanted.erase(staging);
    LAB_CHECK(look());
    const ContentHash hash = [this](const std::string& path) {
      return sha256_hex_of_file(config_.from / path);
    };
    LAB_TRY(plan_, plan_sync(wanted, exclude_, known_, found_, hash));
    SyncOutcome outcome;
    outcome.to = config_.to;
    if (!plan_.touches_machine() && !plan_.manifest_changed) return outcome;
    LAB_CHECK(stage());
    LAB_CHECK(apply());
    LAB_CHECK(adjust());
    outcome.copied = copied_;
    outcome.adjusted = plan_.adjusted.size() + plan_.new_folders.size();
    outcome.removed = plan_.removed_files.size() + plan_.removed_folders.size();
    outcome.bytes = bytes_;
    return outcome;
  }

 private:
  Result<void> look();
  Result<void> stage();
  Result<void> stage_file(const std::string& path, const std::string& staged);
  Result<void> apply();
  Result<void> adjust();
  [[nodiscard]] std::string there(const std::string& path) const { return config_.to + "/" + path; }
  [[nodiscard]] bool is_gone(const std::string& path) const {
    std::error_code error;
    return !std::filesystem::exists(std::filesystem::symlink_status(config_.from / path, error));
  }

  SshSession& session_;
  const SyncConfig& config_;
  const Clock& clock_;
  Exclude exclude_;
  std::string manifest_;  // its path there
  SyncManifest known_;
  Tree found_;
  SyncPlan plan_;
  std::map<std::string, std::vector<std::string>> staged_;  // what moves into a folder, by folder
  Script links_;                                            // makes them there
  std::size_t copied_ = 0;
  std::uint64_t bytes_ = 0;
};

// One round trip. What an interrupted sync left is removed.
Result<void> FolderSync::look() {
  SshCommand command;
  command.command = fmt::format(
      "[ -d {0} ] || mkdir -p -- {0} && cd -- {0} && {{ [ ! -e {1} ] || rm -rf {1}; }} && "
      "find . -mindepth 1 -printf '{2}' && printf '{3}\\0' && {{ [ ! -r {4} ] || cat {4}; }}",
      shell_quote({config_.to}), staging, listing_format, listing_end, shell_quote({manifest_}));
  command.timeout = listing_time;
  LAB_TRY(const std::string output, session_.exec_checked(command));
  std::string_view rest = output;
  found_ = parse_listing(rest);
  known_ = parse_sync_manifest(rest);
  return {};
}

// Everything new goes to the machine first. In the staging folder there is a folder for each one
// that gets something, so that one `mv` moves all of that.
Result<void> FolderSync::stage() {
  const std::string top = there(staging);
  LAB_CHECK(session_.make_remote_folder(top, 0700, answer_time));
  std::map<std::string, std::string> folders;
  for (const std::string& path : plan_.copied) {
    const auto [at, is_new] =
        folders.try_emplace(folder_of(path), fmt::format("{}/{}", staging, folders.size()));
    if (is_new) LAB_CHECK(session_.make_remote_folder(there(at->second), 0700, answer_time));
    const std::string staged = at->second + "/" + name_of(path);
    const TreeEntry& entry = plan_.manifest.at(path).entry;
    if (entry.kind == EntryKind::link) {
      links_.line("ln -s -- " + shell_quote({entry.target, staged}));
    } else if (auto done = stage_file(path, staged); !done) {
      if (!is_gone(path)) return done.error().wrap("copying {}", (config_.from / path).string());
      plan_.manifest.erase(path);
      continue;
    }
    staged_[at->first].push_back(staged);
    ++copied_;
  }
  const std::string manifest = format_sync_manifest(plan_.manifest);
  std::string_view rest = manifest;
  const auto next = [&rest]() -> Result<std::string_view> { return std::exchange(rest, {}); };
  return session_.write_remote(top + "/manifest", {0600, std::nullopt}, next, answer_time);
}

// The manifest gets what was read, which may be newer than what was listed.
Result<void> FolderSync::stage_file(const std::string& path, const std::string& staged) {
  LAB_TRY(const Fd file, open_here(config_.from / path));
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return errno_error(errno, "fstat");
  KnownEntry& known = plan_.manifest.at(path);
  known.entry.mode = info.st_mode & 07777U;
  known.entry.mtime_ns = info.st_mtim.tv_sec * second_ns + info.st_mtim.tv_nsec;
  known.entry.size = 0;
  const std::int64_t now = clock_.wall_now().time_since_epoch().count();
  // So that its content is looked at next time.
  if (now - known.entry.mtime_ns < time_stamp_grain_ns) known.entry.mtime_ns ^= 1;
  Sha256 hash;
  std::string buffer(piece_bytes, '\0');
  const auto next = [&]() -> Result<std::string_view> {
    const ssize_t got = read(file.get(), buffer.data(), buffer.size());
    if (got < 0) return errno_error(errno, "reading");
    const std::string_view piece(buffer.data(), static_cast<std::size_t>(got));
    hash.update(piece);
    known.entry.size += piece.size();
    return piece;
  };
  const RemoteAttributes attributes{known.entry.mode, info.st_mtim.tv_sec};
  LAB_CHECK(session_.write_remote(there(staged), attributes, next, answer_time));
  known.sha256 = to_hex(hash.finish());
  bytes_ += known.entry.size;
  return {};
}

// Old things go, new ones move into place; the manifest is the last of them: what is interrupted
// before is found to differ from the old one.
Result<void> FolderSync::apply() {
  Script script;
  script.line("set -e");
  script.line("cd -- " + shell_quote({config_.to}));
  script.each("rm -f", plan_.removed_files);
  script.each("rmdir --ignore-fail-on-non-empty", plan_.removed_folders);
  script.each("rmdir", plan_.replaced_folders);
  script.each("mkdir -p", plan_.new_folders);
  script.line(links_.text());
  for (const auto& [folder, staged] : staged_)
    script.each("mv -f -t " + shell_quote({folder}), staged);
  script.line("mkdir -p -- " + shell_quote({folder_of(manifest_)}));
  script.line(fmt::format("mv -fT {}/manifest {}", staging, shell_quote({manifest_})));
  script.line(fmt::format("rm -rf {}", staging));
  SshCommand command{"sh"};
  command.input = script.text();
  command.timeout = listing_time;
  LAB_TRY(SshResult applied, session_.exec(command));
  if (applied.status == 0) return {};
  Error error =
      make_error(Code::internal, "{}:{}: {}", session_.target().name, config_.to, applied.errors);
  if (plan_.replaced_folders.empty()) return error;
  error.code = Code::conflict;
  error.message += fmt::format(
      "a folder in which the machine has files of its own stands where a file or link of {} "
      "belongs: remove one of the two",
      config_.from.string());
  return error;
}

Result<void> FolderSync::adjust() {
  constexpr unsigned mode_of_new_folders = 0755;
  for (const std::string& path : plan_.new_folders) {
    const RemoteAttributes attributes{plan_.manifest.at(path).entry.mode, std::nullopt};
    if (attributes.mode == mode_of_new_folders) continue;
    LAB_CHECK(session_.set_remote_attributes(there(path), attributes, answer_time));
  }
  for (const std::string& path : plan_.adjusted) {
    const TreeEntry& entry = plan_.manifest.at(path).entry;
    RemoteAttributes attributes{entry.mode, std::nullopt};
    if (entry.kind == EntryKind::file) attributes.mtime = entry.mtime_ns / second_ns;
    LAB_CHECK(session_.set_remote_attributes(there(path), attributes, answer_time));
  }
  return {};
}

}  // namespace

std::string SyncOutcome::words() const {
  std::string text;
  const auto add = [&text](std::size_t count, std::string_view what) {
    if (count != 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, what);
  };
  add(copied, fmt::format("copied ({} KiB)", (bytes + 1023) / 1024));
  add(adjusted, "adjusted");
  add(removed, "removed");
  return fmt::format("{}: {}", to, text.empty() ? "up to date" : text);
}

Result<SyncOutcome> sync_folder(SshSession& session, const SyncConfig& config, const Clock& clock,
                                const std::string& manifests) {
  return FolderSync(session, config, clock, manifests).run();
}

Result<std::vector<SyncOutcome>> sync_machine(SshSession& session, const LabPaths& paths,
                                              const MachineConfig& machine, const Clock& clock) {
  std::vector<SyncOutcome> outcomes;
  if (machine.sync.empty()) return outcomes;
  LAB_TRY(const Fd lock, lock_file(paths.sync_lock(machine.name), lock_wait_ms));
  for (const SyncConfig& config : machine.sync) {
    LAB_TRY(SyncOutcome outcome, sync_folder(session, config, clock));
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

}  // namespace lab::provision
