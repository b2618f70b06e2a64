// The life of nodes in a quiet network: what each request does, and what happens when a node dies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "swarm/sim/checker.hpp"
#include "swarm/sim/world.hpp"

namespace lab::swarm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

sim::Parameters quiet() {
  sim::Parameters parameters;
  parameters.seed = 7;
  parameters.disk_latency_max = milliseconds(2);
  return parameters;
}

class Swarm : public testing::Test {
 protected:
  explicit Swarm(const sim::Parameters& parameters = quiet())
      : world_(parameters, sim::Mutation::none, checker_) {
    netsim::LinkQuality quality;
    quality.delay = milliseconds(1);
    world_.network().set_default_quality(quality);
  }
  void TearDown() override { EXPECT_EQ(checker_.violation().value_or(""), ""); }

  using Outcome = std::optional<Result<proto::ControlResponse>>;

  // Runs until the answer is there, for at most 30 s of virtual time.
  Result<proto::ControlResponse> wait(const std::shared_ptr<Outcome>& outcome) {
    for (int i = 0; i < 3000 && !*outcome; ++i) run(milliseconds(10));
    return *outcome ? **outcome : Error{Code::deadline_exceeded, "no answer"};
  }
  static std::pair<std::shared_ptr<Outcome>, sim::World::OnAnswer> expect() {
    auto outcome = std::make_shared<Outcome>();
    return {outcome,
            [outcome](const Result<proto::ControlResponse>& answer) { *outcome = answer; }};
  }
  void run(Duration time) { world_.queue().run_for(time); }

  Result<proto::ControlResponse> init(std::size_t index) {
    auto [outcome, on_answer] = expect();
    world_.init(index, on_answer);
    return wait(outcome);
  }
  Result<proto::ControlResponse> join(std::size_t index, const std::string& token) {
    auto [outcome, on_answer] = expect();
    world_.join(index, token, {world_.address(0)}, on_answer);
    return wait(outcome);
  }
  Result<proto::ControlResponse> leave(std::size_t index, bool force) {
    auto [outcome, on_answer] = expect();
    world_.leave(index, force, on_answer);
    return wait(outcome);
  }
  Result<proto::ControlResponse> control(std::size_t index, proto::ControlRequest body) {
    auto [outcome, on_answer] = expect();
    world_.control(index, std::move(body), on_answer);
    return wait(outcome);
  }
  void form(std::size_t managers, std::size_t workers) {
    for (std::size_t i = 0; i < managers + workers; ++i) {
      world_.add_node();
      ASSERT_TRUE(
          i == 0 ? init(i)
                 : join(i, i < managers ? sim::World::manager_token : sim::World::worker_token));
    }
    run(seconds(3));
    ASSERT_EQ(sim::Checker::not_converged(world_), "");
  }

  std::string id(std::size_t index) { return world_.certificate(index).node_id; }
  std::size_t leader() {
    for (std::size_t i = 0; i < world_.size(); ++i)
      if (world_.up(i) && world_.node(i)->leading()) return i;
    ADD_FAILURE() << "there is no leader";
    return 0;
  }
  store::NodePtr object(std::size_t index) {
    return world_.node(leader())->store()->node(id(index));
  }
  proto::NodeState state(std::size_t index) { return object(index)->status().state(); }
  std::size_t voters() { return world_.node(leader())->raft()->configuration().size(); }

  proto::ControlRequest update(std::size_t index) {
    proto::ControlRequest body;
    const store::NodePtr node = object(index);
    body.mutable_update_node()->set_node_id(node->id());
    body.mutable_update_node()->set_version(node->meta().version());
    *body.mutable_update_node()->mutable_spec() = node->spec();
    return body;
  }
  proto::ControlRequest label(std::size_t index, const std::string& value) {
    proto::ControlRequest body = update(index);
    (*body.mutable_update_node()->mutable_spec()->mutable_labels())["zone"] = value;
    return body;
  }
  proto::ControlRequest role(std::size_t index, proto::Role role) {
    proto::ControlRequest body = update(index);
    body.mutable_update_node()->mutable_spec()->set_role(role);
    return body;
  }
  static proto::ControlRequest removal(const std::string& id, bool force) {
    proto::ControlRequest body;
    body.mutable_remove_node()->set_node_id(id);
    body.mutable_remove_node()->set_force(force);
    return body;
  }

