#include "provision/ssh.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <mutex>

#include "provision/ssh_connection.hpp"
#include "provision/ssh_keys.hpp"

namespace lab::provision {

using std::chrono::milliseconds;

TimePoint deadline_after(milliseconds timeout) { return SystemClock().now() + timeout; }

namespace {

// 0 once the deadline has passed.
int milliseconds_left(TimePoint deadline) {
  auto left = std::chrono::ceil<milliseconds>(deadline - SystemClock().now()).count();
  return static_cast<int>(std::clamp<long>(left, 0, 3'600'000));
}

Result<Fd> connect_tcp_blocking(const SshTarget& target, TimePoint deadline) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  std::string port = std::to_string(target.port);
  if (int rc = getaddrinfo(target.host.c_str(), port.c_str(), &hints, &found); rc != 0)
    return make_error(Code::unavailable, "{}: {}", target.host, gai_strerror(rc));
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  Fd fd(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error(errno, "socket");
  int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd.get(), found->ai_addr, found->ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return errno_error(errno, "connect");
    pollfd wait{fd.get(), POLLOUT, 0};
    if (poll(&wait, 1, milliseconds_left(deadline)) <= 0)
      return make_error(Code::deadline_exceeded, "no TCP connection in time");
    int failure = 0;
    socklen_t size = sizeof failure;
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure != 0) return errno_error(failure, "connect");
  }
  return fd;
}

// Until the server has said something.
Result<void> wait_for_banner(const Fd& fd, TimePoint deadline) {
  pollfd wait{fd.get(), POLLIN, 0};
  char byte = 0;
  if (poll(&wait, 1, milliseconds_left(deadline)) <= 0)
    return make_error(Code::unavailable, "connected, but the server says nothing");
  ssize_t got = recv(fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got == 0) return make_error(Code::unavailable, "the connection was closed at once");
  if (got < 0) return errno_error(errno, "reading");
  return {};
}

void initialise_libssh2() {
  static std::once_flag once;
  std::call_once(once, [] { libssh2_init(0); });
}

std::string last_lines(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  std::size_t start = text.size();
  for (int line = 0; line < 8 && start > 0; ++line) {
    start = text.rfind('\n', start - 1);
    if (start == std::string_view::npos) return std::string(text);
  }
  return std::string(text.substr(start + 1));
}

std::string said(const SshResult& result) {
  return last_lines(result.errors.empty() ? result.output : result.errors);
}

// A command in a message: its first line, cut.
std::string shown(const std::string& command) {
  std::string line = command.substr(0, command.find('\n'));
  if (line.size() > 200) line.resize(200);
  return line.size() == command.size() ? line : line + " ...";
}

