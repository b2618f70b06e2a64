// The read half of the OCI distribution protocol over one OCI layout directory: what a container
// engine needs to use it as the mirror of Docker Hub. "debian" and "library/debian" are the same
// repository. An image of the catalogue that the layout lacks is built when its manifest is first
// asked for: the answer takes as long as that. Any other name is answered with 404 in the
// protocol's own form, on which an engine turns to the next mirror or the real hub.
#pragma once

#include <filesystem>
#include <memory>

#include "base/error.hpp"
#include "base/http_server.hpp"

namespace lab::provision {

class Mirror {
 public:
  // The layout may appear, grow and change later: index.json is read again when it has changed.
  explicit Mirror(std::filesystem::path layout);
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;
  ~Mirror();

  // Adds GET and HEAD of /v2/, /v2/_catalog, /v2/NAME/tags/list, /v2/NAME/manifests/REFERENCE and
  // /v2/NAME/blobs/DIGEST (with byte ranges). The mirror must outlive the router.
  void add_routes(http::Router& router);

  // Ends the builds that run; what they would have made is not there. None begins afterwards.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lab::provision
