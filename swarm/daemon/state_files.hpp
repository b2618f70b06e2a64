// What a node keeps in its state folder beside the Raft log: who it is (`identity.pem`: key,
// certificate, root; 0600), what it knows of the swarm (`state`: LocalState) and where it listens
// (`listen`). Every file is replaced whole and durably.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "swarm/ca/certificates.hpp"
#include "swarm/proto/wire.pb.h"

namespace lab::swarm::daemon {

class StateFiles {
 public:
  explicit StateFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  [[nodiscard]] Result<void> make_folder() const;
  [[nodiscard]] std::filesystem::path log_folder() const { return folder_ / "raft"; }

  [[nodiscard]] Result<std::optional<ca::Identity>> load_identity() const;
  [[nodiscard]] Result<void> save_identity(const ca::Identity& identity) const;
  [[nodiscard]] Result<void> remove_identity() const;

  [[nodiscard]] Result<std::optional<proto::LocalState>> load_state() const;
  [[nodiscard]] Result<void> save_state(const proto::LocalState& state) const;
  [[nodiscard]] Result<void> remove_state() const;

  // "0.0.0.0:2377"; empty when it was never set.
  [[nodiscard]] Result<std::string> load_listen_address() const;
  [[nodiscard]] Result<void> save_listen_address(const std::string& address) const;

 private:
  [[nodiscard]] Result<std::optional<std::string>> load(const char* name) const;
  [[nodiscard]] Result<void> remove(const char* name) const;
  std::filesystem::path folder_;
};

}  // namespace lab::swarm::daemon
