// What several verbs share.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "cli/lab/verb.hpp"
#include "provision/lab/lab.hpp"

namespace lab::cli {

// The folder of this program, where labd and the machines' programs lie too.
[[nodiscard]] std::filesystem::path program_folder();

// Runs a coroutine on an event loop of its own. Ctrl-C and SIGTERM end the process at once with a
// word on how to go on: everything that a verb does can be interrupted.
[[nodiscard]] Result<void> run_interruptible(
    std::function<boost::asio::awaitable<Result<void>>()> work);

// Becomes another program; returns only when that fails.
[[noreturn]] void become(const std::vector<std::string>& argv);

// "ssh" or "scp" with the lab's pinned configuration.
[[nodiscard]] std::vector<std::string> openssh(std::string_view program,
                                               const provision::LabView& lab);

// Columns as wide as their widest cell, on standard output.
void print_table(const std::vector<std::vector<std::string>>& rows);

// "1.5 MB".
[[nodiscard]] std::string human_bytes(std::int64_t bytes);

// Fails unless the lab has this machine, and it runs.
void require_running(const provision::LabView& lab, const std::string& machine);

}  // namespace lab::cli
