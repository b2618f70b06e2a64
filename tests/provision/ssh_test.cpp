#include "provision/ssh.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "provision/ssh_keys.hpp"

namespace lab::provision {
namespace {

using std::chrono::milliseconds;

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

// An OpenSSH server of our own on a loopback port, which knows one user key.
class Ssh : public testing::Test {
 protected:
  void SetUp() override {
    SshKeyPair host = *make_ssh_key("host");
    SshKeyPair user = *make_ssh_key("user");
    std::string folder = directory_.path().string();
    ASSERT_TRUE(write_file(folder + "/host", host.private_key, 0600));
    ASSERT_TRUE(write_file(folder + "/authorized", user.public_key + "\n", 0600));
    target_.name = "here";
    target_.port = free_port();
    target_.user = getpwuid(getuid())->pw_name;
    target_.private_key = user.private_key;
    target_.public_key = user.public_key;
    target_.host_key = host.public_key;
    std::string config = fmt::format(
        "ListenAddress 127.0.0.1:{}\nHostKey {}/host\nAuthorizedKeysFile {}/authorized\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n",
        target_.port, folder, folder);
    ASSERT_TRUE(write_file(folder + "/config", config));
    if (getuid() == 0) {
      ASSERT_TRUE(make_directories("/run/sshd"));
    }
    Command sshd{{"/usr/sbin/sshd", "-D", "-e", "-f", folder + "/config"}};
    auto pid = spawn_daemon(sshd, folder + "/log");
    ASSERT_TRUE(pid) << pid.error().message << " (package openssh-server)";
    pid_ = *pid;
  }

  void TearDown() override {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  Result<SshSession> connect() { return connect(target_); }
  static Result<SshSession> connect(const SshTarget& target) {
    TimePoint deadline = SystemClock().now() + milliseconds(10'000);
    for (;;) {
      auto session = SshSession::connect(target, milliseconds(5000));
      if (session || session.error().code != Code::unavailable || SystemClock().now() > deadline)
        return session;
      poll(nullptr, 0, 20);
    }
  }

  TemporaryDirectory directory_{"lab-ssh-test"};
  SshTarget target_;
  pid_t pid_ = 0;
};

TEST_F(Ssh, ExecGivesStatusOutputAndErrors) {
  auto session = connect();
  ASSERT_TRUE(session) << session.error().message;
  auto result = session->exec({"echo out; echo err >&2; exit 3"});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->status, 3);
  EXPECT_EQ(result->output, "out\n");
  EXPECT_EQ(result->errors, "err\n");
}

TEST_F(Ssh, OneSessionRunsManyCommands) {
  auto session = connect();
  ASSERT_TRUE(session);
  for (int i = 0; i < 20; ++i) {
    auto result = session->exec({fmt::format("echo {}", i)});
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->output, fmt::format("{}\n", i));
  }
}

TEST_F(Ssh, LargeInputAndOutputCross) {
  auto session = connect();
  ASSERT_TRUE(session);
  std::string input(5 << 20, 'x');
  for (std::size_t i = 0; i < input.size(); i += 101) input[i] = static_cast<char>('a' + i % 26);
  SshCommand command{"cat"};
  command.input = input;
  auto result = session->exec(command);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->status, 0);
  EXPECT_TRUE(result->output == input);
}

TEST_F(Ssh, CommandThatDoesNotReadItsInputEnds) {
  auto session = connect();
  ASSERT_TRUE(session);
  SshCommand command{"echo early; exit 4"};
  command.input = std::string(8 << 20, 'x');
  auto result = session->exec(command);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->status, 4);
  EXPECT_EQ(result->output, "early\n");
}

TEST_F(Ssh, OutputIsStreamedAsItComes) {
  auto session = connect();
  ASSERT_TRUE(session);
  std::vector<std::string> pieces;
  SshCommand command{"echo one; sleep 0.2; echo two >&2"};
  command.on_output = [&](std::string_view bytes, bool is_error) {
    pieces.push_back((is_error ? "E:" : "O:") + std::string(bytes));
  };
  ASSERT_TRUE(session->exec(command));
  EXPECT_EQ(pieces, (std::vector<std::string>{"O:one\n", "E:two\n"}));
}

TEST_F(Ssh, DeadlineErrorTellsTheLastOutput) {
  auto session = connect();
  ASSERT_TRUE(session);
  SshCommand command{"echo so far so good; sleep 30"};
  command.timeout = milliseconds(3000);
  auto result = session->exec(command);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::deadline_exceeded);
  EXPECT_NE(result.error().message.find("so far so good"), std::string::npos);
}

