#include "engine/network/dns/name_table.hpp"

#include <algorithm>

namespace lab::engine::network::dns {

namespace {

std::string lowered(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

const std::string* link_of(const Endpoint& endpoint, const std::string& name) {
  for (const auto& [alias, target] : endpoint.links) {
    if (lowered(alias) == name) return &target;
  }
  return nullptr;
}

}  // namespace

void NameTable::add(const Endpoint& endpoint) {
  if (!endpoint.serves_names) return;
  std::multimap<std::string, Record>& records = records_[endpoint.network_id];
  std::string first = endpoint.names.empty() ? "" : endpoint.names.front();
  for (const std::string& name : endpoint.names) {
    Record record{endpoint.id, endpoint.address, endpoint.address6, first};
    records.emplace(lowered(name), std::move(record));
  }
}

void NameTable::remove(const Endpoint& endpoint) {
  auto network = records_.find(endpoint.network_id);
  if (network == records_.end()) return;
  std::erase_if(network->second,
                [&endpoint](const auto& entry) { return entry.second.endpoint_id == endpoint.id; });
  if (network->second.empty()) records_.erase(network);
}

NameTable::Found NameTable::resolve_on(const Endpoint& endpoint, const std::string& name,
                                       bool links, bool ipv6) const {
  Found found;
  const std::string* link = link_of(endpoint, name);
  if (links != (link != nullptr)) return found;
  auto network = records_.find(endpoint.network_id);
  if (network == records_.end()) return found;
  auto [first, last] = network->second.equal_range(link != nullptr ? lowered(*link) : name);
  for (auto at = first; at != last; ++at) {
    found.known = true;
    const std::optional<IpAddress>& address = ipv6 ? at->second.address6 : at->second.address;
    bool listed = address && std::find(found.addresses.begin(), found.addresses.end(), *address) !=
                                 found.addresses.end();
    if (address && !listed) found.addresses.push_back(*address);
  }
  return found;
}

NameTable::Found NameTable::resolve(const std::vector<Endpoint>& endpoints, std::string_view name,
                                    bool ipv6) const {
  // Both a container's and a network's name may hold dots: "a.b.c" is looked for as such, then as
  // "a.b" on the network "c", then as "a" on the network "b.c".
  std::string_view host = name;
  std::string_view network;
  for (;;) {
    for (bool links : {true, false}) {
      Found best;
      for (const Endpoint& endpoint : endpoints) {
        if (!network.empty() && lowered(endpoint.network_name) != network) continue;
        Found found = resolve_on(endpoint, std::string(host), links, ipv6);
        best.known = best.known || found.known;
        if (!found.addresses.empty()) return found;
      }
      if (best.known) return best;
    }
    std::size_t dot = host.rfind('.');
    if (dot == std::string_view::npos) return {};
    host = name.substr(0, dot);
    network = name.substr(dot + 1);
  }
}

std::string NameTable::reverse(const std::vector<Endpoint>& endpoints,
                               const IpAddress& address) const {
  for (const Endpoint& endpoint : endpoints) {
    auto network = records_.find(endpoint.network_id);
    if (network == records_.end()) continue;
    for (const auto& [name, record] : network->second) {
      if (record.address == address || record.address6 == address)
        return record.first_name + "." + endpoint.network_name;
    }
  }
  return {};
}

}  // namespace lab::engine::network::dns
