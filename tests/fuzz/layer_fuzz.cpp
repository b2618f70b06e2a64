#include <cstdlib>

#include "base/file.hpp"
#include "engine/layer/pack.hpp"
#include "engine/layer/unpack.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view untouched = "untouched";

// Beside the folder that a tar may fill stands one that it must not.
class Yard {
 public:
  Yard() {
    fs::create_directory(inside());
    fs::create_directory(outside());
    if (!write_file(outside() / "file", untouched)) std::abort();
  }
  void check() const {
    const auto file = read_file(outside() / "file");
    std::error_code failure;
    const auto names = std::distance(fs::directory_iterator(folder_.path(), failure), {});
    const auto outside_names = std::distance(fs::directory_iterator(outside(), failure), {});
    if (!file || *file != untouched || names != 2 || outside_names != 1) std::abort();
  }
  [[nodiscard]] fs::path inside() const { return folder_.path() / "inside"; }
  [[nodiscard]] fs::path outside() const { return folder_.path() / "outside"; }

 private:
  TemporaryDirectory folder_;
};

// What was unpacked is packed and unpacked again: the same comes out.
void repack(const fs::path& folder) {
  const auto first = engine::layer::digest_of_layer(folder);
  if (!first) return;
  const Yard again;
  std::string tar;
  engine::layer::PackOptions options;
  const auto packed =
      engine::layer::pack_directory(folder, options, [&tar](std::string_view piece) {
        tar += piece;
        return tar.size() > (std::size_t{8} << 20) ? Result<void>(Error{}) : Result<void>();
      });
  if (!packed) return;
  engine::layer::StringSource source(tar);
  if (!engine::layer::unpack_layer(source, again.inside())) std::abort();
  const auto second = engine::layer::digest_of_layer(again.inside());
  if (!second || second->diff_id != first->diff_id) std::abort();
}

}  // namespace

void layer(std::string_view bytes) {
  for (const bool layer : {true, false}) {
    const Yard yard;
    engine::layer::StringSource source(bytes);
    const auto plain = engine::layer::make_decompressor(source);
    const auto unpacked = layer ? engine::layer::unpack_layer(*plain, yard.inside())
                                : engine::layer::unpack_files(*plain, yard.inside());
    yard.check();
    if (layer && unpacked) repack(yard.inside());
    static_cast<void>(engine::layer::remove_tree(yard.inside()));
  }
}

}  // namespace lab::fuzz
