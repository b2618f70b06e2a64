// Sends images of the store to registries: blobs that are missing there, then the manifest. An
// image that came with a manifest is sent with the same one, so its digest stays.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <string>

#include "engine/image/image_store.hpp"
#include "engine/registry/auth.hpp"
#include "engine/registry/manifest.hpp"
#include "engine/registry/options.hpp"
#include "engine/registry/progress.hpp"
#include "engine/registry/session.hpp"
#include "engine/registry/tasks.hpp"

namespace lab::engine::registry {

class Pusher {
 public:
  Pusher(boost::asio::any_io_executor executor, image::ImageStore& store, const Options& options);

  // Without a tag in `reference`, every tag of the repository. Errors have Docker's texts.
  [[nodiscard]] boost::asio::awaitable<Result<void>> push(image::Reference reference,
                                                          Credentials credentials,
                                                          Progress& progress);

 private:
  struct Job;
  [[nodiscard]] boost::asio::awaitable<Result<void>> push_tags(Job& job);
  [[nodiscard]] boost::asio::awaitable<Result<void>> push_image(Job& job, image::Reference tagged,
                                                                image::ImagePtr image);
  [[nodiscard]] boost::asio::awaitable<void> push_layer(Job& job, std::string diff_id,
                                                        Descriptor blob);
  [[nodiscard]] boost::asio::awaitable<Result<void>> transfer_layer(Job& job, std::string diff_id,
                                                                    Descriptor blob);
  [[nodiscard]] boost::asio::awaitable<Result<bool>> mount_layer(Job& job, std::string diff_id,
                                                                 Descriptor blob);

  boost::asio::any_io_executor executor_;
  image::ImageStore& store_;
  const Options& options_;
  Semaphore uploads_;
};

}  // namespace lab::engine::registry