// RFC 4254 6.10's names, without "SIG".
int signal_status(const char* name) {
  static const std::map<std::string_view, int> numbers{
      {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},   {"HUP", SIGHUP},   {"ILL", SIGILL},
      {"INT", SIGINT},   {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},
      {"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"BUS", SIGBUS}};
  auto found = numbers.find(name);
  return found == numbers.end() ? 255 : 128 + found->second;
}

}  // namespace

SshSession::Impl::~Impl() {
  if (session == nullptr) return;
  // Nobody waits for a good-bye: a dead peer must not hold us. On a socket that is shut, what
  // libssh2 still waits for fails, and it frees the session instead of asking to be called again.
  libssh2_session_disconnect(session, "done");
  shutdown(socket.get(), SHUT_RDWR);
  if (sftp != nullptr) libssh2_sftp_shutdown(sftp);
  for (int tries = 0; tries < 10; ++tries)
    if (libssh2_session_free(session) != LIBSSH2_ERROR_EAGAIN) break;
}

bool SshSession::Impl::wait(TimePoint deadline) const {
  int directions = libssh2_session_block_directions(session);
  short events = 0;
  if ((directions & LIBSSH2_SESSION_BLOCK_INBOUND) != 0) events |= POLLIN;
  if ((directions & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0) events |= POLLOUT;
  if (events == 0) events = POLLIN;
  pollfd fd{socket.get(), events, 0};
  int left = milliseconds_left(deadline);
  if (left == 0) return false;
  int ready = poll(&fd, 1, left);
  return ready > 0 || (ready < 0 && errno == EINTR);
}

Error SshSession::Impl::failure(std::string_view doing) const {
  char* text = nullptr;
  int number = libssh2_session_last_error(session, &text, nullptr, 0);
  Code code =
      number == LIBSSH2_ERROR_AUTHENTICATION_FAILED || number == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED
          ? Code::unauthorized
          : Code::unavailable;
  return make_error(code, "{}: {}: {} (libssh2 error {})", target.name, doing,
                    text == nullptr ? "" : text, number);
}

Error SshSession::Impl::timed_out(std::string_view doing) const {
  return make_error(Code::deadline_exceeded, "{}: {}: no answer in time", target.name, doing);
}

Result<void> SshSession::Impl::check_host_key() const {
  std::size_t size = 0;
  int type = 0;
  const char* bytes = libssh2_session_hostkey(session, &size, &type);
  LAB_TRY(std::string expected, ssh_public_key_blob(target.host_key));
  if (bytes == nullptr || std::string_view(bytes, size) != expected) {
    return make_error(Code::unauthorized,
                      "{}: the host key at {}:{} is not the one this lab made; something else "
                      "answers there",
                      target.name, target.host, target.port);
  }
  return {};
}

Result<void> SshSession::Impl::start(TimePoint deadline) {
  initialise_libssh2();
  session = libssh2_session_init();
  if (session == nullptr) return make_error(Code::internal, "libssh2_session_init failed");
  libssh2_session_set_blocking(session, 0);
  // What costs an emulated guest least, and what the pinned key needs.
  libssh2_session_method_pref(session, LIBSSH2_METHOD_HOSTKEY, "ssh-ed25519");
  libssh2_session_method_pref(session, LIBSSH2_METHOD_KEX,
                              "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256");
  libssh2_session_method_pref(session, LIBSSH2_METHOD_CRYPT_CS, "aes128-ctr,aes256-ctr");
  libssh2_session_method_pref(session, LIBSSH2_METHOD_CRYPT_SC, "aes128-ctr,aes256-ctr");
  LAB_CHECK(complete("handshake", deadline,
                     [&] { return libssh2_session_handshake(session, socket.get()); }));
  LAB_CHECK(check_host_key());
  LAB_CHECK(complete("logging in as " + target.user, deadline, [&] {
    return libssh2_userauth_publickey_frommemory(
        session, target.user.data(), target.user.size(), target.public_key.data(),
        target.public_key.size(), target.private_key.data(), target.private_key.size(), nullptr);
  }));
  return {};
}

Result<LIBSSH2_CHANNEL*> SshSession::Impl::open_channel(TimePoint deadline) {
  return obtain("opening a channel", deadline,
                [&] { return libssh2_channel_open_session(session); });
}

// OpenSSH's PROTOCOL, 2.4: the server connects to the socket and passes bytes on.
Result<LIBSSH2_CHANNEL*> SshSession::Impl::open_socket(const std::string& path,
                                                       TimePoint deadline) {
  constexpr std::string_view kind = "direct-streamlocal@openssh.com";
  std::string message;
  append_ssh_string(message, path);
  append_ssh_string(message, "");  // both reserved
  append_ssh_number(message, 0);
  auto opened = obtain("connecting to " + path, deadline, [&] {
    return libssh2_channel_open_ex(session, kind.data(), static_cast<unsigned>(kind.size()),
                                   LIBSSH2_CHANNEL_WINDOW_DEFAULT, LIBSSH2_CHANNEL_PACKET_DEFAULT,
                                   message.data(), static_cast<unsigned>(message.size()));
  });
  if (!opened && libssh2_session_last_errno(session) == LIBSSH2_ERROR_CHANNEL_FAILURE)
    return make_error(Code::not_found, "{}: nothing listens at {}", target.name, path);
  return opened;
}

Result<LIBSSH2_SFTP*> SshSession::Impl::open_sftp(TimePoint deadline) {
  if (sftp == nullptr) {
    LAB_TRY(sftp, obtain("starting SFTP", deadline, [&] { return libssh2_sftp_init(session); }));
  }
  return sftp;
}

namespace {

// A channel that is freed with its owner; the session must outlive it.
class Channel {
 public:
  Channel(std::shared_ptr<SshSession::Impl> session, LIBSSH2_CHANNEL* channel)
      : session_(std::move(session)), channel_(channel) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() {
    // Closes when it can; what the peer does not take in time goes with the connection.
    TimePoint deadline = deadline_after(milliseconds(1000));
    while (libssh2_channel_free(channel_) == LIBSSH2_ERROR_EAGAIN && session_->wait(deadline)) {
    }
  }

  [[nodiscard]] LIBSSH2_CHANNEL* get() const { return channel_; }
  SshSession::Impl& session() { return *session_; }

  Result<void> request_pty(const std::string& terminal, int columns, int rows, TimePoint deadline) {
    LAB_CHECK(session_->complete("asking for a terminal", deadline, [&] {
      return libssh2_channel_request_pty_ex(channel_, terminal.data(),
                                            static_cast<unsigned>(terminal.size()), nullptr, 0,
                                            columns, rows, 0, 0);
    }));
    return {};
  }

  // An empty command is the login shell.
  Result<void> start(const std::string& command, TimePoint deadline) {
    std::string_view kind = command.empty() ? "shell" : "exec";
    LAB_CHECK(session_->complete("starting a command", deadline, [&] {
      return libssh2_channel_process_startup(
          channel_, kind.data(), static_cast<unsigned>(kind.size()),
          command.empty() ? nullptr : command.data(), static_cast<unsigned>(command.size()));
    }));
    return {};
  }

  Result<void> write(std::string_view bytes, TimePoint deadline) {
    while (!bytes.empty()) {
      LAB_TRY(long put, session_->complete("writing", deadline, [&] {
        return libssh2_channel_write(channel_, bytes.data(), bytes.size());
      }));
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
  }

  // Waits for the first byte; 0 at the end.
  Result<std::size_t> read_some(char* buffer, std::size_t size, TimePoint deadline) {
    LAB_TRY(long got, session_->complete("reading", deadline, [&]() -> ssize_t {
      ssize_t count = libssh2_channel_read(channel_, buffer, size);
      return count == 0 && libssh2_channel_eof(channel_) == 0 ? LIBSSH2_ERROR_EAGAIN : count;
    }));
    return static_cast<std::size_t>(got);
  }

  // Once the end was read: waits for the exit status.
  int exit_status(TimePoint deadline) {
    while (libssh2_channel_wait_closed(channel_) == LIBSSH2_ERROR_EAGAIN &&
           session_->wait(deadline)) {
    }
    char* signal = nullptr;
    std::size_t size = 0;
    libssh2_channel_get_exit_signal(channel_, &signal, &size, nullptr, nullptr, nullptr, nullptr);
    if (signal == nullptr) return libssh2_channel_get_exit_status(channel_);
    int status = signal_status(signal);
    libssh2_free(session_->session, signal);
    return status;
  }

 private:
  std::shared_ptr<SshSession::Impl> session_;
  LIBSSH2_CHANNEL* channel_;
};

// One exec: input fed, both outputs collected.
class Execution {
 public:
  Execution(Channel& channel, const SshCommand& command, SshResult& result)
      : channel_(channel), command_(command), result_(result) {}

  Result<void> run(TimePoint deadline) {
    for (;;) {
      LAB_TRY(bool moved, step(deadline));
      if (libssh2_channel_eof(channel_.get()) == 1) return {};
      if (!moved && !channel_.session().wait(deadline)) {
        return make_error(Code::deadline_exceeded,
                          "{}: `{}` did not end within {} ms; its last output: {}",
                          channel_.session().target.name, shown(command_.command),
                          command_.timeout.count(), said(result_));
      }
    }
  }

 private:
  Result<bool> step(TimePoint deadline) {
    LAB_TRY(bool fed, feed(deadline));
    LAB_TRY(bool out, drain(0, result_.output));
    LAB_TRY(bool errors, drain(SSH_EXTENDED_DATA_STDERR, result_.errors));
    return fed || out || errors;
  }

  // A packet that is half sent must be finished before anything else is sent: then we wait for the
  // socket here. A full window only ends the feeding for now.
  Result<bool> feed(TimePoint deadline) {
    if (eof_sent_) return false;
    SshSession::Impl& session = channel_.session();
    while (fed_ < command_.input.size()) {
      ssize_t put = libssh2_channel_write(channel_.get(), command_.input.data() + fed_,
                                          command_.input.size() - fed_);
      if (put > 0) {
        fed_ += static_cast<std::size_t>(put);
        continue;
      }
      if (put == LIBSSH2_ERROR_CHANNEL_CLOSED || put == LIBSSH2_ERROR_CHANNEL_EOF_SENT) {
        eof_sent_ = true;  // the command ended without reading all
        return true;
      }
      if (put != LIBSSH2_ERROR_EAGAIN && put != 0) return session.failure("sending input");
      bool half_sent =
          (libssh2_session_block_directions(session.session) & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0;
      if (!half_sent) return false;
      if (!session.wait(deadline)) return session.timed_out("sending input");
    }
    LAB_CHECK(session.complete("ending the input", deadline,
                               [&] { return libssh2_channel_send_eof(channel_.get()); }));
    eof_sent_ = true;
    return true;
  }

  Result<bool> drain(int stream, std::string& to) {
    bool any = false;
    char buffer[32768];
    for (;;) {
      ssize_t got = libssh2_channel_read_ex(channel_.get(), stream, buffer, sizeof buffer);
      if (got == LIBSSH2_ERROR_EAGAIN || got == 0) return any;
      if (got < 0) return channel_.session().failure("reading the output");
      any = true;
      std::string_view piece(buffer, static_cast<std::size_t>(got));
      to += piece;
      if (command_.on_output) command_.on_output(piece, stream != 0);
    }
  }

  Channel& channel_;
  const SshCommand& command_;
  SshResult& result_;
  std::size_t fed_ = 0;
  bool eof_sent_ = false;
};

}  // namespace

SshSession::SshSession(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
SshSession::SshSession(SshSession&&) noexcept = default;
SshSession& SshSession::operator=(SshSession&&) noexcept = default;
SshSession::~SshSession() = default;

const SshTarget& SshSession::target() const { return impl_->target; }

Result<SshSession> SshSession::connect(const SshTarget& target, milliseconds timeout,
                                       std::optional<milliseconds> silence) {
  TimePoint deadline = deadline_after(timeout);
  auto impl = std::make_shared<Impl>();
  impl->target = target;
  auto unreachable = [&target](const Error& error) {
    Error wrapped = error.wrap("{}: SSH at {}:{}", target.name, target.host, target.port);
    wrapped.code = Code::unavailable;
    return wrapped;
  };
  auto socket = connect_tcp_blocking(target, deadline);
  if (!socket) return unreachable(socket.error());
  impl->socket = std::move(*socket);
  const TimePoint first_word = silence ? std::min(deadline, deadline_after(*silence)) : deadline;
  if (auto banner = wait_for_banner(impl->socket, first_word); !banner)
    return unreachable(banner.error());
  LAB_CHECK(impl->start(deadline));
  return SshSession(std::move(impl));
}

Result<SshResult> SshSession::exec(const SshCommand& command) {
  const std::scoped_lock turn(impl_->turn);
  TimePoint deadline = deadline_after(command.timeout);
  LAB_TRY(LIBSSH2_CHANNEL * opened, impl_->open_channel(deadline));
  Channel channel(impl_, opened);
  if (command.pty) LAB_CHECK(channel.request_pty("xterm", 80, 24, deadline));
  LAB_CHECK(channel.start(command.command, deadline));
  SshResult result;
  LAB_CHECK(Execution(channel, command, result).run(deadline));
  result.status = channel.exit_status(deadline);
  return result;
}

Result<std::string> SshSession::exec_checked(const SshCommand& command) {
  LAB_TRY(SshResult result, exec(command));
  if (result.status != 0) {
    return make_error(Code::internal, "{}: `{}` exited with status {}: {}", impl_->target.name,
                      shown(command.command), result.status, said(result));
  }
  return std::move(result.output);
}

Result<void> SshSession::converse(const std::string& socket_path, std::string_view bytes,
                                  const std::function<Result<bool>(std::string_view)>& take,
                                  milliseconds timeout) {
  const std::scoped_lock turn(impl_->turn);
  TimePoint deadline = deadline_after(timeout);
  LAB_TRY(LIBSSH2_CHANNEL * opened, impl_->open_socket(socket_path, deadline));
  Channel channel(impl_, opened);
  LAB_CHECK(channel.write(bytes, deadline));
  char buffer[32768];
  for (;;) {
    LAB_TRY(const std::size_t got, channel.read_some(buffer, sizeof buffer, deadline));
    LAB_TRY(const bool more, take(std::string_view(buffer, got)));
    if (!more || got == 0) return {};
  }
}

struct SshShell::Impl {
  Channel channel;
  bool merge_errors;
  int status = -1;

  Impl(std::shared_ptr<SshSession::Impl> session, LIBSSH2_CHANNEL* opened)
      : channel(std::move(session), opened), merge_errors(true) {}
};

SshShell::SshShell(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SshShell::SshShell(SshShell&&) noexcept = default;
SshShell& SshShell::operator=(SshShell&&) noexcept = default;
SshShell::~SshShell() = default;

Result<SshShell> SshSession::open_shell(const SshShellOptions& options) {
  TimePoint deadline = deadline_after(milliseconds(30'000));
  LAB_TRY(LIBSSH2_CHANNEL * opened, impl_->open_channel(deadline));
  auto shell = std::make_unique<SshShell::Impl>(impl_, opened);
  if (options.pty) {
    LAB_CHECK(
        shell->channel.request_pty(options.terminal, options.columns, options.rows, deadline));
  } else {
    // One stream in the order in which it came.
    LAB_CHECK(impl_->complete("merging the streams", deadline, [&] {
      return libssh2_channel_handle_extended_data2(opened, LIBSSH2_CHANNEL_EXTENDED_DATA_MERGE);
    }));
  }
  LAB_CHECK(shell->channel.start(options.command, deadline));
  return SshShell(std::move(shell));
}

Result<void> SshShell::write(std::string_view bytes, milliseconds timeout) {
  return impl_->channel.write(bytes, deadline_after(timeout));
}

Result<std::string> SshShell::read_some(milliseconds timeout) {
  TimePoint deadline = deadline_after(timeout);
  Channel& channel = impl_->channel;
  std::string buffer(32768, '\0');
  LAB_TRY(const std::size_t got, channel.read_some(buffer.data(), buffer.size(), deadline));
  buffer.resize(got);
  if (got == 0 && impl_->status < 0)
    impl_->status = channel.exit_status(deadline_after(milliseconds(5000)));
  return buffer;
}

Result<void> SshShell::send_eof() {
  Channel& channel = impl_->channel;
  LAB_CHECK(channel.session().complete("ending the input", deadline_after(milliseconds(10'000)),
                                       [&] { return libssh2_channel_send_eof(channel.get()); }));
  return {};
}

Result<void> SshShell::resize(int columns, int rows) {
  Channel& channel = impl_->channel;
  LAB_CHECK(channel.session().complete(
      "resizing the terminal", deadline_after(milliseconds(10'000)),
      [&] { return libssh2_channel_request_pty_size_ex(channel.get(), columns, rows, 0, 0); }));
  return {};
}

int SshShell::exit_status() { return impl_->status; }

}  // namespace lab::provision
