#include "engine/api/archive_stream.hpp"

#include "base/blocking.hpp"
#include "engine/api/thread_output.hpp"
#include "engine/registry/pipe.hpp"
#include "engine/registry/tasks.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;

namespace {

constexpr std::size_t waiting_bytes_max = std::size_t{4} << 20;
constexpr std::size_t piece_bytes = std::size_t{128} << 10;

asio::awaitable<void> write_on_pool(WriteArchive& write, ThreadOutput& output,
                                    Result<void>& outcome) {
  std::function<void()> work = [&] {
    const layer::TarSink sink = [&output](std::string_view bytes) { return output.write(bytes); };
    outcome = write(sink);
    output.end();
  };
  co_await run_on_pool(std::move(work));
}

asio::awaitable<void> read_on_pool(ReadArchive& read, registry::Pipe& pipe, Result<void>& outcome) {
  std::function<void()> work = [&] {
    outcome = read(pipe.source());
    if (outcome.has_error()) pipe.fail_reader(outcome.error());
  };
  co_await run_on_pool(std::move(work));
}

// The request's body into the pipe, up to its end or the first error.
asio::awaitable<Result<void>> feed(http::Exchange& exchange, registry::Pipe& pipe) {
  while (true) {
    std::string piece(piece_bytes, '\0');
    LAB_CO_TRY(const std::size_t count,
               co_await exchange.read_some(asio::buffer(piece.data(), piece.size())));
    if (count == 0) co_return Result<void>{};
    piece.resize(count);
    LAB_CO_CHECK(co_await pipe.push(std::move(piece)));
  }
}

}  // namespace

asio::awaitable<Result<void>> send_archive(http::Exchange& exchange, asio::any_io_executor executor,
                                           WriteArchive write) {
  http::Headers headers;
  co_return co_await send_archive(exchange, executor, std::move(headers), std::move(write));
}

asio::awaitable<Result<void>> send_archive(http::Exchange& exchange, asio::any_io_executor executor,
                                           http::Headers headers, WriteArchive write) {
  ThreadOutput output(executor, waiting_bytes_max);
  Result<void> outcome;
  registry::TaskGroup group(executor);
  group.spawn(write_on_pool(write, output, outcome));
  std::string bytes = co_await output.next();
  Result<void> sent;
  if (!bytes.empty()) {
    headers.set("Content-Type", "application/x-tar");
    sent = co_await exchange.start(200, std::move(headers));
  }
  while (!bytes.empty()) {
    if (sent.has_value()) sent = co_await exchange.write(bytes);
    if (sent.has_error()) output.give_up();
    bytes = co_await output.next();
  }
  co_await group.wait();
  if (sent.has_error()) co_return sent;
  if (outcome.has_error()) co_return outcome;  // after the start: closes the connection
  co_return co_await exchange.finish();
}

asio::awaitable<Result<void>> receive_archive(http::Exchange& exchange,
                                              asio::any_io_executor executor, ReadArchive read) {
  registry::Pipe pipe(executor, waiting_bytes_max);
  Result<void> outcome;
  registry::TaskGroup group(executor);
  group.spawn(read_on_pool(read, pipe, outcome));
  const auto fed = co_await feed(exchange, pipe);
  if (fed.has_value()) {
    pipe.end();
  } else {
    pipe.fail(fed.error());
  }
  co_await group.wait();
  co_return outcome;
}

}  // namespace lab::engine::api
