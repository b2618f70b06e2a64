#include "vm/image_build.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <sstream>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "vm/apt_sources.hpp"
#include "vm/kernel.hpp"

namespace lab::vm {
namespace {

constexpr int build_wait_ms = 30 * 60 * 1000;
constexpr std::chrono::minutes build_time_max{25};

// Opens what the image's scripts write to, then runs the builder; $1 is the build's folder. The
// files are opened here, by the user, because in mmdebstrap's namespace the user's own folders
// cannot be entered. The builder and all below it end when we end (setpriv sends the signal):
// mmdebstrap alone would wait for its children before it cleans up. It may inherit few descriptors,
// as its hooks are for a shell that knows only ten.
constexpr const char* build_script = R"(
set -eu
folder=$1 log=$2
shift 2
exec 3<>"$folder/disk.raw" 4>"$folder/boot.tar" 5<&0 2>"$log"
chmod 666 "$folder/disk.raw" "$folder/boot.tar"
trap 'trap "" TERM; kill -TERM 0; wait; exit 1' TERM
"$@" <&5 5<&- &
wait $!
)";

// Removes an unfinished build's folder.
class BuildFolder {
 public:
  explicit BuildFolder(std::filesystem::path path) : path_(std::move(path)) {}
  BuildFolder(const BuildFolder&) = delete;
  BuildFolder& operator=(const BuildFolder&) = delete;
  ~BuildFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::filesystem::path images_folder(const std::filesystem::path& cache_root) {
  return cache_root / "images";
}

std::vector<std::string> builder_words(const Recipe& recipe, const AptSources& sources) {
  std::vector<std::string> words;
  // Root's builder mounts things too; in a namespace of its own they cannot outlive it.
  if (geteuid() == 0) words = {"unshare", "--mount"};
  words.insert(words.end(), {"mmdebstrap", "--variant=minbase", "--format=null"});
  words.push_back(geteuid() == 0 ? "--mode=root" : "--mode=unshare");
  words.push_back("--skip=cleanup/apt,cleanup/reproducible,cleanup/tmp");  // all is thrown away
  words.push_back(fmt::format("--include={}", fmt::join(recipe.packages, ",")));
  for (const std::string& option : recipe.dpkg_options) words.push_back("--dpkgopt=" + option);
  for (const std::string& option : sources.options) words.push_back("--aptopt=" + option);
  // The scripts come in the environment: mmdebstrap repeats each hook's words in its messages.
  words.push_back("--customize-hook=root=$1; eval \"$LAB_CUSTOMIZE\"");
  words.push_back("--customize-hook=root=$1; eval \"$LAB_OUTPUT\"");
  words.insert(words.end(), {"", "/dev/null", "-"});
  return words;
}

std::string tail_of_log(const std::filesystem::path& log) {
  const Result<std::string> text = read_file(log);
  if (!text) return "(no log)";
  std::vector<std::string> lines;
  std::istringstream stream(*text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  const std::size_t first = lines.size() > 15 ? lines.size() - 15 : 0;
  return fmt::format("{}", fmt::join(std::vector<std::string>(
                                         lines.begin() + static_cast<long>(first), lines.end()),
                                     "\n"));
}

// An ordinary user's builder is root in a user namespace, which needs a range of user ids.
Result<void> check_subordinate_ids() {
  if (geteuid() == 0) return {};
  const passwd* entry = getpwuid(geteuid());
  const std::string name = entry != nullptr ? entry->pw_name : std::to_string(geteuid());
  for (const char* file : {"/etc/subuid", "/etc/subgid"}) {
    const Result<std::string> text = read_file(file);
    if (text && has_subordinate_ids(*text, name, geteuid())) continue;
    return make_error(Code::forbidden,
                      "{0} has no range of ids for user {1}, which building a guest image needs: "
                      "`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {1}`",
                      file, name);
  }
  return {};
}

Result<void> run_builder(const Recipe& recipe, const std::filesystem::path& folder,
                         const std::filesystem::path& log) {
  LAB_CHECK(check_subordinate_ids());
  LAB_TRY(const AptSources sources, apt_sources_for_suite(recipe.suite));
  Command command;
  command.argv = {"setpriv",    "--pdeathsig", "TERM",          "sh",        "-c",
                  build_script, "sh",          folder.string(), log.string()};
  const std::vector<std::string> words = builder_words(recipe, sources);
  command.argv.insert(command.argv.end(), words.begin(), words.end());
  command.input = sources.deb822;
  command.environment = sources.environment;
  // The tools of file systems lie outside an ordinary user's PATH.
  const char* path = getenv("PATH");
  command.environment["PATH"] = fmt::format("{}:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
  command.environment["LAB_CUSTOMIZE"] = recipe.customize;
  command.environment["LAB_OUTPUT"] = recipe.output;
  command.environment["LAB_DISK_MIB"] = std::to_string(recipe.disk_mib);
  command.environment["INITRD"] = "No";  // the kernel package need not make one: we have our own
  command.working_directory = "/";
  command.timeout = build_time_max;
  LAB_TRY(const CommandResult result, run_command(command));
  if (result.exit_status != 0)
    return make_error(Code::internal,
                      "building the guest image {}: mmdebstrap ended with status {}; the end of "
                      "{}:\n{}",
                      recipe.name, result.exit_status, log.string(), tail_of_log(log));
  return {};
}

// boot.tar holds `vmlinuz` and `modules.cpio`; the kernel is kept unpacked where that is possible.
Result<void> unpack_boot_files(const std::filesystem::path& folder) {
  Command command;
  command.argv = {"tar", "-x", "-f", "boot.tar", "--no-same-owner"};
  command.working_directory = folder;
  LAB_CHECK(run_checked(command));
  std::filesystem::remove(folder / "boot.tar");
  LAB_TRY(const std::string packed, read_file(folder / "vmlinuz"));
  const Result<std::string> kernel = extract_vmlinux(packed);
  if (!kernel) {
    std::filesystem::rename(folder / "vmlinuz", folder / "kernel");
    return {};
  }
  LAB_CHECK(write_file(folder / "kernel", *kernel));
  std::filesystem::remove(folder / "vmlinuz");
  return {};
}

void remove_stale_builds(const std::filesystem::path& images, const std::string& prefix) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(images, ignored))
    if (entry.path().filename().string().starts_with(prefix))
      std::filesystem::remove_all(entry.path(), ignored);
}

// Makes the folder's files durable and gives it its name: from here on the image exists.
Result<void> publish(const std::filesystem::path& folder, const std::filesystem::path& target) {
  const Fd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || syncfs(fd.get()) != 0) return errno_error(errno, "syncing " + folder.string());
  if (rename(folder.c_str(), target.c_str()) != 0)
    return errno_error(errno, "renaming " + folder.string());
  return {};
}

GuestImage recipe_image(const Recipe& recipe, const std::filesystem::path& folder) {
  GuestImage image;
  image.id = folder.filename();
  image.base_disk = folder / "disk.raw";
  image.base_format = "raw";
  image.base_mib = recipe.disk_mib;
  image.kernel = folder / "kernel";
  image.initrd = folder / "modules.cpio";
  return image;
}

}  // namespace