  sim::Checker checker_;
  sim::World world_;
};

TEST_F(Swarm, BeginsWithOneManagerThatIsReady) {
  form(1, 0);
  EXPECT_EQ(state(0), proto::NODE_STATE_READY);
  const NodeView view = world_.node(0)->view();
  EXPECT_EQ(view.state, LocalNodeState::active);
  EXPECT_TRUE(view.control_available);
  EXPECT_EQ(view.managers.size(), 1U);
  EXPECT_EQ(view.cluster_id.size(), 25U);
}

TEST_F(Swarm, HasItsFirstManagerReadyAsSoonAsItExists) {
  world_.add_node();
  ASSERT_TRUE(init(0));
  run(milliseconds(50));
  EXPECT_EQ(state(0), proto::NODE_STATE_READY);
}

TEST_F(Swarm, GivesTheRoleThatTheTokenStandsFor) {
  form(2, 1);
  EXPECT_EQ(object(1)->role(), proto::ROLE_MANAGER);
  EXPECT_EQ(object(2)->role(), proto::ROLE_WORKER);
  EXPECT_EQ(object(2)->status().address(), "10.0.0.3");
  EXPECT_EQ(object(2)->description().hostname(), "n3");
  EXPECT_EQ(voters(), 2U);
}

TEST_F(Swarm, RefusesAJoinWithAWrongToken) {
  form(1, 0);
  world_.add_node();
  const auto answer = join(1, "SWMTKN-1-wrong");
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("A valid join token is necessary"));
  EXPECT_EQ(world_.node(1)->view().state, LocalNodeState::inactive);
  EXPECT_TRUE(join(1, sim::World::worker_token));
}

TEST_F(Swarm, RefusesToInitOrJoinTwice) {
  form(1, 1);
  EXPECT_THAT(init(0).error().message, HasSubstr("already part of a swarm"));
  EXPECT_THAT(join(1, sim::World::worker_token).error().message,
              HasSubstr("already part of a swarm"));
}

TEST_F(Swarm, TellsAWorkerThatItIsNotAManager) {
  form(1, 1);
  EXPECT_THAT(control(1, label(1, "lan")).error().message,
              HasSubstr("This node is not a swarm manager."));
}

TEST_F(Swarm, WritesLabelsThroughAnyManagerAndReadsThemThereAtOnce) {
  form(3, 1);
  for (const std::size_t manager : {0U, 1U, 2U}) {
    const std::string value = fmt::format("by-{}", manager);
    ASSERT_TRUE(control(manager, label(3, value)));
    EXPECT_EQ(world_.node(manager)->store()->node(id(3))->spec().labels().at("zone"), value);
  }
}

TEST_F(Swarm, RefusesAnUpdateThatNamesAnOldVersion) {
  form(1, 0);
  const proto::ControlRequest first = label(0, "a");
  ASSERT_TRUE(control(0, first));
  EXPECT_THAT(control(0, first).error().message, HasSubstr("update out of sequence"));
}

TEST_F(Swarm, SeesASilentNodeDownAfterThreeHeartbeatsAndReadyWhenItIsBack) {
  form(1, 1);
  world_.crash(1);
  run(seconds(9));
  EXPECT_EQ(state(1), proto::NODE_STATE_READY);
  run(seconds(8));
  EXPECT_EQ(state(1), proto::NODE_STATE_DOWN);
  world_.restart(1);
  run(seconds(1));
  EXPECT_EQ(state(1), proto::NODE_STATE_READY);
}

TEST_F(Swarm, PromotesAWorkerToAVoterAndDemotesItToAWorkerWithoutLog) {
  form(1, 2);
  ASSERT_TRUE(control(0, role(1, proto::ROLE_MANAGER)));
  run(seconds(5));
  EXPECT_EQ(sim::Checker::not_converged(world_), "");
  EXPECT_EQ(voters(), 2U);
  EXPECT_EQ(world_.certificate(1).role, proto::ROLE_MANAGER);
  ASSERT_TRUE(control(0, role(1, proto::ROLE_WORKER)));
  run(seconds(5));
  EXPECT_EQ(sim::Checker::not_converged(world_), "");
  EXPECT_EQ(voters(), 1U);
  EXPECT_EQ(world_.certificate(1).role, proto::ROLE_WORKER);
  EXPECT_EQ(world_.node(1)->raft(), nullptr);
}

