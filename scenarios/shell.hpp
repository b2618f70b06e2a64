// A shell that lives as long as a document: commands run in it one after the other, so that the
// current folder and the environment persist as they do for a person at a terminal.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace lab::scenarios {

struct ShellOutput {
  std::string text;  // standard output and error as they came
  int status = 0;
};

class Shell {
 public:
  virtual ~Shell() = default;
  // Runs one command (any number of lines) to its end. Code::deadline_exceeded when it does not end
  // in time: the command has then been killed, and the shell with it. Code::unavailable when the
  // shell ended or its connection broke. Both messages end with the last lines of output.
  [[nodiscard]] virtual Result<ShellOutput> run(const std::string& command,
                                                std::chrono::milliseconds timeout) = 0;
  // False after one of these errors: open another shell.
  [[nodiscard]] virtual bool alive() const = 0;
  // Where the last command left it, and the user's own folder.
  [[nodiscard]] virtual const std::string& directory() const = 0;
  [[nodiscard]] virtual const std::string& home() const = 0;
};

// Where the documents run.
class Machines {
 public:
  virtual ~Machines() = default;
  // A new shell for the user on the machine (empty: the machine's own); an empty machine means
  // this host, as ourselves.
  [[nodiscard]] virtual Result<std::unique_ptr<Shell>> open(const std::string& machine,
                                                            const std::string& user) = 0;
};

// The standard streams of a running bash, wherever it runs.
class Channel {
 public:
  virtual ~Channel() = default;
  [[nodiscard]] virtual Result<void> write(std::string_view bytes,
                                           std::chrono::milliseconds timeout) = 0;
  // Empty at the end of the stream; Code::deadline_exceeded when nothing came in time.
  [[nodiscard]] virtual Result<std::string> read_some(std::chrono::milliseconds timeout) = 0;
  // SIGKILL to the process group there.
  virtual void kill_group(long group) = 0;
};

// Makes the bash behind the channel a Shell: language, time zone and width are fixed, there is no
// terminal, and standard input is empty.
[[nodiscard]] Result<std::unique_ptr<Shell>> make_shell(std::unique_ptr<Channel> channel,
                                                        const Clock& clock,
                                                        std::chrono::milliseconds timeout);

// A child process of ours, in a process group of its own that is killed with the channel.
[[nodiscard]] Result<std::unique_ptr<Channel>> spawn_channel(const std::vector<std::string>& argv);

}  // namespace lab::scenarios