std::optional<GuestImage> cached_recipe_image(const Recipe& recipe,
                                              const std::filesystem::path& cache_root) {
  const std::filesystem::path folder = images_folder(cache_root) / recipe_hash(recipe);
  std::error_code error;
  if (!std::filesystem::exists(folder / "disk.raw", error)) return std::nullopt;
  return recipe_image(recipe, folder);
}

std::filesystem::path build_log_path(const Recipe& recipe,
                                     const std::filesystem::path& cache_root) {
  return images_folder(cache_root) / (recipe_hash(recipe) + ".log");
}

std::string last_build_step(const std::filesystem::path& log) {
  const Result<std::string> text = read_file(log);
  if (!text) return {};
  std::string step;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    // "I: installing essential packages..."; other programs' lines begin otherwise.
    if (line.size() < 4 || !line.starts_with("I: ") || std::islower(line[3]) == 0) continue;
    if (line.find("hook") != std::string::npos || line.find("tempdir") != std::string::npos ||
        line.find("success") != std::string::npos || line.find("skipping") != std::string::npos)
      continue;
    step = line.substr(3);
    while (step.ends_with('.')) step.pop_back();
  }
  return step;
}

bool has_subordinate_ids(const std::string& text, const std::string& user, uid_t id) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(0, line.find(':'));
    if (name == user || name == std::to_string(id)) return true;
  }
  return false;
}

Result<GuestImage> build_recipe_image(const Recipe& recipe, const std::filesystem::path& cache_root,
                                      const ImageProgress& progress) {
  const std::filesystem::path images = images_folder(cache_root);
  const std::string hash = recipe_hash(recipe);
  LAB_CHECK(make_directories(images));
  LAB_TRY(const Fd lock, lock_file(images / (hash + ".lock"), build_wait_ms));
  if (auto image = cached_recipe_image(recipe, cache_root)) return *image;

  const std::string prefix = ".build-" + hash;
  remove_stale_builds(images, prefix);
  const BuildFolder folder(images / fmt::format("{}-{}", prefix, getpid()));
  LAB_CHECK(make_directories(folder.path()));
  progress(
      fmt::format("{}: building the guest image from this host's package sources (once, a minute "
                  "or two)",
                  recipe.name));
  LAB_CHECK(run_builder(recipe, folder.path(), build_log_path(recipe, cache_root)));
  LAB_CHECK(unpack_boot_files(folder.path()));
  // Nobody writes to the disk any more: machines have overlays on it.
  std::error_code ignored;
  std::filesystem::permissions(folder.path() / "disk.raw", std::filesystem::perms{0444}, ignored);
  LAB_CHECK(publish(folder.path(), images / hash));
  std::filesystem::remove(build_log_path(recipe, cache_root), ignored);
  progress(fmt::format("{}: the guest image is ready", recipe.name));
  return recipe_image(recipe, images / hash);
}

}  // namespace lab::vm
