// `docker commit`: a container's files and configuration as an image.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/container/containers.hpp"

namespace lab::engine::build {

struct CommitRequest {
  std::optional<image::Reference> name;
  std::string author;
  std::string comment;
  bool pause = true;                 // a running container while it is read
  std::vector<std::string> changes;  // instructions, as in a Dockerfile
  boost::json::object config;        // instead of the container's where it says something
};

// Gives the image's id.
[[nodiscard]] boost::asio::awaitable<Result<std::string>> commit_container(
    container::Containers& containers, container::ContainerPtr container, CommitRequest request);

}  // namespace lab::engine::build
