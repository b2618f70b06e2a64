#include "cli/lab/common.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <cstdio>

#include "provision/lab/keys.hpp"

namespace lab::cli {

namespace asio = boost::asio;
namespace fs = std::filesystem;

fs::path program_folder() {
  std::error_code error;
  fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path(".") : self.parent_path();
}

Result<void> run_interruptible(std::function<asio::awaitable<Result<void>>()> work) {
  asio::io_context loop;
  asio::signal_set signals(loop, SIGINT, SIGTERM);
  signals.async_wait([](boost::system::error_code error, int number) {
    if (error) return;
    fmt::print(stderr,
               "\nlab: interrupted; `lab up` goes on from here, `lab destroy` removes what there "
               "is\n");
    std::fflush(nullptr);
    _exit(128 + number);
  });
  std::exception_ptr failure;
  Result<void> outcome;
  asio::co_spawn(loop, work(), [&](std::exception_ptr error, Result<void> result) {
    failure = error;
    outcome = std::move(result);
    signals.cancel();
  });
  loop.run();
  if (failure) std::rethrow_exception(failure);
  return outcome;
}

void become(const std::vector<std::string>& argv) {
  std::vector<char*> pointers;
  for (const std::string& word : argv) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  std::fflush(nullptr);
  execvp(pointers[0], pointers.data());
  fail(errno_error(errno, fmt::format("starting {}", argv[0])));
}

std::vector<std::string> openssh(std::string_view program, const provision::LabView& lab) {
  return {std::string(program), "-F", lab.paths.ssh_config().string()};
}

void require_running(const provision::LabView& lab, const std::string& machine) {
  value_or_fail(
      provision::ssh_target(lab.paths, lab.state.value_or(provision::LabState{}), machine));
  // Its emulator holds the port; nobody else is asked.
  if (provision::port_is_free(provision::Transport::tcp, lab.state->machines.at(machine).ssh_port))
    fail(make_error(Code::unavailable, "{} is not running: `lab up {}` starts it", machine,
                    machine));
}

}  // namespace lab::cli
