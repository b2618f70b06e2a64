// Asking other name servers what we do not know.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "engine/network/dns/message.hpp"

namespace lab::engine::network::dns {

// The first answer of a server, in their order, that is no failure of that server; empty when none
// gave one. Four seconds each. `packet` is passed on as it is, under an id of our own; the answer
// has the packet's id again. Over TCP when the question came so.
[[nodiscard]] boost::asio::awaitable<std::string> ask_servers(std::vector<std::string> servers,
                                                              std::string packet, Query query,
                                                              bool stream);

}  // namespace lab::engine::network::dns
