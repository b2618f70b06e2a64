#include "scenarios/lab_machines.hpp"

#include "base/subprocess.hpp"

namespace lab::scenarios {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds shell_timeout{60'000};
constexpr milliseconds kill_timeout{10'000};

// A bash behind an SSH session of its own. A second channel of the session kills what hangs.
class SshChannel final : public Channel {
 public:
  SshChannel(provision::SshSession session, provision::SshShell shell)
      : session_(std::move(session)), shell_(std::move(shell)) {}

  Result<void> write(std::string_view bytes, milliseconds timeout) override {
    return shell_.write(bytes, timeout);
  }
  Result<std::string> read_some(milliseconds timeout) override { return shell_.read_some(timeout); }
  void kill_group(long group) override {
    provision::SshCommand command;
    command.command = fmt::format("kill -KILL -- -{}", group);
    command.timeout = kill_timeout;
    // A machine that cannot be reached any more has nothing to kill that we could reach.
    (void)session_.exec(command);
  }

 private:
  provision::SshSession session_;
  provision::SshShell shell_;
};

std::string replace_all(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

}  // namespace

Result<std::unique_ptr<Channel>> LabMachines::open_host() const {
  const std::string path =
      fmt::format("PATH={}:\"$PATH\"", shell_quote({program_folder_.string()}));
  return spawn_channel({"sh", "-c", path + " exec bash --norc --noprofile"});
}

Result<std::unique_ptr<Channel>> LabMachines::open_command(const std::string& machine,
                                                           const std::string& user) const {
  const std::string command = replace_all(replace_all(command_, "{machine}", machine), "{user}",
                                          user.empty() ? "root" : user);
  return spawn_channel({"sh", "-c", command});
}

Result<std::unique_ptr<Channel>> LabMachines::open_ssh(const std::string& machine,
                                                       const std::string& user) {
  LAB_TRY(provision::SshSession session, connect_(machine));
  provision::SshShellOptions options;
  options.pty = false;
  options.command = user.empty() || user == "root"
                        ? "exec bash -l"
                        : "exec su -l -s /bin/bash " + shell_quote({user});
  LAB_TRY(provision::SshShell shell, session.open_shell(options));
  return std::unique_ptr<Channel>(
      std::make_unique<SshChannel>(std::move(session), std::move(shell)));
}

Result<std::unique_ptr<Shell>> LabMachines::open(const std::string& machine,
                                                 const std::string& user) {
  Result<std::unique_ptr<Channel>> channel = machine.empty()    ? open_host()
                                             : command_.empty() ? open_ssh(machine, user)
                                                                : open_command(machine, user);
  if (!channel) return channel.error();
  Result<std::unique_ptr<Shell>> shell = make_shell(std::move(*channel), clock_, shell_timeout);
  if (!shell) {
    return shell.error().wrap("{}", machine.empty() ? "this host" : "machine " + machine);
  }
  return shell;
}

}  // namespace lab::scenarios
