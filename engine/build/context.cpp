#include "engine/build/context.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "base/random.hpp"
#include "engine/build/ignore.hpp"
#include "engine/layer/tree.hpp"
#include "engine/layer/unpack.hpp"

namespace lab::engine::build {

namespace {

constexpr std::size_t dockerfile_bytes_max = std::size_t{8} << 20;
constexpr const char* default_dockerfile = "Dockerfile";
constexpr const char* ignore_file = ".dockerignore";

}  // namespace

BuildContext::BuildContext(const std::filesystem::path& parent)
    : root_(parent / ("context-" + secure_random_hex(8))) {}

BuildContext::~BuildContext() { static_cast<void>(layer::remove_tree(root_)); }

Result<void> BuildContext::unpack(layer::ByteSource& archive) {
  LAB_CHECK(make_directories(root_, 0700));
  const auto tar = layer::make_decompressor(archive);
  auto unpacked = layer::unpack_files(*tar, root_);
  if (unpacked) return {};
  return std::move(unpacked).error().wrap("Error processing tar file");
}

Result<void> BuildContext::put_dockerfile(std::string_view text) {
  LAB_CHECK(make_directories(root_, 0700));
  is_dockerfile_ = true;
  return write_file(root_ / default_dockerfile, text);
}

Result<void> BuildContext::adopt(const std::filesystem::path& folder, const std::string& inside) {
  LAB_TRY(const layer::Tree tree, layer::Tree::open(folder.string()));
  LAB_TRY(const std::string clean, layer::clean_path(inside));
  LAB_TRY(const Fd found, tree.existing_folder(clean));
  std::error_code failure;
  const std::filesystem::path path =
      std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", found.get()), failure);
  if (!failure) std::filesystem::rename(path, root_, failure);
  if (!failure) return {};
  return make_error(Code::internal, "moving {} to {}: {}", path.string(), root_.string(),
                    failure.message());
}

Result<std::string> BuildContext::read(const std::string& name) const {
  LAB_TRY(const std::string path, layer::clean_path(name));
  LAB_TRY(const layer::Tree tree, layer::Tree::open(root_.string()));
  LAB_TRY(Fd fd, tree.open_file(path));
  layer::FileSource source(std::move(fd));
  return layer::read_to_end(source, dockerfile_bytes_max);
}

Result<void> BuildContext::remove_ignored(const std::string& dockerfile) const {
  auto text = read(ignore_file);
  if (!text) return {};
  LAB_TRY(const IgnorePatterns ignore, IgnorePatterns::parse(*text));
  LAB_TRY(const layer::Tree tree, layer::Tree::open(root_.string()));
  for (const std::string& name : {std::string(ignore_file), dockerfile}) {
    LAB_TRY(const std::string path, layer::clean_path(name));
    if (path.empty() || !ignore.excludes(path)) continue;
    const auto [folder_path, file] = layer::split_path(path);
    auto folder = tree.existing_folder(folder_path);
    if (folder) LAB_CHECK(layer::remove_at(folder->get(), file));
  }
  return {};
}

Result<Dockerfile> BuildContext::take_dockerfile(const std::string& wanted) {
  std::string name = wanted.empty() || is_dockerfile_ ? default_dockerfile : wanted;
  auto text = read(name);
  if (!text && name == default_dockerfile && text.error().code == Code::not_found) {
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    text = read(name);
    if (!text) name = default_dockerfile;
  }
  if (!text && text.error().code == Code::not_found) {
    return make_error(Code::internal, "Cannot locate specified Dockerfile: {}", name);
  }
  if (!text) return std::move(text).error();
  if (text->empty()) return make_error(Code::internal, "the Dockerfile ({}) cannot be empty", name);
  LAB_TRY(Dockerfile file, parse_dockerfile(*text));
  LAB_CHECK(remove_ignored(name));
  return file;
}

}  // namespace lab::engine::build
