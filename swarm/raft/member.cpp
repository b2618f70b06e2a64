#include "swarm/raft/member.hpp"

#include <cstring>
#include <deque>
#include <map>

#include "swarm/raft/configurations.hpp"
#include "swarm/raft/libraft.hpp"
#include "swarm/raft/matching.hpp"
#include "swarm/raft/message.hpp"

namespace lab::swarm::raft {

// libraft has functions of the same names.
using RaftApply = struct raft_apply;
using RaftBarrier = struct raft_barrier;
using RaftTransfer = struct raft_transfer;

namespace {

// A client's request while libraft holds on to its structure.
template <typename Structure>
struct Request {
  Structure raft{};
  Member::Impl* owner = nullptr;
  Done done;
};

}  // namespace

struct Member::Impl {
  Options options;
  LogStore& log;
  Transport& transport;
  StateMachine& machine;
  Random random;
  raft_io io{};
  raft_fsm fsm{};
  struct raft raft {};
  TimePoint now;
  TimePoint next_tick = TimePoint::max();
  raft_io_tick_cb tick_callback = nullptr;
  raft_io_recv_cb receive_callback = nullptr;
  bool initialised = false;
  bool broken = false;  // a write failed: nothing may be done any more
  std::string broken_reason;
  std::uint64_t next_index = 1;  // of the next entry appended to the log store
  Ticket next_ticket = 1;
  struct PendingPut {
    raft_io_snapshot_put* request;
    raft_io_snapshot_put_cb callback;
    std::uint64_t installed_index;  // 0: taken here
    std::uint64_t installed_term;   // the leader's
  };
  struct PendingAppend {
    raft_io_append* request;
    raft_io_append_cb callback;
  };
  std::map<Ticket, PendingAppend> appends;
  std::map<Ticket, PendingPut> puts;
  std::map<std::uint64_t, TimePoint> heard;  // by server id
  // The configurations in the log and the one in the snapshot, by index. libraft 0.15 looks only
  // into its log, and takes the newest one for committed after a restart: see configurations.cpp.
  Configurations configurations;
  bool truncation_due = false;
  Matching matching;
  // libraft's callbacks that must not come from inside the call that started them.
  std::deque<std::function<void(int status)>> deferred;
  std::deque<std::function<void()>> finished;  // clients' callbacks, outside of libraft's stack
  int depth = 0;
  bool closing = false;

  Impl(Options options_, LogStore& log_, Transport& transport_, StateMachine& machine_,
       Random random_)
      : options(std::move(options_)),
        log(log_),
        transport(transport_),
        machine(machine_),
        random(random_) {}

  [[nodiscard]] bool usable() const {
    return initialised && !broken && raft.state != RAFT_UNAVAILABLE;
  }

  template <typename Call>
  void enter(TimePoint at, Call call) {
    now = std::max(now, at);
    ++depth;
    call();
    if (initialised) Configurations::clear_stale_mark(raft);
    if (depth == 1) drain();
    --depth;
  }

  void drain() {
    while (!deferred.empty() || !finished.empty()) {
      if (!deferred.empty()) {
        auto call = std::move(deferred.front());
        deferred.pop_front();
        call(0);
      } else {
        auto call = std::move(finished.front());
        finished.pop_front();
        call();
      }
    }
  }

  void finish(Done done, Result<void> result) {
    if (!done || closing) return;
    finished.push_back(
        [done = std::move(done), result = std::move(result)] { done(std::move(result)); });
  }

  void set_broken(const Error& error) {
    broken = true;
    broken_reason = error.message;
  }

  int status_of(const Result<void>& result) {
    if (result) return 0;
    set_broken(result.error());
    return RAFT_IOERR;
  }

  [[nodiscard]] raft_time milliseconds() const {
    return static_cast<raft_time>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
  }

