// Requests to the lab's labd, for the verbs that see and change what it does.
#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "cli/lab/verb.hpp"

namespace lab::cli {

// One request; gives the answer's JSON object, or fails with the answer's message.
[[nodiscard]] boost::json::value call_labd(const Globals& globals, const std::string& method,
                                           const std::string& target,
                                           const boost::json::value& body = nullptr);

}  // namespace lab::cli
