#include "engine/container/exec.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "base/blocking.hpp"
#include "engine/container/inspect.hpp"
#include "engine/container/links.hpp"
#include "engine/container/runtime_errors.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

// Ended execs that can still be inspected, over all containers.
constexpr std::size_t ended_max = 500;
constexpr std::chrono::seconds resize_wait{10};

std::string command_text(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

}  // namespace

Result<ExecPtr> Execs::create(const ContainerPtr& container, const json::object& request) {
  std::vector<std::string> command = texts_of(request, "Cmd");
  if (command.empty()) return make_error(Code::invalid_argument, "No exec command specified");
  if (!container->state.running)
    return make_error(Code::conflict, "Container {} is not running", container->id);
  if (container->state.paused) {
    return make_error(Code::conflict, "Container {} is paused, unpause the container before exec",
                      container->name);
  }
  const std::string detach_keys = text_of(request, "DetachKeys");
  if (!DetachKeys::parse(detach_keys))
    return make_error(Code::internal, "Invalid escape keys ({}) provided", detach_keys);
  auto exec = std::make_shared<Exec>(containers_.services().executor);
  exec->id = secure_random_hex(32);
  exec->container = container;
  exec->options.command = std::move(command);
  exec->options.environment = texts_of(request, "Env");
  exec->options.working_directory = text_of(request, "WorkingDir");
  exec->options.terminal = flag_of(request, "Tty");
  exec->options.privileged = flag_of(request, "Privileged");
  exec->user = text_of(request, "User");
  if (exec->user.empty()) exec->user = text_of(container->config, "User");
  exec->standard_input = flag_of(request, "AttachStdin");
  exec->output = flag_of(request, "AttachStdout");
  exec->errors = flag_of(request, "AttachStderr");
  exec->detach_keys = detach_keys;
  forget_old();
  execs_[exec->id] = exec;
  container->execs.insert(exec->id);
  containers_.emit(*container, "exec_create: " + command_text(exec->options.command),
                   {{"execID", exec->id}});
  return exec;
}

Result<ExecPtr> Execs::find(const std::string& id) const {
  auto found = execs_.find(id);
  if (found == execs_.end()) return make_error(Code::not_found, "No such exec instance: {}", id);
  const ExecPtr& exec = found->second;
  if (exec->container->removed) return make_error(Code::not_found, "No such exec instance: {}", id);
  return exec;
}

Result<void> Execs::check_start(const Exec& exec) const {
  if (!exec.container->state.running) {
    const WallTime now = containers_.services().clock.wall_now();
    return make_error(Code::internal, "Container {} is not running: {}", exec.container->id,
                      status_text(*exec.container, now));
  }
  if (exec.container->state.paused) {
    return make_error(Code::conflict, "Container {} is paused, unpause the container before exec",
                      exec.container->name);
  }
  if (exec.exit_code)
    return make_error(Code::conflict, "Error: Exec command {} has already run", exec.id);
  if (exec.started)
    return make_error(Code::conflict, "Error: Exec command {} is already running", exec.id);
  return {};
}

// Blocks.
Result<Runtime::ExecStarted> Execs::launch(const Exec& exec) const {
  std::filesystem::path root = containers_.rootfs(exec.container->id).merged;
  LAB_TRY(User user,
          resolve_user(root, exec.user, texts_of(exec.container->host_config, "GroupAdd")));
  Runtime::ExecLaunch launch;
  launch.container_id = exec.container->id;
  launch.exec_id = exec.id;
  ExecOptions options = exec.options;
  options.link_environment = link_environment(containers_, *exec.container);
  launch.process_spec = json::serialize(make_process(*exec.container, options, user));
  launch.terminal = exec.options.terminal;
  launch.standard_input = exec.standard_input;
  return containers_.services().runtime.prepare_exec(launch);
}

