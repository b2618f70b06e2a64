// `docker search`: the first version of the registry API, which Docker Hub still answers.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <string>

#include "base/error.hpp"
#include "engine/registry/auth.hpp"
#include "engine/registry/options.hpp"

namespace lab::engine::registry {

// Asks the index that the term names ("HOST/TERM"), or Docker Hub. Gives its "results" as they are.
[[nodiscard]] boost::asio::awaitable<Result<boost::json::array>> search(
    boost::asio::any_io_executor executor, std::string term, std::int64_t limit,
    Credentials credentials, Options options);

}  // namespace lab::engine::registry
