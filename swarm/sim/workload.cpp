#include "swarm/sim/workload.hpp"

#include <utility>

namespace lab::swarm::sim {

namespace {
constexpr Duration patience = std::chrono::seconds(8);
}

Workload::Workload(World& world, Checker& checker, const Parameters& parameters)
    : world_(world),
      checker_(checker),
      parameters_(parameters),
      random_(Random(parameters.seed).stream("workload")) {
  for (int i = 0; i < clients; ++i) clients_.push_back(Client{.number = i, .value = 1});
}

void Workload::begin() {
  active_ = true;
  for (Client& client : clients_) schedule(client);
}

void Workload::schedule(Client& client) {
  const Duration pause(
      random_.between(parameters_.client_pause.count() / 10, parameters_.client_pause.count() * 2));
  world_.queue().schedule_after(pause, [this, &client] {
    if (active_) act(client);
  });
}

void Workload::ask(Client& client, std::size_t manager, proto::ControlRequest body,
                   std::function<void()> on_success) {
  const std::uint64_t request = ++client.request;
  const bool sent = world_.control(
      manager, std::move(body),
      [this, &client, request, on_success](const Result<proto::ControlResponse>& response) {
        // An acknowledgement counts even when it comes too late.
        if (response && on_success) on_success();
        if (client.request != request) return;
        ++client.request;
        if (response)
          ++counters_.acknowledged;
        else if (response.error().code == Code::unavailable)
          ++counters_.unknown;
        else
          ++counters_.refused;
        schedule(client);
      });
  if (!sent) return schedule(client);
  world_.queue().schedule_after(patience, [this, &client, request] {
    if (client.request != request) return;
    ++client.request;
    ++counters_.unknown;
    schedule(client);
  });
}

void Workload::act(Client& client) {
  std::vector<std::size_t> managers;
  for (std::size_t i = 0; i < world_.size(); ++i)
    if (world_.up(i) && world_.node(i)->raft() != nullptr && world_.node(i)->store()->cluster())
      managers.push_back(i);
  if (managers.empty()) return schedule(client);
  const std::size_t manager = managers[random_.below(managers.size())];
  const store::NodeMap& nodes = world_.node(manager)->store()->nodes();
  if (nodes.empty()) return schedule(client);
  auto chosen = nodes.begin();
  std::advance(chosen, static_cast<std::ptrdiff_t>(random_.below(nodes.size())));
  const store::NodePtr node = chosen->second;
  const double what = random_.uniform();
  if (what < 0.80) return write_label(client, manager, *node);
  if (what < 0.92) return change_role(client, manager, *node);
  if (what < 0.95) return remove(client, manager, *node);
  if (what < 0.97) join_one();
  schedule(client);
}

void Workload::write_label(Client& client, std::size_t manager, const proto::Node& node) {
  const std::string key = fmt::format("client{}", client.number);
  const std::uint64_t value = client.value++;
  proto::ControlRequest body;
  proto::UpdateNode& update = *body.mutable_update_node();
  update.set_node_id(node.id());
  update.set_version(node.meta().version());
  *update.mutable_spec() = node.spec();
  (*update.mutable_spec()->mutable_labels())[key] = std::to_string(value);
  ask(client, manager, std::move(body),
      [this, id = node.id(), key, value] { checker_.label_acknowledged(id, key, value); });
}

void Workload::change_role(Client& client, std::size_t manager, const proto::Node& node) {
  std::size_t managers = 0;
  for (const auto& [id, other] : world_.node(manager)->store()->nodes())
    if (other->spec().role() == proto::ROLE_MANAGER) ++managers;
  const bool promote = node.spec().role() == proto::ROLE_WORKER;
  if ((promote && managers >= 7) || (!promote && managers <= 2)) return schedule(client);
  proto::ControlRequest body;
  proto::UpdateNode& update = *body.mutable_update_node();
  update.set_node_id(node.id());
  update.set_version(node.meta().version());
  *update.mutable_spec() = node.spec();
  update.mutable_spec()->set_role(promote ? proto::ROLE_MANAGER : proto::ROLE_WORKER);
  ask(client, manager, std::move(body),
      [this, promote] { ++(promote ? counters_.promotions : counters_.demotions); });
}

void Workload::remove(Client& client, std::size_t manager, const proto::Node& node) {
  if (world_.node(manager)->store()->nodes().size() < 11) return schedule(client);
  checker_.removal_attempted(node.id());
  proto::ControlRequest body;
  body.mutable_remove_node()->set_node_id(node.id());
  body.mutable_remove_node()->set_force(true);
  ask(client, manager, std::move(body), [this, id = node.id()] {
    ++counters_.removals;
    checker_.removal_acknowledged(id);
  });
}

void Workload::join_one() {
  if (world_.size() >= machines_max) return;
  const std::size_t index = world_.add_node();
  std::vector<std::string> managers;
  for (std::size_t i = 0; i < index; ++i)
    if (world_.up(i) && world_.node(i)->raft() != nullptr) managers.push_back(world_.address(i));
  if (managers.empty()) managers.push_back(world_.address(0));
  const bool manager = random_.chance(0.3);
  ++counters_.joins;
  world_.join(index, manager ? World::manager_token : World::worker_token, std::move(managers), {});
}

}  // namespace lab::swarm::sim
