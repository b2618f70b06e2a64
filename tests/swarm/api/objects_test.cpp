#include "swarm/api/objects.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "swarm/api/api.hpp"
#include "swarm/api/filters.hpp"

namespace lab::swarm::api {
namespace {

namespace json = boost::json;

proto::Node node() {
  proto::Node made;
  made.set_id("8jy6mm9yehx9jvhznbadpl1b4");
  made.mutable_meta()->set_version(9);
  made.mutable_meta()->set_created_at_ns(1'767'225'600'000'000'001);
  made.mutable_meta()->set_updated_at_ns(1'767'225'601'500'000'000);
  (*made.mutable_spec()->mutable_labels())["zone"] = "dmz";
  made.mutable_spec()->set_role(proto::ROLE_MANAGER);
  made.mutable_description()->set_hostname("vm1");
  made.mutable_description()->set_architecture("x86_64");
  made.mutable_description()->set_os("linux");
  made.mutable_description()->set_nano_cpus(2'000'000'000);
  made.mutable_description()->set_engine_version("0.1.0");
  (*made.mutable_description()->mutable_engine_labels())["disk"] = "ssd";
  made.mutable_status()->set_state(proto::NODE_STATE_READY);
  made.mutable_status()->set_address("192.168.50.4");
  return made;
}

TEST(Objects, NodeHasDockersFieldsInDockersOrder) {
  proto::ManagerStatus status;
  status.set_leader(true);
  status.set_reachability(proto::REACHABILITY_REACHABLE);
  status.set_address("192.168.50.4:2377");
  json::object object = node_json(node(), proto::Cluster(), &status);
  object["Description"].as_object().erase("TLSInfo");
  EXPECT_EQ(
      json::serialize(object),
      R"({"ID":"8jy6mm9yehx9jvhznbadpl1b4","Version":{"Index":9},)"
      R"("CreatedAt":"2026-01-01T00:00:00.000000001Z","UpdatedAt":"2026-01-01T00:00:01.500000000Z",)"
      R"("Spec":{"Labels":{"zone":"dmz"},"Role":"manager","Availability":"active"},)"
      R"("Description":{"Hostname":"vm1","Platform":{"Architecture":"x86_64","OS":"linux"},)"
      R"("Resources":{"NanoCPUs":2000000000},)"
      R"("Engine":{"EngineVersion":"0.1.0","Labels":{"disk":"ssd"}}},)"
      R"("Status":{"State":"ready","Addr":"192.168.50.4"},)"
      R"("ManagerStatus":{"Leader":true,"Reachability":"reachable","Addr":"192.168.50.4:2377"}})");
}

TEST(Objects, AWorkerHasNoManagerStatus) {
  EXPECT_FALSE(node_json(node(), proto::Cluster(), nullptr).contains("ManagerStatus"));
}

TEST(Objects, NodeSpecComesBackFromItsJson) {
  proto::NodeSpec spec =
      parse_node_spec(
          json::parse(R"({"Role":"Worker","Availability":"drain","Labels":{"a":"b"}})").as_object())
          .value();
  EXPECT_EQ(spec.role(), proto::ROLE_WORKER);
  EXPECT_EQ(spec.availability(), proto::AVAILABILITY_DRAIN);
  EXPECT_EQ(spec.labels().at("a"), "b");
}

TEST(Objects, NodeSpecThatDockerRefusesIsRefusedInItsWords) {
  auto error = [](const char* text) {
    return parse_node_spec(json::parse(text).as_object()).error().message;
  };
  EXPECT_EQ(error("{}"), "invalid Role: \"\"");
  EXPECT_EQ(error(R"({"Role":"boss","Availability":"active"})"), "invalid Role: \"boss\"");
  EXPECT_EQ(error(R"({"Role":"worker","Availability":"x"})"), "invalid Availability: \"x\"");
  EXPECT_EQ(error(R"({"Role":7})"),
            "json: cannot unmarshal number into Go struct field Role of type string");
}

TEST(Objects, ClusterSpecKeepsWhatTheClientLeavesOut) {
  proto::ClusterSpec base = default_cluster("").spec();
  proto::ClusterSpec spec =
      parse_cluster_spec(
          json::parse(R"({"CAConfig":{"NodeCertExpiry":7200000000000},"Labels":null})").as_object(),
          base)
          .value();
  EXPECT_EQ(spec.node_certificate_expiry_ns(), 7'200'000'000'000);
  EXPECT_EQ(spec.task_history_retention(), 5);
  EXPECT_EQ(spec.heartbeat_period_ns(), 5'000'000'000);
}

TEST(Objects, ClusterSpecThatDockerRefusesIsRefused) {
  auto error = [](const char* text) {
    return parse_cluster_spec(json::parse(text).as_object(), {}).error().message;
  };
  EXPECT_EQ(error(R"({"Name":"x"})"), "swarm spec must be named \"default\"");
  EXPECT_NE(error(R"({"CAConfig":{"NodeCertExpiry":60000000000}})")
                .find("minimum certificate expiry time is: 1h0m0s"),
            std::string::npos);
  EXPECT_NE(error(R"({"EncryptionConfig":{"AutoLockManagers":true}})").find("not supported"),
            std::string::npos);
}

TEST(Objects, JoinTokensAreInTheSwarmButNotInTheEnginesInfo) {
  proto::Cluster cluster = default_cluster("u2ch6zhaw4snxwsdpkrk4y2e2");
  cluster.mutable_root_ca()->mutable_join_tokens()->set_worker("SWMTKN-1-w");
  cluster.mutable_root_ca()->set_key_pem("a secret key");
  EXPECT_EQ(swarm_json(cluster)["JoinTokens"].as_object()["Worker"], "SWMTKN-1-w");
  EXPECT_EQ(json::serialize(cluster_json(cluster)).find("SWMTKN"), std::string::npos);
  EXPECT_EQ(json::serialize(swarm_json(cluster)).find("secret"), std::string::npos);
}

TEST(NodeFilters, TakeBothFormsAndMatchByAllNames) {
  auto matches = [](const char* text) { return NodeFilters::parse(text).value().match(node()); };
  EXPECT_TRUE(matches(""));
  EXPECT_TRUE(matches(R"({"role":{"manager":true}})"));
  EXPECT_TRUE(matches(R"({"role":["worker","manager"],"name":["vm"],"id":["8jy6"]})"));
  EXPECT_TRUE(matches(R"({"node.label":["zone=dmz"],"label":["disk"],"membership":["accepted"]})"));
  EXPECT_FALSE(matches(R"({"role":["worker"]})"));
  EXPECT_FALSE(matches(R"({"node.label":["zone=lan"]})"));
  EXPECT_FALSE(matches(R"({"node.label":["zone","rack"]})"));
  EXPECT_FALSE(matches(R"({"name":["m1"]})"));
  EXPECT_FALSE(matches(R"({"membership":["pending"]})"));
}

TEST(NodeFilters, UnknownNamesAndValuesAreErrorsInDockersWords) {
  auto error = [](const char* text) { return NodeFilters::parse(text).error().message; };
  EXPECT_EQ(error(R"({"bogus":["x"]})"), "Invalid filter 'bogus'");
  EXPECT_EQ(error(R"({"role":["boss"]})"), "Invalid role filter: 'boss'");
  EXPECT_EQ(error("zzz"), "invalid character 'z' looking for beginning of value");
}

TEST(ApiError, StatusFollowsTheGrpcCodeInTheText) {
  auto status = [](Code code, const char* text) { return api_error(Error{code, text}).status; };
  EXPECT_EQ(status(Code::unavailable, "rpc error: code = Unknown desc = no leader"), 500);
  EXPECT_EQ(status(Code::invalid_argument, "rpc error: code = FailedPrecondition desc = x"), 400);
  EXPECT_EQ(status(Code::internal, "rpc error: code = Unavailable desc = x"), 503);
  EXPECT_EQ(status(Code::not_found, "node x not found"), 404);
  EXPECT_EQ(status(Code::deadline_exceeded, "Timeout was reached before node joined."), 503);
}

}  // namespace
}  // namespace lab::swarm::api
