// Failures of the OCI runtime in the words that Docker's clients know: the docker command derives
// its exit status (125, 126, 127) from them.
#pragma once

#include <string>

#include "base/error.hpp"

namespace lab::engine::container {

struct StartFailure {
  Error error;
  int exit_code = 128;  // of the container
};
// `command` is the word that was to be executed.
[[nodiscard]] StartFailure explain_start_failure(const Error& error, const std::string& command);
[[nodiscard]] std::string explain_exec_failure(const Error& error, const std::string& command,
                                               const std::string& working_directory);

}  // namespace lab::engine::container
