#include "scenarios/lab_machines.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include "base/file.hpp"
#include "tests/provision/own_sshd.hpp"

namespace lab::scenarios {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr milliseconds patience{20'000};

// Machine "here" is this host.
class LabMachinesTest : public testing::Test {
 protected:
  void SetUp() override { sshd_.start(); }

  Result<provision::SshSession> connect(const std::string& machine) {
    if (machine != "here") return make_error(Code::not_found, "no machine {}", machine);
    return sshd_.connect();
  }

  std::unique_ptr<Shell> open(const std::string& machine) {
    Result<std::unique_ptr<Shell>> shell = machines_.open(machine, "root");
    if (!shell) {
      ADD_FAILURE() << shell.error().message;
      return nullptr;
    }
    return std::move(*shell);
  }

  provision::OwnSshd sshd_;
  SystemClock clock_;
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
  const std::string file = (sshd_.folder() / "pid").string();
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
