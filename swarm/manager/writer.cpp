#include "swarm/manager/writer.hpp"

#include <utility>

#include "swarm/proto/bytes.hpp"

namespace lab::swarm::manager {

namespace {
constexpr std::size_t changes_max = 200;  // of one transaction, as SwarmKit's
}

void Writer::submit(Change change, Done done) {
  waiting_.push_back(Write{std::move(change), std::move(done)});
}

bool Writer::pump(Now now) {
  if (under_way_ || waiting_.empty()) return false;
  store::Draft draft(store_);
  std::vector<Done> dones;
  while (!waiting_.empty() && draft.size() < changes_max) {
    Write write = std::move(waiting_.front());
    waiting_.pop_front();
    store::Draft attempt = draft;
    const Result<void> changed = write.change(attempt);
    if (changed)
      draft = std::move(attempt);
    else if (write.done)
      write.done(changed.error());
    if (changed && write.done) dones.push_back(std::move(write.done));
  }
  if (draft.empty()) {
    for (Done& done : dones) done(store_.version());
    return true;
  }
  under_way_ = true;
  member_.propose(now.monotonic, to_bytes(draft.transaction(to_unix_ns(now.wall))),
                  [this, dones = std::move(dones)](const Result<void>& committed) {
                    under_way_ = false;
                    for (const Done& done : dones) {
                      if (committed)
                        done(store_.version());
                      else
                        done(committed.error());
                    }
                  });
  return true;
}

void Writer::fail_waiting() {
  for (Write& write : std::exchange(waiting_, {}))
    if (write.done) write.done(Error{Code::unavailable, "this manager is no longer the leader"});
}

}  // namespace lab::swarm::manager
