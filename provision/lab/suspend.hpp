// Suspension: machines whose state lies on the disk while they use neither processor nor memory.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "provision/lab/lab.hpp"
#include "vm/provider.hpp"

namespace lab::provision {

// All machines that run, at one instant. Code::unavailable when none does.
[[nodiscard]] boost::asio::awaitable<Result<void>> suspend_lab(LabView lab, const Clock& clock,
                                                               Progress& progress);

// All that are suspended go on; `programs` is labd's folder. Code::not_found when none is.
[[nodiscard]] boost::asio::awaitable<Result<void>> resume_lab(LabView lab,
                                                              std::filesystem::path programs,
                                                              const Clock& clock,
                                                              Progress& progress);

// Part of `lab up`, which holds the lock and has started labd: those of `machines` that are
// suspended go on, and are given. On an error they are off, and will boot.
[[nodiscard]] boost::asio::awaitable<Result<std::vector<std::string>>> resume_suspended(
    vm::Provider& provider, const LabView& lab, std::vector<std::string> machines,
    const Clock& clock, Progress& progress);

[[nodiscard]] bool is_suspended(const LabPaths& paths, const std::string& machine);
// What it was saved with is lost.
void forget_suspended(const LabPaths& paths, const std::string& machine);

}  // namespace lab::provision
