// Requests to the lab's labd, for the verbs that see and change what it does.
#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "base/http_client.hpp"
#include "cli/lab/verb.hpp"

namespace lab::cli {

// One request; gives the answer's JSON object, or fails with the answer's message.
[[nodiscard]] boost::json::value call_labd(const Globals& globals, const std::string& method,
                                           const std::string& target,
                                           const boost::json::value& body = nullptr);

// Where labd listens; fails without a labfile.
[[nodiscard]] http::Endpoint labd_endpoint(const Globals& globals);

// What labd says with a status other than 200.
[[nodiscard]] Error labd_error(int status, const std::string& body);

}  // namespace lab::cli
