#include "swarm/raft/message.hpp"

#include <cstring>
#include <new>

namespace lab::swarm::raft {

namespace {

void* allocate(std::size_t size) {
  void* memory = raft_malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

std::string member_address(std::uint64_t id, const std::string& address) {
  return fmt::format("{}#{:x}", address, id);
}

std::string plain_address(const std::string& member_address) {
  return member_address.substr(0, member_address.find('#'));
}

void* raft_copy(const void* bytes, std::size_t size) {
  auto* copy = static_cast<char*>(allocate(size + 1));
  if (size > 0) std::memcpy(copy, bytes, size);
  copy[size] = '\0';
  return copy;
}

raft_entry* make_entries(const std::vector<Entry>& entries) {
  if (entries.empty()) return nullptr;
  std::size_t size = 1;
  for (const Entry& entry : entries) size += entry.data.size();
  auto* batch = static_cast<char*>(allocate(size));
  auto* array = static_cast<raft_entry*>(allocate(entries.size() * sizeof(raft_entry)));
  char* cursor = batch;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Entry& entry = entries[i];
    if (!entry.data.empty()) std::memcpy(cursor, entry.data.data(), entry.data.size());
    array[i] = raft_entry{.term = entry.term,
                          .type = entry.type,
                          .buf = {.base = cursor, .len = entry.data.size()},
                          .batch = batch};
    cursor += entry.data.size();
  }
  return array;
}

std::vector<Server> from_raft(const raft_configuration& configuration) {
  std::vector<Server> servers;
  for (unsigned i = 0; i < configuration.n; ++i) {
    const raft_server& server = configuration.servers[i];
    servers.push_back(Server{.id = server.id,
                             .address = plain_address(server.address),
                             .role = static_cast<ServerRole>(server.role)});
  }
  return servers;
}

Result<raft_configuration> to_raft(const std::vector<Server>& servers) {
  raft_configuration configuration;
  raft_configuration_init(&configuration);
  for (const Server& server : servers) {
    const int status = raft_configuration_add(&configuration, server.id,
                                              member_address(server.id, server.address).c_str(),
                                              static_cast<int>(server.role));
    if (status != 0) {
      raft_configuration_close(&configuration);
      return make_error(Code::invalid_argument, "Raft server {} at \"{}\": {}", server.id,
                        server.address, raft_strerror(status));
    }
  }
  return configuration;
}

Result<raft_snapshot*> make_snapshot(const Snapshot& snapshot) {
  LAB_TRY(raft_configuration configuration, to_raft(snapshot.configuration));
  auto* made = static_cast<raft_snapshot*>(allocate(sizeof(raft_snapshot)));
  auto* bufs = static_cast<raft_buffer*>(allocate(sizeof(raft_buffer)));
  *bufs = raft_buffer{.base = raft_copy(snapshot.data.data(), snapshot.data.size()),
                      .len = snapshot.data.size()};
  *made = raft_snapshot{.index = snapshot.index,
                        .term = snapshot.term,
                        .configuration = configuration,
                        .configuration_index = snapshot.configuration_index,
                        .bufs = bufs,
                        .n_bufs = 1};
  return made;
}

Snapshot from_raft(const raft_snapshot& snapshot) {
  Snapshot made{.index = snapshot.index,
                .term = snapshot.term,
                .configuration = from_raft(snapshot.configuration),
                .configuration_index = snapshot.configuration_index,
                .data = {}};
  for (unsigned i = 0; i < snapshot.n_bufs; ++i)
    made.data.append(static_cast<const char*>(snapshot.bufs[i].base), snapshot.bufs[i].len);
  return made;
}

namespace {

void put_append(const raft_append_entries& from, proto::RaftMessage& to) {
  to.set_term(from.term);
  to.set_prev_log_index(from.prev_log_index);
  to.set_prev_log_term(from.prev_log_term);
  to.set_leader_commit(from.leader_commit);
  for (unsigned i = 0; i < from.n_entries; ++i) {
    proto::RaftEntry& entry = *to.add_entries();
    entry.set_term(from.entries[i].term);
    entry.set_type(from.entries[i].type);
    entry.set_data(from.entries[i].buf.base, from.entries[i].buf.len);
  }
}

void put_vote(const raft_request_vote& from, proto::RaftMessage& to) {
  to.set_term(from.term);
  to.set_last_log_index(from.last_log_index);
  to.set_last_log_term(from.last_log_term);
  to.set_disrupt_leader(from.disrupt_leader);
  to.set_pre_vote(from.pre_vote);
}

void put_snapshot(const raft_install_snapshot& from, proto::RaftMessage& to) {
  to.set_term(from.term);
  to.set_last_log_index(from.last_index);
  to.set_last_log_term(from.last_term);
  to.set_configuration_index(from.conf_index);
  for (const Server& server : from_raft(from.conf)) {
    proto::RaftServer& made = *to.add_configuration();
    made.set_id(server.id);
    made.set_address(server.address);
    made.set_role(static_cast<unsigned>(server.role));
  }
  to.set_snapshot(from.data.base, from.data.len);
}

}  // namespace

proto::RaftMessage to_proto(const raft_message& message) {
  proto::RaftMessage made;
  made.set_to(message.server_id);
  made.set_kind(message.type);
  switch (message.type) {
    case RAFT_IO_APPEND_ENTRIES: put_append(message.append_entries, made); break;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
      made.set_term(message.append_entries_result.term);
      made.set_rejected(message.append_entries_result.rejected);
      made.set_last_log_index(message.append_entries_result.last_log_index);
      break;
    case RAFT_IO_REQUEST_VOTE: put_vote(message.request_vote, made); break;
    case RAFT_IO_REQUEST_VOTE_RESULT:
      made.set_term(message.request_vote_result.term);
      made.set_vote_granted(message.request_vote_result.vote_granted);
      made.set_pre_vote_result(message.request_vote_result.pre_vote);
      break;
    case RAFT_IO_INSTALL_SNAPSHOT: put_snapshot(message.install_snapshot, made); break;
    case RAFT_IO_TIMEOUT_NOW:
      made.set_term(message.timeout_now.term);
      made.set_last_log_index(message.timeout_now.last_log_index);
      made.set_last_log_term(message.timeout_now.last_log_term);
      break;
    default: break;
  }
  return made;
}

namespace {

raft_append_entries get_append(const proto::RaftMessage& from) {
  std::vector<Entry> entries;
  for (const proto::RaftEntry& entry : from.entries())
    entries.push_back(Entry{.term = entry.term(),
                            .type = static_cast<std::uint16_t>(entry.type()),
                            .data = entry.data()});
  return raft_append_entries{.term = from.term(),
                             .prev_log_index = from.prev_log_index(),
                             .prev_log_term = from.prev_log_term(),
                             .leader_commit = from.leader_commit(),
                             .entries = make_entries(entries),
                             .n_entries = static_cast<unsigned>(entries.size())};
}

Result<raft_install_snapshot> get_snapshot(const proto::RaftMessage& from) {
  std::vector<Server> servers;
  for (const proto::RaftServer& server : from.configuration())
    servers.push_back(Server{.id = server.id(),
                             .address = server.address(),
                             .role = static_cast<ServerRole>(server.role())});
  LAB_TRY(raft_configuration configuration, to_raft(servers));
  return raft_install_snapshot{
      .term = from.term(),
      .last_index = from.last_log_index(),
      .last_term = from.last_log_term(),
      .conf = configuration,
      .conf_index = from.configuration_index(),
      .data = {.base = raft_copy(from.snapshot().data(), from.snapshot().size()),
               .len = from.snapshot().size()}};
}

}  // namespace

Result<raft_message> from_proto(const proto::RaftMessage& source) {
  raft_message made{};
  made.type = static_cast<unsigned short>(source.kind());
  made.server_id = source.from();
  made.server_address = source.from_address().c_str();
  switch (source.kind()) {
    case RAFT_IO_APPEND_ENTRIES: made.append_entries = get_append(source); break;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
      made.append_entries_result = {.term = source.term(),
                                    .rejected = source.rejected(),
                                    .last_log_index = source.last_log_index()};
      break;
    case RAFT_IO_REQUEST_VOTE:
      made.request_vote = {.term = source.term(),
                           .candidate_id = source.from(),
                           .last_log_index = source.last_log_index(),
                           .last_log_term = source.last_log_term(),
                           .disrupt_leader = source.disrupt_leader(),
                           .pre_vote = source.pre_vote()};
      break;
    case RAFT_IO_REQUEST_VOTE_RESULT:
      if (source.pre_vote_result() > raft_tribool_false)
        return make_error(Code::invalid_argument, "vote result with pre_vote {}",
                          source.pre_vote_result());
      made.request_vote_result = {.term = source.term(),
                                  .vote_granted = source.vote_granted(),
                                  .pre_vote = static_cast<raft_tribool>(source.pre_vote_result())};
      break;
    case RAFT_IO_INSTALL_SNAPSHOT: {
      LAB_TRY(made.install_snapshot, get_snapshot(source));
      break;
    }
    case RAFT_IO_TIMEOUT_NOW:
      made.timeout_now = {.term = source.term(),
                          .last_log_index = source.last_log_index(),
                          .last_log_term = source.last_log_term()};
      break;
    default:
      return make_error(Code::invalid_argument, "Raft message of unknown kind {}", source.kind());
  }
  return made;
}

Error raft_error(int status, const char* message) {
  const std::string text = message != nullptr && *message != '\0' ? message : raft_strerror(status);
  switch (status) {
    case RAFT_NOTLEADER:
    case RAFT_LEADERSHIPLOST:
    case RAFT_NOCONNECTION: return Error{Code::unavailable, text};
    case RAFT_CANTCHANGE:
    case RAFT_BUSY:
    case RAFT_DUPLICATEID:
    case RAFT_DUPLICATEADDRESS:
    case RAFT_CANTBOOTSTRAP:
    case RAFT_BADROLE: return Error{Code::conflict, text};
    case RAFT_BADID:
    case RAFT_NOTFOUND: return Error{Code::not_found, text};
    case RAFT_SHUTDOWN:
    case RAFT_CANCELED: return Error{Code::cancelled, text};
    default: return Error{Code::internal, text};
  }
}

}  // namespace lab::swarm::raft
