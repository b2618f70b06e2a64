#include "swarm/raft/configurations.hpp"

#include <algorithm>
#include <cstring>

#include "swarm/raft/message.hpp"

namespace lab::swarm::raft {

namespace {

std::uint64_t get_u64(const std::string& bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = 8; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// libraft's encoding, for which it offers no decoder: a version byte 1, the number of servers, then
// for each its id, its address ending with a zero byte, and its role; numbers are 8 bytes,
// little-endian. Empty when the bytes are not that.
std::vector<Server> decode(const std::string& bytes) {
  std::vector<Server> servers;
  if (bytes.size() < 9 || bytes[0] != 1) return {};
  const std::uint64_t count = get_u64(bytes, 1);
  std::size_t at = 9;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (bytes.size() - at < 9) return {};
    Server server{.id = get_u64(bytes, at), .address = {}};
    const std::size_t end = bytes.find('\0', at + 8);
    if (end == std::string::npos || end + 1 >= bytes.size()) return {};
    server.address = plain_address(bytes.substr(at + 8, end - at - 8));
    server.role = static_cast<ServerRole>(bytes[end + 1]);
    servers.push_back(std::move(server));
    at = end + 2;
  }
  return servers;
}

}  // namespace

std::uint64_t term_of(const raft_log& log, std::uint64_t index) {
  const std::uint64_t count =
      log.back >= log.front ? log.back - log.front : log.size - log.front + log.back;
  if (index > log.offset && index <= log.offset + count)
    return log.entries[(log.front + (index - 1 - log.offset)) % log.size].term;
  return index == log.snapshot.last_index ? log.snapshot.last_term : 0;
}

void Configurations::load(const Loaded& loaded) {
  by_index_.clear();
  if (loaded.snapshot)
    by_index_[loaded.snapshot->configuration_index] = loaded.snapshot->configuration;
  append(loaded.first_index, loaded.entries);
}

void Configurations::append(std::uint64_t first_index, std::span<const Entry> entries) {
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (entries[i].type == RAFT_CHANGE) by_index_[first_index + i] = decode(entries[i].data);
}

void Configurations::truncate(std::uint64_t index) {
  by_index_.erase(by_index_.lower_bound(index), by_index_.end());
}

void Configurations::snapshot(const Snapshot& snapshot, bool installed) {
  if (installed) by_index_.clear();
  by_index_[snapshot.configuration_index] = snapshot.configuration;
  by_index_.erase(by_index_.begin(), by_index_.find(snapshot.configuration_index));
}

const std::vector<Server>* Configurations::at(std::uint64_t index) const {
  auto found = by_index_.find(index);
  return found == by_index_.end() ? nullptr : &found->second;
}

void Configurations::mark_uncommitted(struct raft& raft) const {
  if (by_index_.size() < 2) return;
  const auto newest = std::prev(by_index_.end());
  if (newest->first <= std::max<std::uint64_t>(raft.commit_index, 1)) return;
  raft.configuration_uncommitted_index = newest->first;
  raft.configuration_index = std::prev(newest)->first;
}

void Configurations::clear_stale_mark(struct raft& raft) {
  const std::uint64_t marked = raft.configuration_uncommitted_index;
  if (marked != 0 && (marked <= raft.last_applied || term_of(raft.log, marked) == 0))
    raft.configuration_uncommitted_index = 0;
}

std::uint64_t first_conflict(const struct raft& raft, const raft_append_entries& append) {
  if (append.term < raft.current_term || raft.snapshot.put.data != nullptr) return 0;
  if (append.prev_log_index > 0 && term_of(raft.log, append.prev_log_index) != append.prev_log_term)
    return 0;
  for (unsigned i = 0; i < append.n_entries; ++i) {
    const std::uint64_t index = append.prev_log_index + 1 + i;
    const std::uint64_t local = term_of(raft.log, index);
    if (local == 0) return 0;
    if (local != append.entries[i].term) return index > raft.commit_index ? index : 0;
  }
  return 0;
}

}  // namespace lab::swarm::raft