  void close();
  void foresee_rollback(const raft_message& message);
  int load(raft_term* term, raft_id* voted_for, raft_snapshot** snapshot, raft_index* start_index,
           raft_entry** entries, std::size_t* count);
  int send(raft_io_send* request, const raft_message* message, raft_io_send_cb callback);
  int append(raft_io_append* request, const raft_entry entries[], unsigned count,
             raft_io_append_cb callback);
  int put_snapshot(unsigned trailing, raft_io_snapshot_put* request, const raft_snapshot* snapshot,
                   raft_io_snapshot_put_cb callback);
  int get_snapshot(raft_io_snapshot_get* request, raft_io_snapshot_get_cb callback);
  void wire_io();
  void wire_fsm();
};

namespace {

Member::Impl& impl_of(raft_io* io) { return *static_cast<Member::Impl*>(io->impl); }

// Starts a request of libraft; `call` gets the structure and gives libraft's status.
template <typename Structure, typename Call>
void begin(Member::Impl& impl, Done done, Call call) {
  if (!impl.usable()) {
    impl.finish(std::move(done), Error{Code::unavailable, "the Raft member is not running"});
    return;
  }
  auto request = std::make_unique<Request<Structure>>();
  request->owner = &impl;
  request->done = std::move(done);
  request->raft.data = request.get();
  const int status = call(&request->raft);
  if (status == 0)
    request.release();  // its callback deletes it
  else
    impl.finish(std::move(request->done), raft_error(status, raft_errmsg(&impl.raft)));
}

template <typename Structure>
void end(Structure* raft, int status) {
  std::unique_ptr<Request<Structure>> request(static_cast<Request<Structure>*>(raft->data));
  Result<void> result;
  if (status != 0) result = raft_error(status, nullptr);
  request->owner->finish(std::move(request->done), std::move(result));
}

}  // namespace

// ---- raft_io

int Member::Impl::load(raft_term* term, raft_id* voted_for, raft_snapshot** snapshot,
                       raft_index* start_index, raft_entry** entries, std::size_t* count) {
  Result<Loaded> loaded = log.load();
  if (!loaded) {
    set_broken(loaded.error());
    return RAFT_IOERR;
  }
  *term = loaded->term;
  *voted_for = loaded->voted_for;
  *snapshot = nullptr;
  if (loaded->snapshot) {
    Result<raft_snapshot*> made = make_snapshot(*loaded->snapshot);
    if (!made) {
      set_broken(made.error());
      return RAFT_CORRUPT;
    }
    *snapshot = *made;
  }
  *start_index = loaded->first_index;
  *entries = make_entries(loaded->entries);
  *count = loaded->entries.size();
  next_index = loaded->first_index + loaded->entries.size();
  configurations.load(*loaded);
  return 0;
}

int Member::Impl::send(raft_io_send* request, const raft_message* message,
                       raft_io_send_cb callback) {
  proto::RaftMessage made = to_proto(*message);
  // What is committed is in the log of every leader that may ask.
  if (message->type == RAFT_IO_APPEND_ENTRIES_RESULT && made.rejected() == 0) {
    const std::uint64_t bound =
        std::max<std::uint64_t>(matching.bound(made.term()), raft.commit_index);
    made.set_last_log_index(std::min<std::uint64_t>(made.last_log_index(), bound));
  }
  made.set_from(options.id);
  made.set_from_address(options.address);
  transport.send(plain_address(message->server_address), std::move(made));
  deferred.push_back([request, callback](int status) {
    if (callback != nullptr) callback(request, status);
  });
  return 0;
}

int Member::Impl::append(raft_io_append* request, const raft_entry entries[], unsigned count,
                         raft_io_append_cb callback) {
  if (broken) return RAFT_IOERR;
  std::vector<Entry> copies;
  copies.reserve(count);
  for (unsigned i = 0; i < count; ++i)
    copies.push_back(
        Entry{.term = entries[i].term,
              .type = entries[i].type,
              .data = {static_cast<const char*>(entries[i].buf.base), entries[i].buf.len}});
  configurations.append(next_index, copies);
  const Ticket ticket = next_ticket++;
  appends.emplace(ticket, PendingAppend{request, callback});
  log.append(ticket, next_index, copies);
  next_index += count;
  return 0;
}

int Member::Impl::put_snapshot(unsigned trailing, raft_io_snapshot_put* request,
                               const raft_snapshot* snapshot, raft_io_snapshot_put_cb callback) {
  if (broken) return RAFT_IOERR;
  const Ticket ticket = next_ticket++;
  puts.emplace(ticket, PendingPut{request, callback, trailing == 0 ? snapshot->index : 0,
                                  raft.current_term});
  Snapshot copy = from_raft(*snapshot);
  if (trailing == 0) {
    next_index = copy.index + 1;
  } else if (const std::vector<Server>* committed = configurations.at(copy.configuration_index)) {
    copy.configuration = *committed;  // libraft puts in one that may not be committed
  }
  configurations.snapshot(copy, trailing == 0);
  log.put_snapshot(ticket, copy, trailing);
  return 0;
}

int Member::Impl::get_snapshot(raft_io_snapshot_get* request, raft_io_snapshot_get_cb callback) {
  deferred.push_back([this, request, callback](int status) {
    if (status != 0) return callback(request, nullptr, status);
    Result<Snapshot> read = log.read_snapshot();
    if (!read) return callback(request, nullptr, RAFT_IOERR);
    Result<raft_snapshot*> made = make_snapshot(*read);
    if (!made) return callback(request, nullptr, RAFT_CORRUPT);
    callback(request, *made, 0);
  });
  return 0;
}

void Member::Impl::close() {
  // "Done", although they are not: the state is already "unavailable", in which libraft only frees
  // what they hold. Told of a failure, it would cut entries from its log, once for each.
  for (auto& [ticket, append] : std::exchange(appends, {})) append.callback(append.request, 0);
  for (auto& [ticket, put] : std::exchange(puts, {})) put.callback(put.request, RAFT_CANCELED);
  while (!deferred.empty()) {
    auto call = std::move(deferred.front());
    deferred.pop_front();
    call(RAFT_CANCELED);
  }
}

void Member::Impl::wire_io() {
  io.version = 1;
  io.impl = this;
  io.init = [](raft_io*, raft_id, const char*) { return 0; };
  io.close = [](raft_io* self, raft_io_close_cb callback) {
    impl_of(self).close();
    if (callback != nullptr) callback(self);
  };
  io.load = [](raft_io* self, raft_term* term, raft_id* voted_for, raft_snapshot** snapshot,
               raft_index* start_index, raft_entry* entries[], std::size_t* count) {
    return impl_of(self).load(term, voted_for, snapshot, start_index, entries, count);
  };
  io.start = [](raft_io* self, unsigned, raft_io_tick_cb tick, raft_io_recv_cb receive) {
    impl_of(self).tick_callback = tick;
    impl_of(self).receive_callback = receive;
    return 0;
  };
  // Member::bootstrap() does it; recovery from a lost quorum is not offered.
  io.bootstrap = [](raft_io*, const raft_configuration*) -> int { return RAFT_CANTBOOTSTRAP; };
  io.recover = [](raft_io*, const raft_configuration*) -> int { return RAFT_CANTBOOTSTRAP; };
  io.set_term = [](raft_io* self, raft_term term) {
    return impl_of(self).status_of(impl_of(self).log.set_term(term));
  };
  io.set_vote = [](raft_io* self, raft_id id) {
    return impl_of(self).status_of(impl_of(self).log.set_vote(id));
  };
  io.send = [](raft_io* self, raft_io_send* request, const raft_message* message,
               raft_io_send_cb callback) { return impl_of(self).send(request, message, callback); };
  io.append = [](raft_io* self, raft_io_append* request, const raft_entry entries[], unsigned count,
                 raft_io_append_cb callback) {
    return impl_of(self).append(request, entries, count, callback);
  };
  io.truncate = [](raft_io* self, raft_index index) {
    impl_of(self).log.truncate(index);
    impl_of(self).next_index = index;
    impl_of(self).configurations.truncate(index);
    impl_of(self).truncation_due = false;
    return 0;
  };
  io.snapshot_put = [](raft_io* self, unsigned trailing, raft_io_snapshot_put* request,
                       const raft_snapshot* snapshot, raft_io_snapshot_put_cb callback) {
    return impl_of(self).put_snapshot(trailing, request, snapshot, callback);
  };
  io.snapshot_get = [](raft_io* self, raft_io_snapshot_get* request,
                       raft_io_snapshot_get_cb callback) {
    return impl_of(self).get_snapshot(request, callback);
  };
  io.time = [](raft_io* self) { return impl_of(self).milliseconds(); };
  io.random = [](raft_io* self, int low, int high) {
    return static_cast<int>(impl_of(self).random.between(low, high));
  };
}

void Member::Impl::wire_fsm() {
  fsm.version = 1;
  fsm.data = this;
  fsm.apply = [](raft_fsm* self, const raft_buffer* buffer, void** result) {
    *result = nullptr;
    static_cast<Impl*>(self->data)
        ->machine.apply({static_cast<const char*>(buffer->base), buffer->len});
    return 0;
  };
  fsm.snapshot = [](raft_fsm* self, raft_buffer* buffers[], unsigned* count) {
    const std::string bytes = static_cast<Impl*>(self->data)->machine.snapshot();
    *buffers = static_cast<raft_buffer*>(raft_malloc(sizeof(raft_buffer)));
    if (*buffers == nullptr) return RAFT_NOMEM;
    **buffers = raft_buffer{.base = raft_copy(bytes.data(), bytes.size()), .len = bytes.size()};
    *count = 1;
    return 0;
  };
  fsm.restore = [](raft_fsm* self, raft_buffer* buffer) {
    auto& impl = *static_cast<Impl*>(self->data);
    const Result<void> restored =
        impl.machine.restore({static_cast<const char*>(buffer->base), buffer->len});
    if (!restored) {
      impl.set_broken(restored.error());
      return RAFT_CORRUPT;
    }
    raft_free(buffer->base);  // libraft leaves it to the state machine, but only on success
    return 0;
  };
}

// libraft 0.15 rolls a configuration back by decoding the committed one from its log, and crashes
// when a snapshot has taken that entry away. It is done here, just before libraft would.
void Member::Impl::foresee_rollback(const raft_message& message) {
  if (message.type != RAFT_IO_APPEND_ENTRIES) return;
  const std::uint64_t index = first_conflict(raft, message.append_entries);
  if (index == 0 || raft.configuration_uncommitted_index < index) return;
  const std::vector<Server>* committed = configurations.at(raft.configuration_index);
  if (committed == nullptr) return set_broken(Error{Code::internal, "no committed configuration"});
  Result<raft_configuration> made = to_raft(*committed);
  if (!made) return set_broken(made.error());
  raft_configuration_close(&raft.configuration);
  raft.configuration = *made;
  raft.configuration_uncommitted_index = 0;
  truncation_due = true;
}

// ---- Member

Result<void> Member::bootstrap(LogStore& log, std::uint64_t id, const std::string& address,
                               std::string_view entry) {
  LAB_TRY(raft_configuration configuration,
          to_raft({Server{.id = id, .address = address, .role = ServerRole::voter}}));
  raft_buffer buffer{};
  const int status = raft_configuration_encode(&configuration, &buffer);
  raft_configuration_close(&configuration);
  if (status != 0) return raft_error(status, nullptr);
  const std::array<Entry, 2> first{
      Entry{.term = 1,
            .type = RAFT_CHANGE,
            .data = {static_cast<const char*>(buffer.base), buffer.len}},
      Entry{.term = 1, .type = RAFT_COMMAND, .data = std::string(entry)}};
  raft_free(buffer.base);
  return log.bootstrap(first);
}

Member::Member(Options options, LogStore& log, Transport& transport, StateMachine& machine,
               Random random)
    : impl_(std::make_unique<Impl>(std::move(options), log, transport, machine, random)) {}

Member::~Member() {
  if (!impl_->initialised) return;
  ++impl_->depth;
  impl_->closing = true;
  raft_close(&impl_->raft, nullptr);
}

Result<void> Member::start(TimePoint now) {
  Impl& impl = *impl_;
  impl.now = now;
  impl.wire_io();
  impl.wire_fsm();
  int status = raft_init(&impl.raft, &impl.io, &impl.fsm, impl.options.id,
                         member_address(impl.options.id, impl.options.address).c_str());
  if (status != 0) return raft_error(status, impl.io.errmsg);
  impl.initialised = true;
  raft_set_election_timeout(&impl.raft,
                            static_cast<unsigned>(impl.options.election_timeout.count()));
  raft_set_heartbeat_timeout(&impl.raft,
                             static_cast<unsigned>(impl.options.heartbeat_timeout.count()));
  raft_set_snapshot_threshold(&impl.raft, impl.options.snapshot_threshold);
  raft_set_snapshot_trailing(&impl.raft, impl.options.snapshot_trailing);
  raft_set_pre_vote(&impl.raft, true);
  impl.enter(now, [&] {
    status = raft_start(&impl.raft);
    if (status == 0) impl.configurations.mark_uncommitted(impl.raft);
  });
  if (status != 0) {
    const std::string reason = impl.broken_reason.empty()
                                   ? raft_error(status, raft_errmsg(&impl.raft)).message
                                   : impl.broken_reason;
    impl.broken = true;
    return make_error(Code::internal, "starting Raft: {}", reason);
  }
  impl.next_tick = now + impl.options.heartbeat_timeout;
  return {};
}

void Member::tick(TimePoint now) {
  Impl& impl = *impl_;
  impl.enter(now, [&] {
    if (!impl.usable() || now < impl.next_tick) return;
    impl.next_tick = now + impl.options.heartbeat_timeout;
    impl.tick_callback(&impl.io);
  });
}

TimePoint Member::next_tick() const {
  return impl_->usable() ? impl_->next_tick : TimePoint::max();
}

void Member::receive(TimePoint now, const proto::RaftMessage& message) {
  Impl& impl = *impl_;
  if (!impl.usable() || message.to() != impl.options.id || message.from() == impl.options.id ||
      message.from() == 0 || message.from_address().empty())
    return;
  const std::optional<proto::RaftMessage> cut = without_compacted(impl.raft, message);
  Result<raft_message> made = from_proto(cut ? *cut : message);
  if (!made) return;
  impl.enter(now, [&] {
    impl.heard[message.from()] = impl.now;
    impl.foresee_rollback(*made);
    impl.matching.receiving(impl.raft, *made);
    impl.receive_callback(&impl.io, &*made);
    if (impl.truncation_due)
      impl.set_broken(Error{Code::internal, "a configuration was rolled back without its entry"});
  });
}

void Member::stored(TimePoint now, Ticket ticket, const Result<void>& status) {
  Impl& impl = *impl_;
  impl.enter(now, [&] {
    if (!status) return impl.set_broken(status.error());
    if (auto append = impl.appends.extract(ticket)) {
      append.mapped().callback(append.mapped().request, 0);
    } else if (auto put = impl.puts.extract(ticket)) {
      if (put.mapped().installed_index != 0)
        impl.matching.installed(put.mapped().installed_term, put.mapped().installed_index);
      put.mapped().callback(put.mapped().request, 0);
    }
  });
}

void Member::propose(TimePoint now, std::string_view entry, Done done) {
  Impl& impl = *impl_;
  impl.enter(now, [&] {
    begin<RaftApply>(impl, std::move(done), [&](RaftApply* request) {
      raft_buffer buffer{.base = raft_copy(entry.data(), entry.size()), .len = entry.size()};
      const int status =
          ::raft_apply(&impl.raft, request, &buffer, 1,
                       [](RaftApply* ended, int result, void*) { end(ended, result); });
      if (status != 0) raft_free(buffer.base);
      return status;
    });
  });
}

void Member::barrier(TimePoint now, Done done) {
  impl_->enter(now, [&] {
    begin<RaftBarrier>(*impl_, std::move(done), [&](RaftBarrier* request) {
      return ::raft_barrier(&impl_->raft, request,
                            [](RaftBarrier* ended, int result) { end(ended, result); });
    });
  });
}

void Member::add(TimePoint now, std::uint64_t id, const std::string& address, Done done) {
  impl_->enter(now, [&] {
    begin<raft_change>(*impl_, std::move(done), [&](raft_change* request) {
      return raft_add(&impl_->raft, request, id, member_address(id, address).c_str(),
                      [](raft_change* ended, int result) { end(ended, result); });
    });
  });
}

void Member::assign(TimePoint now, std::uint64_t id, ServerRole role, Done done) {
  impl_->enter(now, [&] {
    begin<raft_change>(*impl_, std::move(done), [&](raft_change* request) {
      return raft_assign(&impl_->raft, request, id, static_cast<int>(role),
                         [](raft_change* ended, int result) { end(ended, result); });
    });
  });
}

void Member::remove(TimePoint now, std::uint64_t id, Done done) {
  impl_->enter(now, [&] {
    begin<raft_change>(*impl_, std::move(done), [&](raft_change* request) {
      return raft_remove(&impl_->raft, request, id,
                         [](raft_change* ended, int result) { end(ended, result); });
    });
  });
}

void Member::transfer(TimePoint now, std::uint64_t id, Done done) {
  impl_->enter(now, [&] {
    begin<RaftTransfer>(*impl_, std::move(done), [&](RaftTransfer* request) {
      return ::raft_transfer(&impl_->raft, request, id, [](RaftTransfer* ended) { end(ended, 0); });
    });
  });
}

std::uint64_t Member::id() const { return impl_->options.id; }

State Member::state() const {
  if (!impl_->usable()) return State::halted;
  switch (impl_->raft.state) {
    case RAFT_LEADER: return State::leader;
    case RAFT_CANDIDATE: return State::candidate;
    default: return State::follower;
  }
}

std::uint64_t Member::term() const { return impl_->raft.current_term; }

Leader Member::leader() const {
  Leader leader;
  if (!impl_->usable()) return leader;
  raft_id id = 0;
  const char* address = nullptr;
  raft_leader(&impl_->raft, &id, &address);
  leader.id = id;
  if (address != nullptr) leader.address = plain_address(address);
  return leader;
}

std::vector<Server> Member::configuration() const { return from_raft(impl_->raft.configuration); }

bool Member::configuration_committed() const {
  return impl_->raft.configuration_uncommitted_index == 0;
}

std::uint64_t Member::commit_index() const { return impl_->raft.commit_index; }
std::uint64_t Member::last_applied() const { return impl_->raft.last_applied; }
std::uint64_t Member::last_index() const { return impl_->next_index - 1; }

bool Member::reachable(std::uint64_t id) const {
  if (id == impl_->options.id) return true;
  auto found = impl_->heard.find(id);
  return found != impl_->heard.end() &&
         impl_->now - found->second <= impl_->options.election_timeout;
}

std::string Member::last_error() const {
  if (impl_->broken) return impl_->broken_reason;
  return impl_->initialised ? raft_errmsg(const_cast<struct raft*>(&impl_->raft)) : "";
}

}  // namespace lab::swarm::raft
