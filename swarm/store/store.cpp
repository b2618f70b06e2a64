#include "swarm/store/store.hpp"

#include <utility>

namespace lab::swarm::store {

namespace {

// The object with its Meta as of this transaction.
template <typename Object>
std::shared_ptr<const Object> stamped(const Object& object, const Object* before,
                                      std::uint64_t version, std::int64_t time_ns) {
  auto copy = std::make_shared<Object>(object);
  proto::Meta& meta = *copy->mutable_meta();
  meta.set_version(version);
  meta.set_created_at_ns(before == nullptr ? time_ns : before->meta().created_at_ns());
  meta.set_updated_at_ns(time_ns);
  return copy;
}

}  // namespace

NodePtr Store::node(const std::string& id) const {
  auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : found->second;
}

void Store::put_node(NodePtr node, std::vector<Change>& changes) {
  NodePtr& slot = nodes_[node->id()];
  changes.push_back(Change{.version = version_, .node_before = slot, .node_after = node});
  slot = std::move(node);
}

void Store::erase_node(const std::string& id, std::vector<Change>& changes) {
  auto found = nodes_.find(id);
  if (found == nodes_.end()) return;
  changes.push_back(Change{.version = version_, .node_before = found->second});
  nodes_.erase(found);
}

void Store::put_cluster(ClusterPtr cluster, std::vector<Change>& changes) {
  changes.push_back(
      Change{.version = version_, .cluster_before = cluster_, .cluster_after = cluster});
  cluster_ = std::move(cluster);
}

void Store::apply(const proto::Transaction& transaction) {
  ++version_;
  std::vector<Change> changes;
  for (const proto::StoreAction& action : transaction.actions()) {
    if (action.has_node()) {
      const proto::Node& object = action.node();
      const NodePtr before = node(object.id());
      if (action.kind() == proto::StoreAction::KIND_REMOVE) {
        erase_node(object.id(), changes);
      } else if ((action.kind() == proto::StoreAction::KIND_CREATE) == (before == nullptr)) {
        put_node(stamped(object, before.get(), version_, transaction.time_ns()), changes);
      }
    } else if (action.has_cluster() && action.kind() != proto::StoreAction::KIND_REMOVE) {
      const ClusterPtr before = cluster_;
      if ((action.kind() == proto::StoreAction::KIND_CREATE) == (before == nullptr))
        put_cluster(stamped(action.cluster(), before.get(), version_, transaction.time_ns()),
                    changes);
    }
  }
  notify(changes);
}

proto::Snapshot Store::snapshot() const {
  proto::Snapshot snapshot;
  snapshot.set_format(1);
  snapshot.set_version(version_);
  for (const auto& [id, node] : nodes_) *snapshot.add_nodes() = *node;
  if (cluster_) *snapshot.mutable_cluster() = *cluster_;
  return snapshot;
}

Result<void> Store::restore(const proto::Snapshot& snapshot) {
  if (snapshot.format() != 1)
    return make_error(Code::unsupported,
                      "snapshot of the store has format {}; this version reads 1",
                      snapshot.format());
  version_ = snapshot.version();
  std::vector<Change> changes;
  std::map<std::string, const proto::Node*> wanted;
  for (const proto::Node& node : snapshot.nodes()) wanted.emplace(node.id(), &node);
  std::vector<std::string> gone;
  for (const auto& [id, node] : nodes_)
    if (!wanted.contains(id)) gone.push_back(id);
  for (const std::string& id : gone) erase_node(id, changes);
  for (const auto& [id, object] : wanted) {
    const NodePtr before = node(id);
    if (before && before->meta().version() == object->meta().version()) continue;
    put_node(std::make_shared<proto::Node>(*object), changes);
  }
  if (snapshot.has_cluster()) {
    if (!cluster_ || cluster_->meta().version() != snapshot.cluster().meta().version())
      put_cluster(std::make_shared<proto::Cluster>(snapshot.cluster()), changes);
  } else {
    cluster_ = nullptr;
  }
  for (Change& change : changes) change.restored = true;
  notify(changes);
  return {};
}

WatchId Store::watch(Watcher watcher) {
  watchers_.emplace(next_watch_, std::move(watcher));
  return next_watch_++;
}

void Store::unwatch(WatchId id) { watchers_.erase(id); }

void Store::notify(const std::vector<Change>& changes) const {
  for (const Change& change : changes)
    for (const auto& [id, watcher] : watchers_) watcher(change);
}

// ---- Draft

NodePtr Draft::node(const std::string& id) const {
  auto found = nodes_.find(id);
  return found == nodes_.end() ? store_->node(id) : found->second;
}

ClusterPtr Draft::cluster() const { return cluster_ ? cluster_ : store_->cluster(); }

NodeMap Draft::nodes() const {
  NodeMap all = store_->nodes();
  for (const auto& [id, node] : nodes_) {
    if (node)
      all[id] = node;
    else
      all.erase(id);
  }
  return all;
}

// The version that the object will have, so that a second update in the same draft which names the
// version before this one is out of sequence.
void Draft::put(proto::Node node) {
  node.mutable_meta()->set_version(store_->version() + 1);
  std::string id = node.id();
  nodes_[std::move(id)] = std::make_shared<proto::Node>(std::move(node));
}

void Draft::put(proto::Cluster cluster) {
  cluster.mutable_meta()->set_version(store_->version() + 1);
  cluster_ = std::make_shared<proto::Cluster>(std::move(cluster));
}

void Draft::remove_node(const std::string& id) { nodes_[id] = nullptr; }

proto::Transaction Draft::transaction(std::int64_t time_ns) const {
  proto::Transaction transaction;
  transaction.set_time_ns(time_ns);
  for (const auto& [id, node] : nodes_) {
    const bool existed = store_->node(id) != nullptr;
    if (!node && !existed) continue;
    proto::StoreAction& action = *transaction.add_actions();
    action.set_kind(!node     ? proto::StoreAction::KIND_REMOVE
                    : existed ? proto::StoreAction::KIND_UPDATE
                              : proto::StoreAction::KIND_CREATE);
    if (node)
      *action.mutable_node() = *node;
    else
      action.mutable_node()->set_id(id);
  }
  if (cluster_) {
    proto::StoreAction& action = *transaction.add_actions();
    action.set_kind(store_->cluster() ? proto::StoreAction::KIND_UPDATE
                                      : proto::StoreAction::KIND_CREATE);
    *action.mutable_cluster() = *cluster_;
  }
  return transaction;
}

}  // namespace lab::swarm::store
