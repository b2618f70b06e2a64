#include "engine/build/commit.hpp"

#include "base/blocking.hpp"
#include "engine/build/run_config.hpp"
#include "engine/build/step_image.hpp"
#include "engine/container/config.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::build {

namespace asio = boost::asio;
namespace json = boost::json;
using image::ImagePtr;

namespace {

// What the request says, over what the container has.
Result<json::object> new_config(const json::object& container_config, CommitRequest& request) {
  const bool given = !request.config.empty();
  LAB_TRY(json::object config,
          container::complete_config(given ? request.config : container_config));
  LAB_CHECK(apply_changes(config, request.changes));
  LAB_CHECK(container::merge_image_config(config, container_config));
  return config;
}

Result<ImagePtr> make_image(container::Containers& containers,
                            const container::Container& container, CommitRequest& request) {
  image::ImageStore& store = containers.services().images;
  ImageStep step;
  // The layers that the container stands on stay, even if its image has been removed.
  if (auto parent = store.by_id(container.image_id)) step.parent = *parent;
  if (!step.parent && !container.image_id.empty()) {
    return make_error(Code::not_found, "No such image: {}", container.image_id);
  }
  LAB_TRY(step.config, new_config(container.config, request));
  step.container_config = container.config;
  step.container_id = container.id;
  step.author = request.author;
  step.comment = request.comment;
  LAB_TRY(step.diff_id, add_upper_layer(store, containers.rootfs(container.id).upper, Upper::keep));
  return add_step(store, step, containers.services().clock.wall_now());
}

}  // namespace

asio::awaitable<Result<std::string>> commit_container(container::Containers& containers,
                                                      container::ContainerPtr container,
                                                      CommitRequest request) {
  image::ImageStore& store = containers.services().images;
  const image::ImageStore::Guard guard(store);
  const bool pause = request.pause && container->state.running && !container->state.paused;
  if (pause) LAB_CO_CHECK(co_await containers.pause(container));
  auto made = co_await run_blocking<Result<ImagePtr>>(
      [&containers, &container, &request] { return make_image(containers, *container, request); });
  if (pause) static_cast<void>(co_await containers.unpause(container));
  if (!made) co_return std::move(made).error();
  if (request.name) {
    LAB_CO_CHECK(co_await run_blocking<Result<void>>(
        [&store, &made, &request] { return store.tag((*made)->id, *request.name); }));
  }
  Attributes attributes{{"comment", request.comment},
                        {"imageID", (*made)->id},
                        {"imageRef", request.name ? request.name->familiar() : ""}};
  containers.emit(*container, "commit", std::move(attributes));
  co_return (*made)->id;
}

}  // namespace lab::engine::build
