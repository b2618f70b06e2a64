// The inside of ImageRoutes. Private to image_routes.cpp and archive_routes.cpp.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <functional>
#include <string>
#include <vector>

#include "engine/api/filters.hpp"
#include "engine/api/image_routes.hpp"
#include "engine/registry/pull.hpp"
#include "engine/registry/push.hpp"

namespace lab::engine::api {

struct ImageRoutes::Impl {
  Impl(boost::asio::any_io_executor event_loop, image::ImageStore& images,
       const registry::Options& registry_options, const Clock& clock_source)
      : executor(std::move(event_loop)),
        store(images),
        options(registry_options),
        clock(clock_source),
        puller(executor, store, options, clock),
        pusher(executor, store, options) {}

  boost::asio::any_io_executor executor;
  image::ImageStore& store;
  const registry::Options& options;  // a reload changes them
  const Clock& clock;
  registry::Puller puller;
  registry::Pusher pusher;

  using Done = boost::asio::awaitable<Result<void>>;

  Done list(http::Exchange& exchange);
  Done inspect(http::Exchange& exchange);
  Done history(http::Exchange& exchange);
  Done create(http::Exchange& exchange);
  Done push(http::Exchange& exchange);
  Done tag(http::Exchange& exchange);
  Done remove(http::Exchange& exchange);
  Done prune(http::Exchange& exchange);
  Done auth(http::Exchange& exchange);
  Done distribution(http::Exchange& exchange);
  Done save(http::Exchange& exchange);
  Done load(http::Exchange& exchange);
  Done import(http::Exchange& exchange);
  Done search(http::Exchange& exchange);

  using Work = std::function<boost::asio::awaitable<Result<void>>(registry::Progress&)>;
  Done stream(http::Exchange& exchange, Work work);
  // Removes what nothing needs any more, on the pool.
  Done collect();
  boost::asio::awaitable<Result<std::vector<image::RemovedItem>>> remove_on_pool(std::string name,
                                                                                 bool force,
                                                                                 bool prune);
  boost::asio::awaitable<Result<boost::json::array>> remove_unused(bool dangling_only,
                                                                   std::int64_t until_seconds,
                                                                   FilterSet filters);
};

}  // namespace lab::engine::api
