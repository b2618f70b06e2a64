// GET /system/df, GET /containers/ID/changes and GET /containers/ID/export: what lies on the disk.
#include <map>

#include "base/blocking.hpp"
#include "engine/api/archive_stream.hpp"
#include "engine/api/exchange.hpp"
#include "engine/api/image_views.hpp"
#include "engine/api/routes.hpp"
#include "engine/container/changes.hpp"
#include "engine/container/inspect.hpp"
#include "engine/layer/pack.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;
using container::ContainerPtr;

namespace {

// Layers by what they stand on, each counted once, with how many images have it.
struct LayerUse {
  std::uint64_t bytes = 0;
  int images = 0;
};
using LayerUses = std::map<std::string, LayerUse>;  // by chain id

LayerUses layer_uses(const image::ImageStore& store, const std::set<std::string>& listed) {
  LayerUses uses;
  for (const image::ImagePtr& image : store.list()) {
    const std::vector<std::string> chain = image::chain_ids(image->diff_ids);
    for (std::size_t i = 0; i < chain.size(); ++i) {
      LayerUse& use = uses[chain[i]];
      use.bytes = store.layer_size_bytes(image->diff_ids[i]);
      if (listed.contains(image->id)) ++use.images;
    }
  }
  return uses;
}

std::uint64_t shared_bytes(const image::Image& image, const LayerUses& uses) {
  std::uint64_t bytes = 0;
  for (const std::string& chain_id : image::chain_ids(image.diff_ids)) {
    const auto use = uses.find(chain_id);
    if (use != uses.end() && use->second.images > 1) bytes += use->second.bytes;
  }
  return bytes;
}

Result<json::object> image_usage(Engine& engine) {
  const image::ImageStore& store = engine.images();
  LAB_TRY(const FilterSet filters, FilterSet::parse(""));
  LAB_TRY(json::array lines, list_images(store, filters, false));
  std::set<std::string> listed;
  for (const json::value& line : lines) listed.insert(text_of(line.as_object(), "Id"));
  const LayerUses uses = layer_uses(store, listed);
  for (json::value& value : lines) {
    json::object& line = value.as_object();
    const std::string id = text_of(line, "Id");
    line["Containers"] = engine.containers().users_of_image(id).size();
    if (auto image = store.by_id(id)) line["SharedSize"] = shared_bytes(**image, uses);
  }
  std::uint64_t total = 0;
  for (const auto& [chain_id, use] : uses) total += use.bytes;
  return json::object{{"LayersSize", total}, {"Images", std::move(lines)}};
}

asio::awaitable<Result<json::array>> container_usage(Engine& engine) {
  json::array lines;
  for (const ContainerPtr& container : engine.containers().list()) {
    const container::ContainerSizes sizes = co_await run_blocking<container::ContainerSizes>(
        [&engine, &container] { return container::measure(engine.containers(), *container); });
    lines.push_back(container::summarize(engine.containers(), *container, sizes));
  }
  co_return lines;
}

asio::awaitable<Result<json::array>> volume_usage(Engine& engine) {
  std::vector<std::string> names;
  for (const volume::Volume* volume : engine.volumes().list()) names.push_back(volume->name);
  json::array lines;
  for (const std::string& name : names) {
    const std::filesystem::path folder = engine.volumes().folder(name);
    const std::uint64_t bytes = co_await run_blocking<std::uint64_t>(
        [&folder] { return container::folder_size_bytes(folder); });
    const volume::Volume* volume = engine.volumes().find(name);
    if (volume == nullptr) continue;  // removed meanwhile
    json::object line = engine.volumes().settings(*volume);
    line["UsageData"] = json::object{{"RefCount", engine.containers().users_of_volume(name).size()},
                                     {"Size", bytes}};
    lines.push_back(std::move(line));
  }
  co_return lines;
}

asio::awaitable<Result<void>> disk_usage(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(json::object answer, image_usage(engine));
  LAB_CO_TRY(answer["Containers"], co_await container_usage(engine));
  LAB_CO_TRY(answer["Volumes"], co_await volume_usage(engine));
  answer["BuildCache"] = json::array();
  answer["BuilderSize"] = 0;
  co_return co_await respond_json(exchange, 200, std::move(answer));
}

asio::awaitable<Result<void>> changes(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(const ContainerPtr container, engine.containers().find(exchange.parameter("id")));
  LAB_CO_TRY(const std::vector<container::Change> found,
             co_await run_blocking<Result<std::vector<container::Change>>>([&engine, &container] {
               return container::changes_of(engine.containers(), *container);
             }));
  json::array lines;
  for (const container::Change& change : found) {
    lines.push_back(json::object{{"Path", change.path}, {"Kind", static_cast<int>(change.kind)}});
  }
  json::value answer = nullptr;
  if (!lines.empty()) answer = std::move(lines);
  co_return co_await respond_json(exchange, 200, std::move(answer));
}

// Blocks. The container's lock is held if it does not run: its files are mounted for this.
Result<void> write_files(const container::Containers& containers, const std::string& id,
                         bool mounted, const layer::TarSink& sink) {
  const container::RootfsPaths paths = containers.rootfs(id);
  if (!mounted) {
    LAB_TRY(const auto lowers, containers.lowers(id));
    LAB_CHECK(container::mount_rootfs(paths, lowers));
  }
  layer::PackOptions options;
  options.whiteouts = false;
  Result<void> packed;
  if (auto done = layer::pack_directory(paths.merged, options, sink); !done)
    packed = std::move(done).error();
  if (!mounted) container::unmount_rootfs(paths);
  return packed;
}

asio::awaitable<Result<void>> export_files(Engine& engine, http::Exchange& exchange) {
  LAB_CO_TRY(const ContainerPtr container, engine.containers().find(exchange.parameter("id")));
  AsyncMutex::Lock lock = co_await container->operation.lock();
  if (container->removed)
    co_return make_error(Code::not_found, "No such container: {}", container->id);
  const bool runs = container->state.running;
  if (runs) lock.unlock();
  const std::string id = container->id;
  WriteArchive write = [&engine, &id, runs](const layer::TarSink& sink) {
    return write_files(engine.containers(), id, runs, sink);
  };
  engine.containers().emit(*container, "export");
  co_return co_await send_archive(exchange, engine.executor(), std::move(write));
}

}  // namespace

void add_usage_routes(http::Router& router, Engine& engine) {
  add_route(router, engine, "GET", "/system/df", disk_usage);
  add_route(router, engine, "GET", "/containers/{id}/changes", changes);
  add_route(router, engine, "GET", "/containers/{id}/export", export_files);
}

}  // namespace lab::engine::api
