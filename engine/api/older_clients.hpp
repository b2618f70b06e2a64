// What clients of older API versions get: dockerd goes on to answer them as it did then.
#pragma once

#include <boost/json/object.hpp>

#include "base/http_server.hpp"

namespace lab::engine::api {

// The body of a container's creation as the client means it: without what came later than its
// version, and with what was the default then.
void adapt_creation(boost::json::object& body, const http::Exchange& exchange);

}  // namespace lab::engine::api
