// Archives in answers and requests: a blocking reader or writer on a thread, the connection on the
// event loop.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>

#include "base/http_server.hpp"
#include "engine/layer/byte_source.hpp"
#include "engine/layer/tar_writer.hpp"

namespace lab::engine::api {

using WriteArchive = std::function<Result<void>(const layer::TarSink& sink)>;
using ReadArchive = std::function<Result<void>(layer::ByteSource& bytes)>;

// Answers with what `write` writes. Its error is the answer if nothing was written; later it cuts
// the connection.
[[nodiscard]] boost::asio::awaitable<Result<void>> send_archive(
    http::Exchange& exchange, boost::asio::any_io_executor executor, WriteArchive write);

// As above, with headers of its own.
[[nodiscard]] boost::asio::awaitable<Result<void>> send_archive(
    http::Exchange& exchange, boost::asio::any_io_executor executor, http::Headers headers,
    WriteArchive write);

// Gives the request's body to `read`.
[[nodiscard]] boost::asio::awaitable<Result<void>> receive_archive(
    http::Exchange& exchange, boost::asio::any_io_executor executor, ReadArchive read);

}  // namespace lab::engine::api