asio::awaitable<Result<void>> Execs::start(ExecPtr exec, std::shared_ptr<AttachSession> session,
                                           bool terminal) {
  LAB_CO_CHECK(check_start(*exec));
  exec->started = true;
  exec->options.terminal = terminal;
  const Runtime& runtime = containers_.services().runtime;
  Result<Runtime::ExecStarted> prepared =
      co_await run_blocking<Result<Runtime::ExecStarted>>([this, &exec] { return launch(*exec); });
  if (prepared && session) session->connected(std::move(prepared->attach));
  Result<ProcessId> process = Error{};
  if (prepared) {
    process = co_await run_blocking<Result<ProcessId>>(
        [&runtime, &prepared] { return runtime.begin_exec(*prepared); });
  } else {
    process = std::move(prepared).error();
  }
  if (!process) {
    Error error = std::move(process).error();
    exec->exit_code = 126;
    exec->container->execs.erase(exec->id);
    if (error.code == Code::internal) {
      error.message = explain_exec_failure(error, exec->options.command.front(),
                                           exec->options.working_directory);
      error.code = Code::invalid_argument;
    }
    exec->changed.notify_all();
    co_return error;
  }
  exec->process = *process;
  exec->running = true;
  exec->changed.notify_all();
  containers_.emit(*exec->container, "exec_start: " + command_text(exec->options.command),
                   {{"execID", exec->id}});
  background_.spawn("watching an exec", watch(exec, prepared->status_pipe.release()));
  co_return Result<void>();
}

// The monitor keeps the pipe open as long as it lives.
asio::awaitable<void> Execs::watch(ExecPtr exec, int status_pipe) {
  asio::posix::stream_descriptor pipe(containers_.services().executor, status_pipe);
  std::string report;
  char buffer[1024];
  for (;;) {
    auto [failure, got] =
        co_await pipe.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
    if (failure) break;
    report.append(buffer, got);
  }
  std::filesystem::path folder =
      containers_.services().runtime.exec_folder(exec->container->id, exec->id);
  int code = 137;
  if (Result<std::string> text = read_file(folder / exec->container->id, 64)) {
    std::from_chars(text->data(), text->data() + text->size(), code);
  } else if (Result<json::object> last = parse_object(report)) {
    code = static_cast<int>(integer_of(*last, "data", code));
  }
  exec->exit_code = code;
  exec->running = false;
  exec->container->execs.erase(exec->id);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  containers_.emit(*exec->container, "exec_die",
                   {{"execID", exec->id}, {"exitCode", fmt::format("{}", code)}});
  exec->changed.notify_all();
}

asio::awaitable<Result<void>> Execs::resize(ExecPtr exec, int height, int width) {
  const Clock& clock = containers_.services().clock;
  TimePoint deadline = clock.now() + resize_wait;
  while (!exec->running && !exec->exit_code && clock.now() < deadline)
    co_await exec->changed.wait_until(deadline);
  if (!exec->running && !exec->exit_code)
    co_return make_error(Code::internal, "timeout waiting for exec session ready");
  if (!exec->running) co_return make_error(Code::not_found, "no such exec");
  std::filesystem::path folder =
      containers_.services().runtime.exec_folder(exec->container->id, exec->id);
  co_return co_await resize_terminal(std::move(folder), height, width);
}

json::object Execs::inspect(const Exec& exec) const {
  const std::vector<std::string>& words = exec.options.command;
  json::object process{
      {"tty", exec.options.terminal},
      {"entrypoint", words.front()},
      {"arguments", to_array(std::vector<std::string>(words.begin() + 1, words.end()))},
      {"privileged", exec.options.privileged}};
  if (!exec.user.empty()) process["user"] = exec.user;
  json::value exit_code = nullptr;
  if (exec.exit_code) exit_code = *exec.exit_code;
  return json::object{{"ID", exec.id},
                      {"Running", exec.running},
                      {"ExitCode", std::move(exit_code)},
                      {"ProcessConfig", std::move(process)},
                      {"OpenStdin", exec.standard_input},
                      {"OpenStderr", exec.errors},
                      {"OpenStdout", exec.output},
                      {"CanRemove", false},
                      {"ContainerID", exec.container->id},
                      {"DetachKeys", exec.detach_keys},
                      {"Pid", exec.process.pid}};
}

void Execs::forget_old() {
  if (execs_.size() < ended_max) return;
  std::erase_if(execs_, [](const auto& item) {
    return item.second->exit_code.has_value() || item.second->container->removed;
  });
}

}  // namespace lab::engine::container