TEST_F(Ssh, SignalBecomesShellStatus) {
  auto session = connect();
  ASSERT_TRUE(session);
  auto result = session->exec({"kill -KILL $$"});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 137);
}

TEST_F(Ssh, CheckedErrorHasCommandStatusAndOutput) {
  auto session = connect();
  ASSERT_TRUE(session);
  auto result = session->exec_checked({"echo broken pump >&2; exit 9"});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message,
            "here: `echo broken pump >&2; exit 9` exited with status 9: broken pump");
}

TEST_F(Ssh, WrongHostKeyIsRefused) {
  SshTarget target = target_;
  target.host_key = make_ssh_key("other")->public_key;
  auto session = connect(target);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::unauthorized);
}

TEST_F(Ssh, UnknownUserKeyIsRefused) {
  SshTarget target = target_;
  SshKeyPair other = *make_ssh_key("other");
  target.private_key = other.private_key;
  target.public_key = other.public_key;
  auto session = connect(target);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::unauthorized);
}

TEST_F(Ssh, ShellKeepsItsStateBetweenWrites) {
  auto session = connect();
  ASSERT_TRUE(session);
  SshShellOptions options;
  options.pty = false;
  options.command = "sh";
  auto shell = session->open_shell(options);
  ASSERT_TRUE(shell) << shell.error().message;
  ASSERT_TRUE(shell->write("cd /usr; x=7\n", milliseconds(5000)));
  ASSERT_TRUE(shell->write("echo $PWD $x >&2; exit 5\n", milliseconds(5000)));
  std::string text;
  for (;;) {
    auto piece = shell->read_some(milliseconds(5000));
    ASSERT_TRUE(piece) << piece.error().message;
    if (piece->empty()) break;
    text += *piece;
  }
  EXPECT_EQ(text, "/usr 7\n");
  EXPECT_EQ(shell->exit_status(), 5);
}

TEST_F(Ssh, ShellWithTerminalHasItsSize) {
  auto session = connect();
  ASSERT_TRUE(session);
  SshShellOptions options;
  options.command = "stty size";
  options.columns = 101;
  options.rows = 31;
  auto shell = session->open_shell(options);
  ASSERT_TRUE(shell);
  std::string text;
  for (auto piece = shell->read_some(milliseconds(5000)); piece && !piece->empty();
       piece = shell->read_some(milliseconds(5000))) {
    text += *piece;
  }
  EXPECT_EQ(text, "31 101\r\n");
}

TEST_F(Ssh, SilentShellReadTimesOut) {
  auto session = connect();
  ASSERT_TRUE(session);
  auto shell = session->open_shell({.command = "sleep 20", .pty = false});
  ASSERT_TRUE(shell);
  auto piece = shell->read_some(milliseconds(100));
  ASSERT_FALSE(piece);
  EXPECT_EQ(piece.error().code, Code::deadline_exceeded);
}

TEST_F(Ssh, PutReplacesAndGetReadsBack) {
  auto session = connect();
  ASSERT_TRUE(session);
  std::string path = (directory_.path() / "a file's name").string();
  ASSERT_TRUE(session->put("old", path, 0600, milliseconds(5000)));
  std::string content = std::string(3 << 20, 'b') + "end";
  auto put = session->put(content, path, 0755, milliseconds(20'000));
  ASSERT_TRUE(put) << put.error().message;
  auto got = session->get(path, milliseconds(20'000));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(*got == content);
  namespace fs = std::filesystem;
  EXPECT_EQ(fs::status(path).permissions(), static_cast<fs::perms>(0755));
}

TEST_F(Ssh, GetOfMissingFileIsNotFound) {
  auto session = connect();
  ASSERT_TRUE(session);
  auto got = session->get("/no/such/file", milliseconds(5000));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::not_found);
  EXPECT_EQ(got.error().message, "here:/no/such/file: no such file or folder");
}

TEST(SshConnect, NothingListeningIsUnavailable) {
  SshTarget target;
  target.name = "vm9";
  target.port = free_port();
  auto session = SshSession::connect(target, milliseconds(1000));
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::unavailable);
}

TEST(SshKeys, OpenSshReadsOurPrivateKey) {
  SshKeyPair pair = *make_ssh_key("a comment");
  TemporaryDirectory folder;
  std::string path = (folder.path() / "key").string();
  ASSERT_TRUE(write_file(path, pair.private_key, 0600));
  auto shown = run_checked({{"ssh-keygen", "-y", "-f", path}});
  ASSERT_TRUE(shown) << shown.error().message;
  EXPECT_EQ(*shown, pair.public_key + " a comment\n");
}

}  // namespace
}  // namespace lab::provision
