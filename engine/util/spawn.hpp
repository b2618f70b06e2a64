// Starting a child with descriptors of our choice, as conmon's protocol needs; everything else is
// base/subprocess.hpp.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"

namespace lab::engine {

struct Pipe {
  Fd read;
  Fd write;
};
[[nodiscard]] Result<Pipe> make_pipe();

struct Spawn {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;  // all of it
  std::vector<int> inherited;  // become 3, 4, ... in the child; 0-2 are /dev/null
  int standard_error = -1;     // instead of /dev/null
};
// New session, default signals. Its parent must wait for it.
[[nodiscard]] Result<pid_t> spawn(const Spawn& child);

// The path of a program: `name` itself with a slash in it, else where PATH (and the system's usual
// folders) have it. Code::not_found.
[[nodiscard]] Result<std::string> find_program(const std::string& name);
// PATH with the system's folders behind it.
[[nodiscard]] std::string search_path();

// One line (without its end), or what came before the end of the stream. Code::deadline_exceeded.
[[nodiscard]] Result<std::string> read_line(int fd, std::string& rest, int timeout_ms);

}  // namespace lab::engine
