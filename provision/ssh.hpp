// SSH and SFTP to a lab's machines, over libssh2. Host keys are pinned: one that is not in the
// target is an error, never a question. Every call has a deadline. Calls block: use them from
// worker threads. exec() and converse() of several threads take turns; all else on one session, the
// shells opened on it included, is used by one thread at a time: open a session more for what runs
// beside.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::provision {

struct SshTarget {
  std::string name;  // the machine, for messages
  std::string host = "127.0.0.1";
  std::uint16_t port = 22;
  std::string user = "root";
  std::string private_key;  // OpenSSH PEM text
  std::string public_key;   // "ssh-ed25519 BASE64"
  std::string host_key;     // "ssh-ed25519 BASE64": the one that we accept
};

struct SshCommand {
  std::string command;  // for the user's shell
  std::string input;    // fed to standard input, which is then closed
  std::chrono::milliseconds timeout{60'000};
  bool pty = false;  // standard error then comes with standard output
  // Called with each piece as it comes; `is_error` tells standard error. What it sees is kept in
  // the result as well.
  std::function<void(std::string_view bytes, bool is_error)> on_output;
};

struct SshResult {
  int status = 0;  // 128 + n when a signal killed it and its number is known, 255 otherwise
  std::string output;
  std::string errors;
};

// A running program with its standard streams: an interactive shell, or any command.
class SshShell {
 public:
  SshShell(SshShell&&) noexcept;
  SshShell& operator=(SshShell&&) noexcept;
  ~SshShell();

  // All of it, within the timeout.
  [[nodiscard]] Result<void> write(std::string_view bytes, std::chrono::milliseconds timeout);
  // Whatever has come (standard error included), waiting for the first byte: empty at the program's
  // end, Code::deadline_exceeded when nothing came in time.
  [[nodiscard]] Result<std::string> read_some(std::chrono::milliseconds timeout);
  [[nodiscard]] Result<void> send_eof();
  [[nodiscard]] Result<void> resize(int columns, int rows);  // with a pty
  // The program's exit status, after its end was read; -1 when the server told none.
  [[nodiscard]] int exit_status();

 private:
  friend class SshSession;
  struct Impl;
  explicit SshShell(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct SshShellOptions {
  std::string command;  // empty: the user's login shell
  bool pty = true;
  std::string terminal = "xterm";
  int columns = 80;
  int rows = 24;
};

// How a file or folder of a machine is to look.
struct RemoteAttributes {
  unsigned mode = 0644;
  std::optional<std::int64_t> mtime;  // seconds since 1970; none: as it comes
};

class SshSession {
 public:
  // Code::unavailable while nothing answers (a machine that boots), Code::unauthorized for a host
  // key that is not the pinned one or a refused user key. A server that was reached has `silence`
  // to say its first word, without it the whole timeout: who tries again and again while a machine
  // boots gives little, as a connection made too early may lead nowhere for ever.
  [[nodiscard]] static Result<SshSession> connect(
      const SshTarget& target, std::chrono::milliseconds timeout,
      std::optional<std::chrono::milliseconds> silence = {});
  SshSession(SshSession&&) noexcept;
  SshSession& operator=(SshSession&&) noexcept;
  ~SshSession();

  // Runs to the end, whatever the status. The error of a timeout holds the last output.
  [[nodiscard]] Result<SshResult> exec(const SshCommand& command);
  // As exec, and a status other than 0 is an error with the command, the status and the last lines.
  [[nodiscard]] Result<std::string> exec_checked(const SshCommand& command);

  [[nodiscard]] Result<SshShell> open_shell(const SshShellOptions& options);

  // Sends `bytes` to a Unix socket of the machine and gives `take` each piece that comes back, an
  // empty one at the end, until it says false. The SSH server makes the connection: no program is
  // started for it. Code::not_found when nothing listens there.
  [[nodiscard]] Result<void> converse(
      const std::string& socket_path, std::string_view bytes,
      const std::function<Result<bool>(std::string_view piece)>& take,
      std::chrono::milliseconds timeout);

  // SFTP. put replaces the file whole: it writes beside it and renames.
  [[nodiscard]] Result<void> put(std::string_view content, const std::string& remote_path, int mode,
                                 std::chrono::milliseconds timeout);
  [[nodiscard]] Result<std::string> get(const std::string& remote_path,
                                        std::chrono::milliseconds timeout,
                                        std::size_t bytes_max = std::size_t{256} << 20);

  // SFTP for whole trees, each answer within the timeout. A file is written where it is named;
  // `next` gives its pieces, and an empty one at the end.
  using NextPiece = std::function<Result<std::string_view>()>;
  [[nodiscard]] Result<void> write_remote(const std::string& path,
                                          const RemoteAttributes& attributes, const NextPiece& next,
                                          std::chrono::milliseconds timeout);
  [[nodiscard]] Result<void> make_remote_folder(const std::string& path, unsigned mode,
                                                std::chrono::milliseconds timeout);
  // Of what a link leads to.
  [[nodiscard]] Result<void> set_remote_attributes(const std::string& path,
                                                   const RemoteAttributes& attributes,
                                                   std::chrono::milliseconds timeout);

  [[nodiscard]] const SshTarget& target() const;

  struct Impl;

 private:
  explicit SshSession(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace lab::provision
