#include "swarm/api/objects.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/x509.hpp"
#include "swarm/api/json_fields.hpp"
#include "swarm/ca/certificates.hpp"

namespace lab::swarm::api {

namespace json = boost::json;

namespace {

std::string time_text(std::int64_t unix_ns) {
  if (unix_ns == 0) return zero_rfc3339;
  return format_rfc3339(WallTime(Duration(unix_ns)));
}

void add_meta(json::object& object, const proto::Meta& meta) {
  object["Version"] = json::object{{"Index", meta.version()}};
  object["CreatedAt"] = time_text(meta.created_at_ns());
  object["UpdatedAt"] = time_text(meta.updated_at_ns());
}

// In the order of their keys: protobuf's maps have none.
template <typename Map>
json::object labels_json(const Map& labels) {
  std::map<std::string, std::string> sorted(labels.begin(), labels.end());
  json::object object;
  for (const auto& [key, value] : sorted) object[key] = value;
  return object;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

const char* role_text(proto::Role role) {
  return role == proto::ROLE_MANAGER ? "manager" : "worker";
}

const char* availability_text(proto::Availability availability) {
  switch (availability) {
    case proto::AVAILABILITY_PAUSE: return "pause";
    case proto::AVAILABILITY_DRAIN: return "drain";
    default: return "active";
  }
}

const char* state_text(proto::NodeState state) {
  switch (state) {
    case proto::NODE_STATE_DOWN: return "down";
    case proto::NODE_STATE_READY: return "ready";
    case proto::NODE_STATE_DISCONNECTED: return "disconnected";
    default: return "unknown";
  }
}

const char* reachability_text(proto::Reachability reachability) {
  switch (reachability) {
    case proto::REACHABILITY_UNREACHABLE: return "unreachable";
    case proto::REACHABILITY_REACHABLE: return "reachable";
    default: return "unknown";
  }
}

json::object description_json(const proto::NodeDescription& description,
                              const proto::Cluster& cluster) {
  json::object object;
  object["Hostname"] = description.hostname();
  object["Platform"] =
      json::object{{"Architecture", description.architecture()}, {"OS", description.os()}};
  json::object resources;
  if (description.nano_cpus() != 0) resources["NanoCPUs"] = description.nano_cpus();
  if (description.memory_bytes() != 0) resources["MemoryBytes"] = description.memory_bytes();
  object["Resources"] = std::move(resources);
  json::object engine;
  if (!description.engine_version().empty()) engine["EngineVersion"] = description.engine_version();
  if (!description.engine_labels().empty())
    engine["Labels"] = labels_json(description.engine_labels());
  if (!description.plugins().empty()) {
    json::array plugins;
    for (const proto::Plugin& plugin : description.plugins())
      plugins.push_back(json::object{{"Type", plugin.type()}, {"Name", plugin.name()}});
    engine["Plugins"] = std::move(plugins);
  }
  object["Engine"] = std::move(engine);
  object["TLSInfo"] = tls_info(cluster);
  return object;
}

json::object spec_json(const proto::ClusterSpec& spec) {
  json::object raft;
  if (spec.snapshot_interval() != 0) raft["SnapshotInterval"] = spec.snapshot_interval();
  raft["KeepOldSnapshots"] = spec.keep_old_snapshots();
  if (spec.log_entries_for_slow_followers() != 0)
    raft["LogEntriesForSlowFollowers"] = spec.log_entries_for_slow_followers();
  raft["ElectionTick"] = spec.election_tick();
  raft["HeartbeatTick"] = spec.heartbeat_tick();
  json::object dispatcher;
  if (spec.heartbeat_period_ns() != 0) dispatcher["HeartbeatPeriod"] = spec.heartbeat_period_ns();
  json::object ca;
  if (spec.node_certificate_expiry_ns() != 0)
    ca["NodeCertExpiry"] = spec.node_certificate_expiry_ns();
  json::object object;
  object["Name"] = spec.name();
  object["Labels"] = labels_json(spec.labels());
  object["Orchestration"] =
      json::object{{"TaskHistoryRetentionLimit", spec.task_history_retention()}};
  object["Raft"] = std::move(raft);
  object["Dispatcher"] = std::move(dispatcher);
  object["CAConfig"] = std::move(ca);
  object["TaskDefaults"] = json::object();
  object["EncryptionConfig"] = json::object{{"AutoLockManagers", spec.autolock_managers()}};
  return object;
}

}  // namespace

json::object tls_info(const proto::Cluster& cluster) {
  json::object object;
  const std::string& root = cluster.root_ca().certificate_pem();
  object["TrustRoot"] = root;
  if (Result<x509::Fields> fields = x509::parse_certificate(root)) {
    object["CertIssuerSubject"] = base64_encode(fields->subject_der);
    object["CertIssuerPublicKey"] = base64_encode(fields->public_key_der);
  }
  return object;
}

json::object node_json(const proto::Node& node, const proto::Cluster& cluster,
                       const proto::ManagerStatus* status) {
  json::object object;
  object["ID"] = node.id();
  add_meta(object, node.meta());
  json::object spec;
  if (!node.spec().name().empty()) spec["Name"] = node.spec().name();
  spec["Labels"] = labels_json(node.spec().labels());
  spec["Role"] = role_text(node.spec().role());
  spec["Availability"] = availability_text(node.spec().availability());
  object["Spec"] = std::move(spec);
  object["Description"] = description_json(node.description(), cluster);
  json::object state;
  state["State"] = state_text(node.status().state());
  if (!node.status().message().empty()) state["Message"] = node.status().message();
  state["Addr"] = node.status().address();
  object["Status"] = std::move(state);
  if (status != nullptr) {
    json::object manager;
    if (status->leader()) manager["Leader"] = true;
    manager["Reachability"] = reachability_text(status->reachability());
    manager["Addr"] = status->address();
    object["ManagerStatus"] = std::move(manager);
  }
  return object;
}

json::object cluster_json(const proto::Cluster& cluster) {
  json::object object;
  object["ID"] = cluster.id();
  add_meta(object, cluster.meta());
  object["Spec"] = spec_json(cluster.spec());
  object["TLSInfo"] = tls_info(cluster);
  object["RootRotationInProgress"] = cluster.root_rotation_in_progress();
  json::array pools;
  for (const std::string& pool : cluster.default_address_pools())
    pools.push_back(json::value(pool));
  object["DefaultAddrPool"] = std::move(pools);
  object["SubnetSize"] = cluster.subnet_size();
  object["DataPathPort"] = cluster.data_path_port();
  return object;
}

json::object swarm_json(const proto::Cluster& cluster) {
  json::object object = cluster_json(cluster);
  const proto::JoinTokens& tokens = cluster.root_ca().join_tokens();
  object["JoinTokens"] = json::object{{"Worker", tokens.worker()}, {"Manager", tokens.manager()}};
  return object;
}

Result<proto::Availability> parse_availability(const std::string& text) {
  std::string word = lower(text);
  if (word == "active") return proto::AVAILABILITY_ACTIVE;
  if (word == "pause") return proto::AVAILABILITY_PAUSE;
  if (word == "drain") return proto::AVAILABILITY_DRAIN;
  return make_error(Code::invalid_argument, "invalid Availability: \"{}\"", text);
}

Result<proto::NodeSpec> parse_node_spec(const json::object& body) {
  proto::NodeSpec spec;
  LAB_TRY(std::string role, text_field(body, "Role"));
  LAB_TRY(std::string availability, text_field(body, "Availability"));
  LAB_TRY(std::string name, text_field(body, "Name"));
  LAB_TRY(auto labels, labels_field(body, "Labels"));
  std::string word = lower(role);
  if (word != "manager" && word != "worker")
    return make_error(Code::invalid_argument, "invalid Role: \"{}\"", role);
  spec.set_role(word == "manager" ? proto::ROLE_MANAGER : proto::ROLE_WORKER);
  LAB_TRY(proto::Availability parsed, parse_availability(availability));
  spec.set_availability(parsed);
  spec.set_name(name);
  spec.mutable_labels()->insert(labels.begin(), labels.end());
  return spec;
}

Result<proto::ClusterSpec> parse_cluster_spec(const json::object& body, proto::ClusterSpec base) {
  LAB_TRY(std::string name, text_field(body, "Name"));
  if (!name.empty() && name != "default")
    return Error{Code::invalid_argument, "swarm spec must be named \"default\""};
  base.set_name("default");
  LAB_TRY(auto labels, labels_field(body, "Labels"));
  if (!labels.empty()) {
    base.clear_labels();
    base.mutable_labels()->insert(labels.begin(), labels.end());
  }
  LAB_TRY(json::object orchestration, object_field(body, "Orchestration"));
  if (has_value(orchestration, "TaskHistoryRetentionLimit")) {
    LAB_TRY(std::int64_t limit, integer_field(orchestration, "TaskHistoryRetentionLimit"));
    if (limit < 0)
      return Error{Code::invalid_argument, "TaskHistoryRetentionLimit must not be negative"};
    base.set_task_history_retention(limit);
  }
  LAB_TRY(json::object raft, object_field(body, "Raft"));
  LAB_TRY(std::int64_t snapshot_interval, integer_field(raft, "SnapshotInterval"));
  if (snapshot_interval > 0)
    base.set_snapshot_interval(static_cast<std::uint64_t>(snapshot_interval));
  if (has_value(raft, "KeepOldSnapshots")) {
    LAB_TRY(std::int64_t kept, integer_field(raft, "KeepOldSnapshots"));
    base.set_keep_old_snapshots(static_cast<std::uint64_t>(std::max<std::int64_t>(kept, 0)));
  }
  LAB_TRY(std::int64_t slow, integer_field(raft, "LogEntriesForSlowFollowers"));
  if (slow > 0) base.set_log_entries_for_slow_followers(static_cast<std::uint64_t>(slow));
  LAB_TRY(std::int64_t election, integer_field(raft, "ElectionTick"));
  if (election > 0) base.set_election_tick(static_cast<std::uint32_t>(election));
  LAB_TRY(std::int64_t heartbeat, integer_field(raft, "HeartbeatTick"));
  if (heartbeat > 0) base.set_heartbeat_tick(static_cast<std::uint32_t>(heartbeat));
  LAB_TRY(json::object dispatcher, object_field(body, "Dispatcher"));
  LAB_TRY(std::int64_t period, integer_field(dispatcher, "HeartbeatPeriod"));
  if (period < 0)
    return Error{Code::invalid_argument,
                 "rpc error: code = InvalidArgument desc = invalid heartbeat period"};
  if (period > 0) base.set_heartbeat_period_ns(period);
  LAB_TRY(json::object ca, object_field(body, "CAConfig"));
  LAB_TRY(std::int64_t expiry, integer_field(ca, "NodeCertExpiry"));
  if (expiry != 0 && Duration(expiry) < ca::node_lifetime_min)
    return Error{Code::invalid_argument,
                 "rpc error: code = InvalidArgument desc = minimum certificate expiry time is: "
                 "1h0m0s"};
  if (expiry > 0) base.set_node_certificate_expiry_ns(expiry);
  LAB_TRY(json::object encryption, object_field(body, "EncryptionConfig"));
  LAB_TRY(bool autolock, boolean_field(encryption, "AutoLockManagers"));
  if (autolock)
    return Error{Code::unsupported,
                 "autolock is not supported: the keys of this swarm's managers "
                 "are kept in files that only root can read"};
  return base;
}

}  // namespace lab::swarm::api
