// The verbs of the `lab` command: one file each, named like the verb. A verb's file defines
// add_VERB(), which declares its options and sets a callback; main.cpp lists them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::cli {

// Options that every verb shares, filled before its callback runs.
struct Globals {
  std::string labfile = "labfile.toml";  // -f, --labfile
  bool json = false;                     // --json, where there is output to read
  std::vector<std::string> rest;         // what follows "--", for exec and ssh
};

// Thrown by a callback to end the program with this status; what had to be said has been said.
struct Exit {
  int status;
};

// Prints "lab: MESSAGE" on standard error and throws Exit with the code's exit status.
[[noreturn]] void fail(const Error& error);

// The value, or fail().
template <typename T>
T value_or_fail(Result<T> result) {
  if (!result) fail(result.error());
  return std::move(result).value();
}
inline void check_or_fail(const Result<void>& result) {
  if (!result) fail(result.error());
}

}  // namespace lab::cli
