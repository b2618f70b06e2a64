#include "provision/ssh.hpp"

#include <gtest/gtest.h>
#include <sys/un.h>

#include <thread>

#include "provision/node/api.hpp"
#include "tests/provision/own_sshd.hpp"

namespace lab::provision {
namespace {

using std::chrono::milliseconds;

class Ssh : public testing::Test {
 protected:
  void SetUp() override { sshd_.start(); }
  [[nodiscard]] Result<SshSession> connect() const { return sshd_.connect(); }

  OwnSshd sshd_;
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
  SshTarget target = sshd_.target();
  target.host_key = make_ssh_key("other")->public_key;
  auto session = OwnSshd::connect(target);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::unauthorized);
}

TEST_F(Ssh, UnknownUserKeyIsRefused) {
  SshTarget target = sshd_.target();
  SshKeyPair other = *make_ssh_key("other");
  target.private_key = other.private_key;
  target.public_key = other.public_key;
  auto session = OwnSshd::connect(target);
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
  std::string path = (sshd_.folder() / "a file's name").string();
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

// Listens at a Unix socket and gives each connection the next answer, once it has sent something.
class CannedServer {
 public:
  CannedServer(const std::string& path, std::vector<std::string> answers)
      : listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
    thread_ = std::thread([this, answers = std::move(answers)] {
      for (const std::string& answer : answers) {
        Fd peer(accept(listener_.get(), nullptr, nullptr));
        char request[4096];
        const ssize_t got = recv(peer.get(), request, sizeof request, 0);
        requests_.emplace_back(request, static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        EXPECT_EQ(send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(answer.size()));
      }
    });
  }
  CannedServer(const CannedServer&) = delete;
  CannedServer& operator=(const CannedServer&) = delete;
  ~CannedServer() {
    shutdown(listener_.get(), SHUT_RDWR);  // ends a wait for a connection
    if (thread_.joinable()) thread_.join();
  }
  // What each connection sent.
  const std::vector<std::string>& requests() {
    if (thread_.joinable()) thread_.join();
    return requests_;
  }

 private:
  Fd listener_;
  std::thread thread_;
  std::vector<std::string> requests_;
};

TEST_F(Ssh, AsksAnApiAtAUnixSocket) {
  const TemporaryDirectory folder;
  const std::string path = (folder.path() / "api.sock").string();
  CannedServer server(path,
                      {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"x\":1}",
                       "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "4\r\nline\r\n2\r\n\n2\r\n0\r\n\r\n",
                       "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncut", "nonsense\r\n\r\n"});
  auto session = connect();
  ASSERT_TRUE(session) << session.error().message;
  const ApiRequest post{"POST", "/swarm/join", R"({"a":1})", path};
  const ApiRequest get{.target = "/info", .socket = path};
  const ApiRequest nobody{.target = "/info", .socket = "/no/such/socket"};
  const auto replies = call_api(*session, {post, get, get, get, nobody});
  ASSERT_TRUE(replies) << replies.error().message;
  ASSERT_EQ(replies->size(), 5U);
  EXPECT_EQ((*replies)[0].status, 200);
  EXPECT_EQ((*replies)[0].body, "{\"x\":1}");
  EXPECT_EQ((*replies)[1].status, 404);
  EXPECT_EQ((*replies)[1].body, "line\n2");
  for (int i = 2; i < 5; ++i) EXPECT_EQ((*replies)[i].status, 0) << i;
  EXPECT_TRUE(server.requests()[0].starts_with("POST /v1.41/swarm/join HTTP/1.1\r\n"));
  EXPECT_TRUE(server.requests()[0].ends_with("\r\n\r\n{\"a\":1}"));
}

TEST(SshConnect, NothingListeningIsUnavailable) {
  SshTarget target;
  target.name = "vm9";
  target.port = OwnSshd::free_port();
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
