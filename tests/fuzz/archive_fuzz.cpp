#include <memory>

#include "base/file.hpp"
#include "engine/image/archive.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {

namespace {

// One store for all inputs: opening one takes longer than loading.
struct Store {
  Store() {
    engine::image::StoreOptions options;
    options.data_root = folder.path();
    auto opened = engine::image::ImageStore::open(options, clock);
    if (!opened) std::abort();
    store = std::move(*opened);
  }
  TemporaryDirectory folder;
  SystemClock clock;
  std::unique_ptr<engine::image::ImageStore> store;
};

}  // namespace

void archive(std::string_view bytes) {
  static Store shared;
  engine::image::ImageStore& store = *shared.store;
  engine::layer::StringSource source(bytes);
  static_cast<void>(engine::image::load_images(store, source));
  for (const engine::image::ImagePtr& image : store.list())
    static_cast<void>(store.remove(image->id, true, true));
  static_cast<void>(store.collect());
  if (!std::filesystem::is_empty(store.temporary_directory()) || !store.list().empty())
    std::abort();
}

}  // namespace lab::fuzz
