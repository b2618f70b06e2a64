// A tutorial: a Markdown document whose console transcripts are commands with the output that they
// must give. docs/scenarios.md is the reference of the format.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::scenarios {

// Behind the fence's language, or behind the word that opens an HTML comment.
struct Attributes {
  // Run again until the output matches or this has passed.
  std::optional<std::chrono::milliseconds> eventually;
  std::chrono::milliseconds timeout{120'000};  // for one run of one command
  bool skip = false;                           // for the reader only
  bool unordered = false;                      // the output's lines may come in any order
  std::string machine;                         // where "$ " runs; empty: on the host
};

struct Command {
  int line = 0;           // of the prompt, from 1
  std::string prompt;     // as shown: "root@vm1:~#" or "$"
  std::string user;       // empty with "$"
  std::string machine;    // empty: the host
  std::string directory;  // that the prompt shows; empty with "$"
  std::string text;       // the command, its lines joined by "\n"
  std::vector<std::string> expected;
  int expected_line = 0;  // of the first expected line
  int status = 0;
};

enum class BlockKind : std::uint8_t {
  console,  // shown; output and status are compared
  check,    // hidden; the same
  setup,    // hidden; only the status is compared
  cleanup,  // hidden; as setup, but run at the end of the document, whatever happened
};

struct Block {
  BlockKind kind = BlockKind::console;
  int line = 0;
  Attributes attributes;
  std::vector<Command> commands;
};

struct Document {
  std::string path;
  std::string title;  // the first heading; empty if there is none
  std::vector<Block> blocks;
};

// Code::invalid_argument names every fault in one message, one a line: "PATH:LINE: what".
[[nodiscard]] Result<Document> parse_document(std::string path, std::string_view text);

}  // namespace lab::scenarios