TEST_F(Swarm, HandsLeadershipOverWhenTheLeaderIsDemoted) {
  form(3, 0);
  const std::size_t before = leader();
  ASSERT_TRUE(control(before, role(before, proto::ROLE_WORKER)));
  run(seconds(15));
  EXPECT_NE(leader(), before);
  EXPECT_EQ(sim::Checker::not_converged(world_), "");
  EXPECT_EQ(voters(), 2U);
}

TEST_F(Swarm, KeepsItsLastManager) {
  form(1, 1);
  EXPECT_THAT(control(0, role(0, proto::ROLE_WORKER)).error().message,
              HasSubstr("attempting to demote the last manager of the swarm"));
  EXPECT_THAT(leave(0, false).error().message, HasSubstr("Removing the last manager"));
}

TEST_F(Swarm, DoesNotDemoteAManagerWhenTheRestHasNoQuorum) {
  form(3, 0);
  const std::size_t first = leader();
  world_.crash((first + 1) % 3);
  run(seconds(4));
  EXPECT_THAT(control(first, role((first + 2) % 3, proto::ROLE_WORKER)).error().message,
              HasSubstr("loss of quorum"));
  // The dead one may go.
  EXPECT_TRUE(control(first, role((first + 1) % 3, proto::ROLE_WORKER)));
}

TEST_F(Swarm, RemovesADownNodeAndRefusesItsCertificateFromThenOn) {
  form(1, 1);
  const std::string gone = id(1);
  EXPECT_THAT(control(0, removal(gone, false)).error().message,
              HasSubstr("is not down and can't be removed"));
  EXPECT_THAT(control(0, removal(id(0), true)).error().message,
              HasSubstr("must be demoted to worker before removal"));
  world_.crash(1);
  run(seconds(17));
  ASSERT_TRUE(control(0, removal(gone, false)));
  checker_.removal_attempted(gone);
  checker_.removal_acknowledged(gone);
  EXPECT_FALSE(world_.node(0)->admitted(gone));
  world_.restart(1);
  run(seconds(20));
  EXPECT_EQ(world_.node(1)->view().state, LocalNodeState::error);
  EXPECT_GT(checker_.refusals(), 1U);
  // It may come back as a new node.
  ASSERT_TRUE(leave(1, false));
  ASSERT_TRUE(join(1, sim::World::worker_token));
  EXPECT_NE(id(1), gone);
}

TEST_F(Swarm, SeesAWorkerThatLeftDownAtOnce) {
  form(1, 1);
  const std::string left = id(1);
  ASSERT_TRUE(leave(1, false));
  EXPECT_EQ(world_.node(1)->view().state, LocalNodeState::inactive);
  run(milliseconds(100));
  EXPECT_EQ(world_.node(0)->store()->node(left)->status().state(), proto::NODE_STATE_DOWN);
}

TEST_F(Swarm, LetsAManagerLeaveTheRaftGroupBeforeItIsGone) {
  form(3, 0);
  const std::size_t leaving = (leader() + 1) % 3;
  ASSERT_FALSE(leave(leaving, false));
  ASSERT_TRUE(leave(leaving, true));
  EXPECT_EQ(voters(), 2U);
  EXPECT_EQ(world_.node(leaving)->raft(), nullptr);
}

TEST_F(Swarm, ElectsAnotherLeaderInSecondsAndTheOldOneComesBackWithEveryWrite) {
  form(3, 1);
  ASSERT_TRUE(control(0, label(3, "before")));
  const std::size_t before = leader();
  world_.crash(before);
  const TimePoint crashed = world_.queue().now();
  const std::size_t other = (before + 1) % 3;
  const auto led = [&] {
    return world_.node(other)->leading() || world_.node((before + 2) % 3)->leading();
  };
  while (!led() && world_.queue().now() < crashed + seconds(10)) run(milliseconds(50));
  EXPECT_LT(world_.queue().now() - crashed, seconds(6));
  ASSERT_TRUE(control(other, label(3, "meanwhile")));
  world_.restart(before);
  run(seconds(2));
  EXPECT_EQ(world_.node(before)->store()->node(id(3))->spec().labels().at("zone"), "meanwhile");
}

