// Where `lab run` takes its shells from: the lab's machines over SSH, this host, or whatever a
// command line of the user's leads to.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/clock.hpp"
#include "provision/ssh.hpp"
#include "scenarios/shell.hpp"

namespace lab::scenarios {

class LabMachines final : public Machines {
 public:
  // A session as root, or why there is none.
  using Connect = std::function<Result<provision::SshSession>(const std::string& machine)>;

  // Host shells find the programs of `program_folder` first.
  LabMachines(Connect connect, const Clock& clock, std::filesystem::path program_folder)
      : connect_(std::move(connect)), clock_(clock), program_folder_(std::move(program_folder)) {}

  // `command` is for sh, and starts a bash on its standard streams; "{machine}" and "{user}" in it
  // are replaced. It takes the place of SSH for every machine but the host.
  void set_command(std::string command) { command_ = std::move(command); }

  [[nodiscard]] Result<std::unique_ptr<Shell>> open(const std::string& machine,
                                                    const std::string& user) override;

 private:
  Result<std::unique_ptr<Channel>> open_host() const;
  Result<std::unique_ptr<Channel>> open_command(const std::string& machine,
                                                const std::string& user) const;
  Result<std::unique_ptr<Channel>> open_ssh(const std::string& machine, const std::string& user);

  Connect connect_;
  const Clock& clock_;
  std::filesystem::path program_folder_;
  std::string command_;
};

}  // namespace lab::scenarios
