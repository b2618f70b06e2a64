// The image part of the Docker Engine API: /images, /auth and /distribution.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "base/clock.hpp"
#include "base/http_server.hpp"
#include "engine/image/image_store.hpp"
#include "engine/registry/options.hpp"
#include "engine/registry/pull.hpp"

namespace lab::engine::api {

// Serves requests on one event loop; `store` and `clock` outlive it, and it outlives the router's
// server. Downloads that are under way when it ends are cut off and resumed by the next pull.
class ImageRoutes {
 public:
  ImageRoutes(boost::asio::any_io_executor executor, image::ImageStore& store,
              const registry::Options& options, const Clock& clock);
  ImageRoutes(const ImageRoutes&) = delete;
  ImageRoutes& operator=(const ImageRoutes&) = delete;
  ~ImageRoutes();

  void add_to(http::Router& router);
  // For builds.
  [[nodiscard]] registry::Puller& puller();

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace lab::engine::api
