#include "engine/build/remote.hpp"

#include <filesystem>

#include "base/blocking.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "engine/build/download.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::build {

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t dockerfile_bytes_max = std::size_t{8} << 20;
constexpr std::chrono::minutes git_patience{10};

// A folder that goes at the end of the object.
class Folder {
 public:
  explicit Folder(fs::path path) : path_(std::move(path)) {}
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { static_cast<void>(layer::remove_tree(path_)); }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

bool is_git(std::string_view remote) {
  const std::string_view url = remote.substr(0, remote.find('#'));
  return remote.starts_with("git://") || remote.starts_with("git@") ||
         remote.starts_with("github.com/") || (is_url(url) && url.ends_with(".git"));
}

struct Repository {
  std::string url;
  std::string reference;
  std::string folder;
};

Repository parse_repository(std::string_view remote) {
  Repository repository;
  const std::size_t hash = remote.find('#');
  repository.url = remote.substr(0, hash);
  if (repository.url.starts_with("github.com/")) repository.url.insert(0, "https://");
  if (hash == std::string_view::npos) return repository;
  const std::string_view rest = remote.substr(hash + 1);
  const std::size_t colon = rest.find(':');
  repository.reference = rest.substr(0, colon);
  if (colon != std::string_view::npos) repository.folder = rest.substr(colon + 1);
  return repository;
}

asio::awaitable<Result<void>> git(std::vector<std::string> arguments, std::string folder) {
  Command command;
  command.argv = {"git", "-c", "protocol.file.allow=never"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.working_directory = std::move(folder);
  command.environment = {{"GIT_TERMINAL_PROMPT", "0"}, {"GIT_CONFIG_NOSYSTEM", "1"}};
  command.timeout = git_patience;
  auto done = co_await async_run_checked(std::move(command));
  if (!done) co_return std::move(done).error();
  co_return Result<void>();
}

// Servers that hold files only know no depth.
asio::awaitable<Result<void>> fetch(std::string reference, std::string folder) {
  std::vector<std::string> shallow{"fetch", "--quiet", "--depth", "1", "origin", "--", reference};
  if (auto done = co_await git(std::move(shallow), folder)) co_return done;
  std::vector<std::string> whole{"fetch", "--quiet", "origin", "--", std::move(reference)};
  co_return co_await git(std::move(whole), std::move(folder));
}

asio::awaitable<Result<void>> fetch_repository(BuildContext& context, Repository repository) {
  const Folder checkout(context.root().string() + "-checkout");
  const std::string path = checkout.path().string();
  LAB_CO_CHECK(make_directories(path, 0700));
  // "--" and "origin": names that begin with a dash are no options.
  std::vector<std::string> before[] = {{"init", "--quiet"},
                                       {"remote", "add", "origin", "--", repository.url}};
  std::vector<std::string> after[] = {
      {"checkout", "--quiet", "FETCH_HEAD"},
      {"submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1"}};
  Result<void> done;
  for (std::vector<std::string>& step : before) {
    if (done) done = co_await git(std::move(step), path);
  }
  std::string reference = repository.reference.empty() ? "HEAD" : repository.reference;
  if (done) done = co_await fetch(std::move(reference), path);
  for (std::vector<std::string>& step : after) {
    if (done) done = co_await git(std::move(step), path);
  }
  if (!done) co_return done.error().wrap("unable to 'git clone' to temporary context directory");
  co_return context.adopt(checkout.path(), repository.folder);
}

asio::awaitable<Result<void>> fetch_file(BuildContext& context, std::string url,
                                         Builder::Parts parts, registry::Progress& progress) {
  const Folder folder(context.root().string() + "-download");
  const std::string path = folder.path().string();
  LAB_CO_TRY(const Download file, co_await download(parts.containers.services().executor, url, path,
                                                    parts.registry, progress));
  const fs::path saved = folder.path() / (file.name.empty() ? unnamed_file : file.name);
  if (file.content_type == "text/plain") {
    LAB_CO_TRY(const std::string text, read_file(saved, dockerfile_bytes_max));
    co_return context.put_dockerfile(text);
  }
  co_return co_await run_blocking<Result<void>>([&context, &saved]() -> Result<void> {
    LAB_TRY(layer::FileSource archive, layer::FileSource::open(saved.string()));
    return context.unpack(archive);
  });
}

}  // namespace

asio::awaitable<Result<void>> fetch_context(BuildContext& context, std::string remote,
                                            Builder::Parts parts, registry::Progress& progress) {
  if (is_git(remote)) co_return co_await fetch_repository(context, parse_repository(remote));
  if (is_url(remote)) co_return co_await fetch_file(context, remote, parts, progress);
  co_return make_error(Code::invalid_argument,
                       "remote context {} is neither a URL nor a repository", remote);
}

}  // namespace lab::engine::build
