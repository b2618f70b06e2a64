// The Dockerfile language of Docker's classic builder, from text to stages of instructions. Words
// are not expanded yet: variables depend on the state of the build (see expand.hpp). Source: the
// Dockerfile reference, and the behaviour of Docker 20.10 where the reference is silent.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::build {

struct Instruction {
  std::string name;                          // upper case: "RUN"
  std::string original;                      // the line as written, continuations joined
  int line = 0;                              // of its first line, from 1
  std::map<std::string, std::string> flags;  // "--from=x" is {"from", "x"}

  // The words, by the rule of the instruction:
  //   ENV, LABEL              key, value, key, value...
  //   RUN, CMD, ENTRYPOINT    one word per JSON element, or the whole text as one word
  //   HEALTHCHECK             "NONE", or "CMD" and the command as for CMD
  //   ONBUILD                 the triggered instruction's text
  //   MAINTAINER, USER, WORKDIR, STOPSIGNAL   the whole text
  //   all others              one word each
  std::vector<std::string> arguments;
  bool json = false;     // the arguments were a JSON array
  bool literal = false;  // no variables are put in: a LABEL of --label
};

struct Stage {
  std::string base;      // not expanded
  std::string name;      // lower case, empty if it has none
  std::string platform;  // --platform, not expanded
  std::string original;  // the FROM line
  int line = 0;
  std::vector<Instruction> instructions;
};

struct Dockerfile {
  char escape = '\\';
  std::vector<Instruction> global_arguments;  // ARG before the first FROM
  std::vector<Stage> stages;
  std::vector<std::string> warnings;
};

// Code::invalid_argument with Docker's text: "dockerfile parse error line 3: unknown instruction:
// RUM".
[[nodiscard]] Result<Dockerfile> parse_dockerfile(std::string_view text);

// One instruction, as ONBUILD triggers are.
[[nodiscard]] Result<Instruction> parse_instruction(std::string_view line, char escape = '\\');

// Instructions that are no whole file, as `docker commit --change` has them.
[[nodiscard]] Result<std::vector<Instruction>> parse_instructions(std::string_view text);

}  // namespace lab::engine::build
