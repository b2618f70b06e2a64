// An OpenSSH server of a test's own on a loopback port, which knows one user key: this host as the
// machine "here". It ends with the object.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "provision/ssh.hpp"
#include "provision/ssh_keys.hpp"

namespace lab::provision {

class OwnSshd {
 public:
  OwnSshd() = default;
  OwnSshd(const OwnSshd&) = delete;
  OwnSshd& operator=(const OwnSshd&) = delete;
  ~OwnSshd() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  // Fails the test when it cannot.
  void start() {
    const SshKeyPair host = make_ssh_key("host").value();
    const SshKeyPair user = make_ssh_key("user").value();
    const std::string folder = directory_.path().string();
    ASSERT_TRUE(write_file(folder + "/host", host.private_key, 0600));
    ASSERT_TRUE(write_file(folder + "/authorized", user.public_key + "\n", 0600));
    target_.name = "here";
    target_.port = free_port();
    target_.user = getpwuid(getuid())->pw_name;
    target_.private_key = user.private_key;
    target_.public_key = user.public_key;
    target_.host_key = host.public_key;
    const std::string config = fmt::format(
        "ListenAddress 127.0.0.1:{}\nHostKey {}/host\nAuthorizedKeysFile {}/authorized\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n",
        target_.port, folder, folder);
    ASSERT_TRUE(write_file(folder + "/config", config));
    if (getuid() == 0) {
      ASSERT_TRUE(make_directories("/run/sshd"));
    }
    const Command sshd{{"/usr/sbin/sshd", "-D", "-e", "-f", folder + "/config"}};
    const Result<pid_t> started = spawn_daemon(sshd, folder + "/log");
    ASSERT_TRUE(started) << started.error().message << " (package openssh-server)";
    pid_ = *started;
  }

  [[nodiscard]] const SshTarget& target() const { return target_; }
  [[nodiscard]] const std::filesystem::path& folder() const { return directory_.path(); }

  // Waits while it starts.
  [[nodiscard]] Result<SshSession> connect() const { return connect(target_); }
  [[nodiscard]] static Result<SshSession> connect(const SshTarget& target) {
    constexpr std::chrono::milliseconds patience{20'000};
    const SystemClock clock;
    const TimePoint deadline = clock.now() + patience;
    for (;;) {
      Result<SshSession> session = SshSession::connect(target, patience);
      if (session || session.error().code != Code::unavailable || clock.now() > deadline)
        return session;
      poll(nullptr, 0, 20);
    }
  }

  static std::uint16_t free_port() {
    const Fd fd(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
  }

 private:
  TemporaryDirectory directory_{"lab-sshd"};
  SshTarget target_;
  pid_t pid_ = 0;
};

}  // namespace lab::provision
