// The swarm's objects in memory, as Raft's entries make them: versioned, applied in the same order
// with the same result on every manager, and watched.
//
// Reading is by const pointer and cheap; a pointer stays valid and unchanged as long as it is held
// (an update puts a new object in its place).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "swarm/proto/store.pb.h"

namespace lab::swarm::store {

using NodePtr = std::shared_ptr<const proto::Node>;
using ClusterPtr = std::shared_ptr<const proto::Cluster>;
using NodeMap = std::map<std::string, NodePtr>;  // by id

// One object's change. `before` is null for a creation, `after` for a removal; exactly one of the
// two pairs is used.
struct Change {
  std::uint64_t version = 0;
  bool restored = false;  // found in a snapshot, not made by a transaction
  NodePtr node_before, node_after;
  ClusterPtr cluster_before, cluster_after;
};

using Watcher = std::function<void(const Change&)>;
using WatchId = std::uint64_t;

class Store {
 public:
  // Grows by one with each transaction.
  [[nodiscard]] std::uint64_t version() const { return version_; }
  [[nodiscard]] NodePtr node(const std::string& id) const;
  [[nodiscard]] const NodeMap& nodes() const { return nodes_; }
  [[nodiscard]] const ClusterPtr& cluster() const { return cluster_; }

  // A create of what exists, and an update or removal of what doesn't, changes nothing: the
  // proposer checked before it proposed, and nothing comes between (see manager/writer.hpp).
  void apply(const proto::Transaction& transaction);

  [[nodiscard]] proto::Snapshot snapshot() const;
  // Replaces everything. Watchers are told the differences.
  [[nodiscard]] Result<void> restore(const proto::Snapshot& snapshot);

  // Called for each change right after its transaction was applied, in order. A watcher must not
  // change the store, nor its watchers.
  WatchId watch(Watcher watcher);
  void unwatch(WatchId id);

 private:
  void put_node(NodePtr node, std::vector<Change>& changes);
  void erase_node(const std::string& id, std::vector<Change>& changes);
  void put_cluster(ClusterPtr cluster, std::vector<Change>& changes);
  void notify(const std::vector<Change>& changes) const;

  std::uint64_t version_ = 0;
  NodeMap nodes_;
  ClusterPtr cluster_;
  std::map<WatchId, Watcher> watchers_;
  WatchId next_watch_ = 1;
};

// A transaction being written on top of a store: it reads its own changes. The version check of an
// update is against the object's Meta.version as the client read it.
class Draft {
 public:
  explicit Draft(const Store& store) : store_(&store) {}

  [[nodiscard]] NodePtr node(const std::string& id) const;
  [[nodiscard]] ClusterPtr cluster() const;
  // All nodes with the draft's changes in place.
  [[nodiscard]] NodeMap nodes() const;

  // Create or replace.
  void put(proto::Node node);
  void put(proto::Cluster cluster);
  void remove_node(const std::string& id);

  [[nodiscard]] bool empty() const { return nodes_.empty() && !cluster_; }
  [[nodiscard]] std::size_t size() const { return nodes_.size() + (cluster_ ? 1 : 0); }
  [[nodiscard]] proto::Transaction transaction(std::int64_t time_ns) const;

 private:
  const Store* store_;
  std::map<std::string, NodePtr> nodes_;  // null: removed
  ClusterPtr cluster_;
};

}  // namespace lab::swarm::store
