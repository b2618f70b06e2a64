#include "swarm/daemon/state_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"

namespace lab::swarm::daemon {

namespace {

constexpr const char* identity_name = "identity.pem";
constexpr const char* state_name = "state";
constexpr const char* listen_name = "listen";
constexpr std::uint32_t state_format = 1;

}  // namespace

Result<void> StateFiles::make_folder() const { return make_directories(folder_, 0700); }

Result<std::optional<std::string>> StateFiles::load(const char* name) const {
  Result<std::string> text = read_file(folder_ / name);
  if (text) return std::optional(std::move(*text));
  if (text.error().code == Code::not_found) return std::optional<std::string>{};
  return text.error();
}

Result<void> StateFiles::remove(const char* name) const {
  std::filesystem::path path = folder_ / name;
  if (::unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return errno_error(errno, fmt::format("removing {}", path.string()));
  }
  Fd folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0)
    return errno_error(errno, fmt::format("syncing {}", folder_.string()));
  return {};
}

Result<std::optional<ca::Identity>> StateFiles::load_identity() const {
  LAB_TRY(std::optional<std::string> text, load(identity_name));
  if (!text) return std::optional<ca::Identity>{};
  Result<ca::Identity> identity = ca::decode_identity(*text);
  if (!identity) return identity.error().wrap("{}", (folder_ / identity_name).string());
  return std::optional(std::move(*identity));
}

Result<void> StateFiles::save_identity(const ca::Identity& identity) const {
  return write_file_durably(folder_ / identity_name, ca::encode_identity(identity), 0600);
}

Result<void> StateFiles::remove_identity() const { return remove(identity_name); }

Result<std::optional<proto::LocalState>> StateFiles::load_state() const {
  LAB_TRY(std::optional<std::string> bytes, load(state_name));
  if (!bytes) return std::optional<proto::LocalState>{};
  proto::LocalState state;
  if (!state.ParseFromString(*bytes) || state.format() != state_format || state.node_id().empty())
    return make_error(Code::internal, "{} does not parse", (folder_ / state_name).string());
  return std::optional(std::move(state));
}

Result<void> StateFiles::save_state(const proto::LocalState& state) const {
  proto::LocalState complete = state;
  complete.set_format(state_format);
  return write_file_durably(folder_ / state_name, complete.SerializeAsString(), 0600);
}

Result<void> StateFiles::remove_state() const { return remove(state_name); }

Result<std::string> StateFiles::load_listen_address() const {
  LAB_TRY(std::optional<std::string> text, load(listen_name));
  return text.value_or("");
}

Result<void> StateFiles::save_listen_address(const std::string& address) const {
  return write_file_durably(folder_ / listen_name, address, 0600);
}

}  // namespace lab::swarm::daemon
