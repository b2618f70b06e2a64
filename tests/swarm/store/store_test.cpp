#include "swarm/store/store.hpp"

#include <gtest/gtest.h>

namespace lab::swarm::store {
namespace {

proto::Node named(const std::string& id, const std::string& label = "") {
  proto::Node node;
  node.set_id(id);
  if (!label.empty()) (*node.mutable_spec()->mutable_labels())["zone"] = label;
  return node;
}

void put(Store& store, proto::Node node, std::int64_t time_ns = 7) {
  Draft draft(store);
  draft.put(std::move(node));
  store.apply(draft.transaction(time_ns));
}

TEST(Store, GivesEachTransactionAVersionAndItsObjectsThatVersion) {
  Store store;
  put(store, named("a"));
  put(store, named("b"));
  EXPECT_EQ(store.version(), 2U);
  EXPECT_EQ(store.node("a")->meta().version(), 1U);
  EXPECT_EQ(store.node("b")->meta().version(), 2U);
}

TEST(Store, KeepsTheTimeOfCreationOverUpdates) {
  Store store;
  put(store, named("a"), 100);
  put(store, named("a", "lan"), 200);
  EXPECT_EQ(store.node("a")->meta().created_at_ns(), 100);
  EXPECT_EQ(store.node("a")->meta().updated_at_ns(), 200);
  EXPECT_EQ(store.node("a")->spec().labels().at("zone"), "lan");
}

TEST(Store, LeavesObjectsThatAreHeldUnchanged) {
  Store store;
  put(store, named("a", "dmz"));
  const NodePtr held = store.node("a");
  put(store, named("a", "lan"));
  EXPECT_EQ(held->spec().labels().at("zone"), "dmz");
}

TEST(Store, IgnoresUpdatesOfWhatIsGoneAndCreationsOfWhatIsThere) {
  Store store;
  put(store, named("a", "dmz"));
  proto::Transaction transaction;
  proto::StoreAction& update = *transaction.add_actions();
  update.set_kind(proto::StoreAction::KIND_UPDATE);
  *update.mutable_node() = named("gone");
  proto::StoreAction& create = *transaction.add_actions();
  create.set_kind(proto::StoreAction::KIND_CREATE);
  *create.mutable_node() = named("a", "lan");
  store.apply(transaction);
  EXPECT_EQ(store.node("gone"), nullptr);
  EXPECT_EQ(store.node("a")->spec().labels().at("zone"), "dmz");
}

TEST(Store, TellsWatchersWhatWasBeforeAndWhatIsAfter) {
  Store store;
  std::vector<Change> seen;
  const WatchId id = store.watch([&seen](const Change& change) { seen.push_back(change); });
  put(store, named("a", "dmz"));
  put(store, named("a", "lan"));
  Draft draft(store);
  draft.remove_node("a");
  store.apply(draft.transaction(9));
  store.unwatch(id);
  put(store, named("b"));
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[0].node_before, nullptr);
  EXPECT_EQ(seen[1].node_before->spec().labels().at("zone"), "dmz");
  EXPECT_EQ(seen[1].node_after->spec().labels().at("zone"), "lan");
  EXPECT_EQ(seen[2].node_after, nullptr);
  EXPECT_EQ(seen[2].version, 3U);
}

TEST(Store, IsTheSameAfterASnapshotAndItsRestore) {
  Store store;
  put(store, named("a"));
  put(store, named("b", "lan"));
  Draft draft(store);
  proto::Cluster cluster;
  cluster.set_id("c");
  draft.put(cluster);
  store.apply(draft.transaction(3));

  Store other;
  put(other, named("old"));
  std::vector<Change> seen;
  other.watch([&seen](const Change& change) { seen.push_back(change); });
  ASSERT_TRUE(other.restore(store.snapshot()));
  EXPECT_EQ(other.version(), store.version());
  EXPECT_EQ(other.snapshot().SerializeAsString(), store.snapshot().SerializeAsString());
  EXPECT_EQ(other.node("old"), nullptr);
  EXPECT_EQ(seen.size(), 4U);  // old removed; a, b and the cluster created
}

TEST(Store, RefusesASnapshotOfAnotherFormat) {
  Store store;
  proto::Snapshot snapshot;
  snapshot.set_format(2);
  EXPECT_EQ(store.restore(snapshot).error().code, Code::unsupported);
}

TEST(Draft, ReadsItsOwnChangesOnTopOfTheStore) {
  Store store;
  put(store, named("a", "dmz"));
  put(store, named("b"));
  Draft draft(store);
  draft.put(named("a", "lan"));
  draft.remove_node("b");
  draft.put(named("c"));
  EXPECT_EQ(draft.node("a")->spec().labels().at("zone"), "lan");
  EXPECT_EQ(draft.node("b"), nullptr);
  EXPECT_EQ(draft.nodes().size(), 2U);
  EXPECT_EQ(store.nodes().size(), 2U);
  store.apply(draft.transaction(1));
  EXPECT_NE(store.node("c"), nullptr);
  EXPECT_EQ(store.node("b"), nullptr);
}

TEST(Draft, GivesWhatItChangedTheVersionThatItWillHave) {
  Store store;
  put(store, named("a"));
  Draft draft(store);
  draft.put(named("a", "lan"));
  EXPECT_EQ(draft.node("a")->meta().version(), 2U);
  store.apply(draft.transaction(1));
  EXPECT_EQ(store.node("a")->meta().version(), 2U);
}

}  // namespace
}  // namespace lab::swarm::store
