#include "engine/container/runtime_errors.hpp"

namespace lab::engine::container {

namespace {

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// What kept `command` from being executed, as runc says it; empty when it is something else.
std::string exec_failure(const std::string& message, const std::string& command, int& exit_code) {
  if (contains(message, "ermission denied") || contains(message, "is a directory") ||
      contains(message, "open executable: Operation not permitted")) {
    exit_code = 126;
    return fmt::format("exec: \"{}\": permission denied", command);
  }
  if (contains(message, "not found in $PATH") ||
      (contains(message, "No such file or directory") && contains(message, "executable"))) {
    exit_code = 127;
    return command.find('/') == std::string::npos
               ? fmt::format("exec: \"{}\": executable file not found in $PATH", command)
               : fmt::format("exec: \"{0}\": stat {0}: no such file or directory", command);
  }
  if (contains(message, "Exec format error")) {
    exit_code = 1;
    return fmt::format("exec: \"{}\": exec format error", command);
  }
  return {};
}

}  // namespace

StartFailure explain_start_failure(const Error& error, const std::string& command) {
  StartFailure failure{error};
  if (error.code != Code::internal) return failure;
  int exit_code = 128;
  std::string reason = exec_failure(error.message, command, exit_code);
  if (!reason.empty()) {
    failure.error.code = Code::invalid_argument;
    failure.error.message = fmt::format(
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to "
        "start container process: {}: unknown",
        reason);
    failure.exit_code = exit_code;
  } else if (contains(error.message, "Not a directory")) {
    failure.error.code = Code::invalid_argument;
    failure.error.message = fmt::format(
        "failed to create shim task: OCI runtime create failed: {}: unknown: Are you trying to "
        "mount a directory onto a file (or vice-versa)? Check if the specified host path exists "
        "and is the expected type",
        error.message);
    failure.exit_code = 127;
  }
  return failure;
}

std::string explain_exec_failure(const Error& error, const std::string& command,
                                 const std::string& working_directory) {
  int exit_code = 126;
  std::string reason = exec_failure(error.message, command, exit_code);
  if (contains(error.message, "chdir")) {
    reason =
        fmt::format("chdir to cwd (\"{}\") set in config.json failed: no such file or directory",
                    working_directory);
  }
  if (reason.empty()) reason = error.message;
  return fmt::format(
      "OCI runtime exec failed: exec failed: unable to start container process: {}: unknown",
      reason);
}

}  // namespace lab::engine::container
