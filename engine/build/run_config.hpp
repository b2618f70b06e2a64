// The run configuration that a build carries from step to step (Docker's `Config` document), and
// what the instructions that only change it do: ENV, LABEL, CMD, EXPOSE and so on. `docker commit
// --change` uses the same.
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "engine/build/dockerfile.hpp"
#include "engine/build/expand.hpp"

namespace lab::engine::build {

struct RunConfig {
  boost::json::object document;  // complete
  bool command_set = false;      // by a CMD of this stage: an ENTRYPOINT does not clear it
  std::string author;            // by MAINTAINER
};

// The variables of the document's Env; the first of two counts.
[[nodiscard]] Variables environment_of(const boost::json::object& config);
// The shell that runs commands which are no JSON array: {"/bin/sh", "-c"}, or what SHELL said.
[[nodiscard]] std::vector<std::string> shell_of(const boost::json::object& config);
// The words of RUN, CMD or ENTRYPOINT, with the shell before them unless they were a JSON array.
[[nodiscard]] std::vector<std::string> command_of(const Instruction& instruction,
                                                  const boost::json::object& config);
// "build" and "/src" give "/src/build"; what is absolute stays as it is.
[[nodiscard]] Result<std::string> join_working_directory(const std::string& current,
                                                         const std::string& wanted);
// HEALTHCHECK's flags and command as the document's Healthcheck.
[[nodiscard]] Result<boost::json::object> health_check_of(const Instruction& instruction);

// Puts variables into the arguments of instructions where they are allowed.
[[nodiscard]] Result<void> expand_arguments(Instruction& instruction, const Variables& variables,
                                            char escape);

// The change of `config` by one instruction of expanded arguments: anything but FROM, RUN, COPY,
// ADD and ARG. Gives its line in the history: "ENV A=1". `note` is told what a user should know.
[[nodiscard]] Result<std::string> apply_instruction(
    RunConfig& config, const Instruction& instruction, const Variables& variables, char escape,
    const std::function<void(std::string_view)>& note);

// `docker commit --change`: instructions as in a Dockerfile, one or more lines each.
[[nodiscard]] Result<void> apply_changes(boost::json::object& config,
                                         const std::vector<std::string>& changes);

}  // namespace lab::engine::build
