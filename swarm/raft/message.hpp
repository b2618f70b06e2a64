// Between libraft's structures and ours. What libraft takes over (entries, configurations,
// snapshots) is allocated with its own allocator.
#pragma once

#include "base/error.hpp"
#include "swarm/proto/wire.pb.h"
#include "swarm/raft/libraft.hpp"
#include "swarm/raft/log_store.hpp"

namespace lab::swarm::raft {

// libraft wants addresses to be unique. A machine that lost its disk comes back as another member
// at the same address, so to libraft a member's address is "192.168.50.4:2377#ID"; to everybody
// else what stands before the "#".
[[nodiscard]] std::string member_address(std::uint64_t id, const std::string& address);
[[nodiscard]] std::string plain_address(const std::string& member_address);

// A copy in libraft's memory, with a terminating zero byte behind `bytes`.
[[nodiscard]] void* raft_copy(const void* bytes, std::size_t size);

[[nodiscard]] proto::RaftMessage to_proto(const raft_message& message);

// The message in libraft's form, whose owned parts belong to libraft once raft_io's receive
// callback has got it. message.server_address points into `source`.
[[nodiscard]] Result<raft_message> from_proto(const proto::RaftMessage& source);

// An array of n entries in one batch, as libraft wants them from load() and receive().
[[nodiscard]] raft_entry* make_entries(const std::vector<Entry>& entries);

[[nodiscard]] std::vector<Server> from_raft(const raft_configuration& configuration);
[[nodiscard]] Result<raft_configuration> to_raft(const std::vector<Server>& servers);

[[nodiscard]] Result<raft_snapshot*> make_snapshot(const Snapshot& snapshot);
[[nodiscard]] Snapshot from_raft(const raft_snapshot& snapshot);

[[nodiscard]] Error raft_error(int status, const char* message);

}  // namespace lab::swarm::raft
