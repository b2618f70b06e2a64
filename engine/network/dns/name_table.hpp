// Which names containers have on which networks. On the event loop's thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/network/network.hpp"

namespace lab::engine::network::dns {

class NameTable {
 public:
  void add(const Endpoint& endpoint);
  void remove(const Endpoint& endpoint);

  struct Found {
    bool known = false;  // with no address: the name exists, without one of this family
    std::vector<IpAddress> addresses;
  };
  // As a container with these endpoints sees it: on each of its networks NAME, and NAME.NETWORK;
  // the container's links before the names that all know. `name` is lowered.
  [[nodiscard]] Found resolve(const std::vector<Endpoint>& endpoints, std::string_view name,
                              bool ipv6) const;
  // "web.mynet"; empty when no network of these has the address.
  [[nodiscard]] std::string reverse(const std::vector<Endpoint>& endpoints,
                                    const IpAddress& address) const;

 private:
  struct Record {
    std::string endpoint_id;
    std::optional<IpAddress> address;
    std::optional<IpAddress> address6;
    std::string first_name;
  };
  [[nodiscard]] Found resolve_on(const Endpoint& endpoint, const std::string& name, bool links,
                                 bool ipv6) const;

  // By network's id, then name.
  std::map<std::string, std::multimap<std::string, Record>> records_;
};

}  // namespace lab::engine::network::dns
