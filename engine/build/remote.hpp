// Contexts that are a URL: an archive or a Dockerfile over HTTP, or a git repository.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "base/error.hpp"
#include "engine/build/builder.hpp"

namespace lab::engine::build {

// Fills the context. A text file becomes its Dockerfile; `git` is needed for repositories
// ("URL#REF:FOLDER").
[[nodiscard]] boost::asio::awaitable<Result<void>> fetch_context(BuildContext& context,
                                                                 std::string remote,
                                                                 Builder::Parts parts,
                                                                 registry::Progress& progress);

}  // namespace lab::engine::build
