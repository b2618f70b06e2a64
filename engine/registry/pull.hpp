// Brings images from registries into the store: manifest, configuration, then the layers, several
// at a time, each hashed, decompressed and unpacked while it arrives. A connection that breaks is
// made again and the download goes on from the byte where it stopped.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <string>

#include "base/clock.hpp"
#include "engine/image/image_store.hpp"
#include "engine/registry/auth.hpp"
#include "engine/registry/manifest.hpp"
#include "engine/registry/options.hpp"
#include "engine/registry/progress.hpp"
#include "engine/registry/session.hpp"
#include "engine/registry/tasks.hpp"

namespace lab::engine::registry {

// One for the whole engine: it limits the downloads of all pulls together, and a layer that two
// pulls want is fetched once. On one event loop.
class Puller {
 public:
  Puller(boost::asio::any_io_executor executor, image::ImageStore& store, const Options& options,
         const Clock& clock);

  // Without tag and digest in `reference`, every tag of the repository. Errors have Docker's texts.
  // Stops soon after progress.abandon().
  [[nodiscard]] boost::asio::awaitable<Result<void>> pull(image::Reference reference,
                                                          Credentials credentials,
                                                          Progress& progress);

 private:
  struct Job;
  struct Layer;
  // True: something new came.
  [[nodiscard]] boost::asio::awaitable<Result<bool>> pull_tags(Session& session,
                                                               image::Reference reference,
                                                               Progress& progress);
  [[nodiscard]] boost::asio::awaitable<Result<bool>> pull_image(Job& job);
  [[nodiscard]] boost::asio::awaitable<Result<FetchedManifest>> image_manifest(Job& job);
  [[nodiscard]] boost::asio::awaitable<Result<void>> fetch_layers(Job& job);
  [[nodiscard]] boost::asio::awaitable<void> fetch_layer(Job& job, Layer layer);
  [[nodiscard]] boost::asio::awaitable<Result<void>> transfer_layer(Job& job, Layer layer);
  [[nodiscard]] boost::asio::awaitable<Result<bool>> finish(Job& job, FetchedManifest manifest,
                                                            std::string config_text);

  boost::asio::any_io_executor executor_;
  image::ImageStore& store_;
  const Options& options_;
  const Clock& clock_;
  Semaphore downloads_;
  Signal layer_ended_;
  std::map<std::string, int> under_way_;  // diff ids
  std::uint64_t temporary_number_ = 0;
};

// A registry's error as dockerd reports it for this reference: "manifest for app:1 not found:
// manifest unknown: manifest unknown".
[[nodiscard]] Error pull_error(const Error& error, const image::Reference& reference);

}  // namespace lab::engine::registry
