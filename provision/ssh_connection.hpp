// The connection behind an SshSession, shared by what speaks over it: commands and shells (ssh.cpp)
// and files (sftp.cpp). libssh2 runs in non-blocking mode; wait() is the one place that blocks.
#pragma once

#include <libssh2.h>
#include <libssh2_sftp.h>

#include <chrono>
#include <mutex>
#include <string_view>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "provision/ssh.hpp"

namespace lab::provision {

[[nodiscard]] TimePoint deadline_after(std::chrono::milliseconds timeout);

struct SshSession::Impl {
  std::mutex turn;  // held by one command or conversation at a time
  SshTarget target;
  Fd socket;
  LIBSSH2_SESSION* session = nullptr;
  LIBSSH2_SFTP* sftp = nullptr;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  // Handshake and login on the connected socket.
  [[nodiscard]] Result<void> start(TimePoint deadline);
  // Until libssh2 can go on. False when the deadline passed.
  [[nodiscard]] bool wait(TimePoint deadline) const;
  // What libssh2 says about its last failure.
  [[nodiscard]] Error failure(std::string_view doing) const;
  [[nodiscard]] Error timed_out(std::string_view doing) const;
  [[nodiscard]] Result<LIBSSH2_CHANNEL*> open_channel(TimePoint deadline);
  // To a Unix socket of the machine. Code::not_found when nothing listens there.
  [[nodiscard]] Result<LIBSSH2_CHANNEL*> open_socket(const std::string& path, TimePoint deadline);
  // Opened at the first need.
  [[nodiscard]] Result<LIBSSH2_SFTP*> open_sftp(TimePoint deadline);

  // Repeats `call` (which gives a libssh2 status) until it is done.
  template <typename Call>
  Result<long> complete(std::string_view doing, TimePoint deadline, Call call) {
    for (;;) {
      auto rc = static_cast<long>(call());
      if (rc >= 0) return rc;
      if (rc != LIBSSH2_ERROR_EAGAIN) return failure(doing);
      if (!wait(deadline)) return timed_out(doing);
    }
  }

  // The same for calls that give a pointer.
  template <typename Call>
  auto obtain(std::string_view doing, TimePoint deadline, Call call) -> Result<decltype(call())> {
    for (;;) {
      if (auto* made = call(); made != nullptr) return made;
      if (libssh2_session_last_errno(session) != LIBSSH2_ERROR_EAGAIN) return failure(doing);
      if (!wait(deadline)) return timed_out(doing);
    }
  }

 private:
  [[nodiscard]] Result<void> check_host_key() const;
};

}  // namespace lab::provision
