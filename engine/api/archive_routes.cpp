// GET /images/get, GET /images/NAME/get and POST /images/load.
#include "base/blocking.hpp"
#include "engine/api/image_routes_impl.hpp"
#include "engine/api/thread_output.hpp"
#include "engine/image/archive.hpp"
#include "engine/registry/pipe.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;

namespace {

constexpr std::size_t waiting_bytes_max = std::size_t{4} << 20;
constexpr std::size_t piece_bytes = std::size_t{128} << 10;

using Loaded = Result<std::vector<image::LoadedImage>>;

asio::awaitable<void> save_on_pool(image::ImageStore& store, std::vector<std::string> names,
                                   ThreadOutput& output, Result<void>& outcome) {
  std::function<void()> work = [&] {
    const layer::TarSink sink = [&output](std::string_view bytes) { return output.write(bytes); };
    outcome = image::save_images(store, names, sink);
    output.end();
  };
  co_await run_on_pool(std::move(work));
}

asio::awaitable<void> load_on_pool(image::ImageStore& store, registry::Pipe& pipe,
                                   Loaded& outcome) {
  std::function<void()> work = [&] {
    outcome = image::load_images(store, pipe.source());
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

asio::awaitable<Result<void>> ImageRoutes::Impl::save(http::Exchange& exchange) {
  std::vector<std::string> names = exchange.request().query.all("names");
  if (!exchange.parameter("name").empty()) names = {exchange.parameter("name")};
  const image::ImageStore::Guard guard(store);
  ThreadOutput output(executor, waiting_bytes_max);
  Result<void> outcome;
  registry::TaskGroup group(executor);
  group.spawn(save_on_pool(store, names, output, outcome));
  std::string bytes = co_await output.next();
  const bool any = !bytes.empty();
  Result<void> sent;
  if (any) {
    http::Headers headers;
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

asio::awaitable<Result<void>> ImageRoutes::Impl::load(http::Exchange& exchange) {
  registry::Pipe pipe(executor, waiting_bytes_max);
  Loaded loaded = Error{Code::internal, "not loaded"};
  registry::TaskGroup group(executor);
  group.spawn(load_on_pool(store, pipe, loaded));
  const auto fed = co_await feed(exchange, pipe);
  if (fed.has_value()) {
    pipe.end();
  } else {
    pipe.fail(fed.error());
  }
  co_await group.wait();
  LAB_CO_CHECK(co_await collect());
  if (loaded.has_error()) co_return Error{Code::internal, loaded.error().message};
  registry::Progress progress(executor, clock);
  for (const image::LoadedImage& one : *loaded) {
    boost::json::object line;
    line["stream"] = fmt::format("Loaded image{}: {}\n", one.named ? "" : " ID", one.name);
    progress.raw(line);
    store.emit({"load", one.id, one.id});
  }
  progress.finish();
  http::Response response;
  response.headers.set("Content-Type", "application/json");
  response.body = co_await progress.next();
  co_return co_await exchange.respond(std::move(response));
}

}  // namespace lab::engine::api
