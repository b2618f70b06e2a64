// The image part of the engine alone, on a Unix socket, for tests with the stock clients:
// image_server DATA_ROOT SOCKET [--mirror URL]... [--insecure HOST]... [--certs DIR]
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/clock.hpp"
#include "base/http_server.hpp"
#include "engine/api/image_routes.hpp"

namespace {

namespace asio = boost::asio;
using namespace lab;

asio::awaitable<Result<void>> ping(http::Exchange& exchange) {
  http::Response response;
  response.headers.set("Api-Version", "1.41");
  response.headers.set("Ostype", "linux");
  response.headers.set("Content-Type", "text/plain; charset=utf-8");
  response.body = "OK";
  co_return co_await exchange.respond(std::move(response));
}

int run(int argc, char** argv) {
  engine::registry::Options options;
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--mirror") options.mirrors.emplace_back(argv[i + 1]);
    if (flag == "--insecure") options.insecure_registries.emplace_back(argv[i + 1]);
    if (flag == "--certs") options.certificates_directory = argv[i + 1];
  }
  SystemClock clock;
  asio::io_context loop(1);
  engine::image::StoreOptions store_options{argv[1]};
  auto store = engine::image::ImageStore::open(store_options, clock);
  if (store.has_error()) {
    std::fprintf(stderr, "%s\n", store.error().message.c_str());
    return 1;
  }
  engine::api::ImageRoutes routes(loop.get_executor(), **store, options, clock);
  http::Router router(true);
  router.add("GET", "/_ping", ping);
  router.add("HEAD", "/_ping", ping);
  routes.add_to(router);
  http::Server server(loop.get_executor(), router);
  if (auto listening = server.listen_unix(argv[2], 0600); listening.has_error()) {
    std::fprintf(stderr, "%s\n", listening.error().message.c_str());
    return 1;
  }
  asio::signal_set signals(loop, SIGTERM, SIGINT);
  signals.async_wait([&](boost::system::error_code, int) {
    server.stop();
    loop.stop();
  });
  loop.run();
  // Requests under way refer to the store, so nothing is taken apart: as engined ends.
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: image_server DATA_ROOT SOCKET [--mirror URL]...\n");
    return 2;
  }
  return run(argc, argv);
}
