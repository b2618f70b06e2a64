#include "scenarios/lab_machines.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "provision/ssh_keys.hpp"

namespace lab::scenarios {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr milliseconds patience{20'000};

std::uint16_t free_port() {
  Fd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

// Machine "here" is this host behind an OpenSSH server of the test's own.
class LabMachinesTest : public testing::Test {
 protected:
  void SetUp() override {
    const provision::SshKeyPair host = provision::make_ssh_key("host").value();
    const provision::SshKeyPair user = provision::make_ssh_key("user").value();
    const std::string folder = folder_.path().string();
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
        "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n",
        target_.port, folder, folder);
    ASSERT_TRUE(write_file(folder + "/config", config));
    if (getuid() == 0) {
      ASSERT_TRUE(make_directories("/run/sshd"));
    }
    const Command sshd{{"/usr/sbin/sshd", "-D", "-e", "-f", folder + "/config"}};
    Result<pid_t> started = spawn_daemon(sshd, folder + "/log");
    ASSERT_TRUE(started) << started.error().message << " (package openssh-server)";
    sshd_ = *started;
  }
  void TearDown() override {
    if (sshd_ <= 0) return;
    kill(sshd_, SIGKILL);
    waitpid(sshd_, nullptr, 0);
  }

  Result<provision::SshSession> connect(const std::string& machine) {
    if (machine != "here") return make_error(Code::not_found, "no machine {}", machine);
    const TimePoint deadline = clock_.now() + patience;
    for (;;) {
      Result<provision::SshSession> session = provision::SshSession::connect(target_, patience);
      if (session || session.error().code != Code::unavailable || clock_.now() > deadline) {
        return session;
      }
      poll(nullptr, 0, 20);
    }
  }

  std::unique_ptr<Shell> open(const std::string& machine) {
    Result<std::unique_ptr<Shell>> shell = machines_.open(machine, "root");
    if (!shell) {
      ADD_FAILURE() << shell.error().message;
      return nullptr;
    }
    return std::move(*shell);
  }

  TemporaryDirectory folder_;
  SystemClock clock_;
  provision::SshTarget target_;
  pid_t sshd_ = 0;
  LabMachines machines_{[this](const std::string& machine) { return connect(machine); }, clock_,
                        "/opt/lab programs"};
};

TEST_F(LabMachinesTest, AShellOverSshKeepsFolderAndVariables) {
  std::unique_ptr<Shell> shell = open("here");
  ASSERT_TRUE(shell);
  EXPECT_EQ(shell->directory(), shell->home());
  EXPECT_EQ(shell->run("cd /usr; export X=1", patience).value().status, 0);
  EXPECT_EQ(shell->directory(), "/usr");
  EXPECT_EQ(shell->run("echo $X; echo err >&2; (exit 5)", patience).value().text, "1\nerr\n");
  EXPECT_EQ(shell->run("(exit 5)", patience).value().status, 5);
}

TEST_F(LabMachinesTest, WhatHangsBehindSshIsKilledThere) {
  std::unique_ptr<Shell> shell = open("here");
  ASSERT_TRUE(shell);
  const std::string file = (folder_.path() / "pid").string();
  Result<ShellOutput> output =
      shell->run("sleep 600 & echo $! > " + file + "; echo started; wait", milliseconds(1000));
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, Code::deadline_exceeded);
  EXPECT_THAT(output.error().message, HasSubstr("started"));
  EXPECT_FALSE(shell->alive());
  const pid_t left = std::stoi(read_file(file).value());
  const TimePoint deadline = clock_.now() + patience;
  while (kill(left, 0) == 0 && clock_.now() < deadline) poll(nullptr, 0, 20);
  EXPECT_NE(kill(left, 0), 0);
}

TEST_F(LabMachinesTest, TheHostFindsTheProgramsOfTheLabFirst) {
  std::unique_ptr<Shell> shell = open("");
  ASSERT_TRUE(shell);
  EXPECT_THAT(shell->run("echo $PATH", patience).value().text,
              testing::StartsWith("/opt/lab programs:"));
  EXPECT_EQ(shell->directory(), std::filesystem::current_path());
}

TEST_F(LabMachinesTest, ACommandTakesThePlaceOfSsh) {
  machines_.set_command("WHERE={user}@{machine} exec bash --norc");
  std::unique_ptr<Shell> shell = open("elsewhere");
  ASSERT_TRUE(shell);
  EXPECT_EQ(shell->run("echo $WHERE", patience).value().text, "root@elsewhere\n");
}

TEST_F(LabMachinesTest, AMachineThatIsNotThereIsNamed) {
  Result<std::unique_ptr<Shell>> shell = machines_.open("vm9", "root");
  ASSERT_FALSE(shell);
  EXPECT_THAT(shell.error().message, HasSubstr("vm9"));
}

TEST_F(LabMachinesTest, ACommandThatStartsNoShellFails) {
  machines_.set_command("echo cannot reach {machine}; exit 1");
  Result<std::unique_ptr<Shell>> shell = machines_.open("vm1", "root");
  ASSERT_FALSE(shell);
  EXPECT_THAT(shell.error().message, HasSubstr("machine vm1: starting a shell"));
  EXPECT_THAT(shell.error().message, HasSubstr("cannot reach vm1"));
}

}  // namespace
}  // namespace lab::scenarios
