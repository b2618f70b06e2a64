// GET /net/capture: a capture as the answer's body, for as long as the client reads it.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "base/error.hpp"
#include "base/http_server.hpp"
#include "netsim/switch.hpp"

namespace lab::netsim {

// The query has any number of link=FROM->TO ("*" is any machine), at most one filter=, and frames=N
// to end after so many. A machine that the switch does not have is Code::not_found.
[[nodiscard]] boost::asio::awaitable<Result<void>> stream_capture(http::Exchange& exchange,
                                                                  Switch& lab_switch);

}  // namespace lab::netsim