TEST_F(Swarm, ComesBackFromARestartOfItsOnlyManager) {
  form(1, 1);
  ASSERT_TRUE(control(0, label(1, "kept")));
  world_.crash(0);
  run(seconds(2));
  world_.restart(0);
  run(seconds(8));
  EXPECT_EQ(object(1)->spec().labels().at("zone"), "kept");
  EXPECT_EQ(sim::Checker::not_converged(world_), "");
}

TEST_F(Swarm, TakesAManagerThatLostItsDiskBackAtTheSameAddress) {
  form(3, 0);
  const std::string lost = id(2);
  world_.replace(2);
  run(seconds(3));
  ASSERT_TRUE(join(2, sim::World::manager_token));
  run(seconds(5));
  EXPECT_EQ(voters(), 4U);  // the one that is lost still counts
  proto::ControlRequest body;
  const store::NodePtr node = world_.node(leader())->store()->node(lost);
  body.mutable_update_node()->set_node_id(lost);
  body.mutable_update_node()->set_version(node->meta().version());
  *body.mutable_update_node()->mutable_spec() = node->spec();
  body.mutable_update_node()->mutable_spec()->set_role(proto::ROLE_WORKER);
  ASSERT_TRUE(control(leader(), body));
  run(seconds(20));
  ASSERT_TRUE(control(leader(), removal(lost, false)));
  run(seconds(1));
  EXPECT_EQ(voters(), 3U);
  EXPECT_EQ(sim::Checker::not_converged(world_), "");
}

TEST_F(Swarm, TellsWhichManagersAreReachable) {
  form(3, 0);
  const std::size_t first = leader();
  world_.crash((first + 1) % 3);
  run(seconds(5));
  proto::ControlRequest body;
  body.mutable_list_managers();
  const auto answer = control((first + 2) % 3, body);
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->managers_size(), 3);
  for (const proto::ManagerStatusOfNode& entry : answer->managers()) {
    EXPECT_EQ(entry.status().leader(), entry.node_id() == id(first));
    EXPECT_EQ(entry.status().reachability(), entry.node_id() == id((first + 1) % 3)
                                                 ? proto::REACHABILITY_UNREACHABLE
                                                 : proto::REACHABILITY_REACHABLE);
  }
}

TEST_F(Swarm, ReplacesJoinTokens) {
  form(1, 0);
  proto::ControlRequest body;
  proto::UpdateCluster& update = *body.mutable_update_cluster();
  update.set_version(world_.node(0)->store()->cluster()->meta().version());
  update.mutable_new_tokens()->set_worker("SWMTKN-1-another");
  ASSERT_TRUE(control(0, body));
  world_.add_node();
  EXPECT_FALSE(join(1, sim::World::worker_token));
  EXPECT_TRUE(join(1, "SWMTKN-1-another"));
}

class SwarmWithShortCertificates : public Swarm {
 protected:
  SwarmWithShortCertificates() : Swarm(parameters()) {}
  static sim::Parameters parameters() {
    sim::Parameters made = quiet();
    made.certificate_life = seconds(100);
    return made;
  }
};

TEST_F(SwarmWithShortCertificates, RenewsThemBetweenHalfAndFourFifthsOfTheirLife) {
  form(1, 1);
  const std::uint64_t installed = world_.certificates_installed(1);
  run(seconds(40));
  EXPECT_EQ(world_.certificates_installed(1), installed);
  run(seconds(45));
  EXPECT_EQ(world_.certificates_installed(1), installed + 1);
  EXPECT_GE(world_.certificates_installed(0), 1U);
  run(seconds(5));
  EXPECT_EQ(sim::Checker::not_converged(world_), "");
}

}  // namespace
}  // namespace lab::swarm
