// Files fetched over HTTP: ADD of a URL, and contexts that are one.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "engine/registry/options.hpp"
#include "engine/registry/progress.hpp"

namespace lab::engine::build {

struct Download {
  std::filesystem::path folder;  // as given
  std::string name;              // of the file in it; empty: the URL gives none
  std::string content_type;      // without parameters
};

// The name of the file if the URL and the answer give none.
inline constexpr const char* unnamed_file = "__unnamed__";

// Whether a word of ADD is one.
[[nodiscard]] bool is_url(std::string_view word);

// GETs `url` (redirects followed) into a file of `folder`, mode 0600, with the time of its
// Last-Modified. Errors have dockerd's texts: "failed to GET URL with status 404 Not Found: ...".
[[nodiscard]] boost::asio::awaitable<Result<Download>> download(
    boost::asio::any_io_executor executor, std::string url, std::filesystem::path folder,
    registry::Options options, registry::Progress& progress);

}  // namespace lab::engine::build
