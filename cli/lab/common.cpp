#include "cli/lab/common.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <cstdio>

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

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i + 1 == row.size() ? row[i] : fmt::format("{:<{}}  ", row[i], widths[i]);
    }
    fmt::print("{}\n", line);
  }
}

std::string human_bytes(std::int64_t bytes) {
  constexpr std::array<const char*, 4> units{"kB", "MB", "GB", "TB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (value /= 1000; value >= 999.95 && unit + 1 < units.size(); value /= 1000) ++unit;
  return fmt::format("{:.1f} {}", value, units[unit]);
}

void require_running(const provision::LabView& lab, const std::string& machine) {
  check_or_fail(provision::check_running(lab, machine));
}

}  // namespace lab::cli
