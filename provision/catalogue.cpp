#include "provision/catalogue.hpp"

#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include <boost/json.hpp>
#include <charconv>
#include <cstdio>
#include <memory>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "provision/catalogue_recipe.hpp"
#include "provision/image_layout.hpp"

namespace lab::provision {

namespace json = boost::json;
namespace fs = std::filesystem;

namespace {

constexpr std::chrono::minutes build_timeout{20};
constexpr int lock_timeout_ms = 30 * 60 * 1000;

std::string architecture() {
  utsname name{};
  uname(&name);
  const std::string_view machine = name.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return name.machine;
}

struct PackedLayer {
  Blob blob;            // compressed
  std::string diff_id;  // digest of the tar
};

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

Result<File> open_file(const fs::path& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode));
  if (!file) return errno_error(errno, fmt::format("opening {}", path.string()));
  return file;
}

// zlib's own gzip writer: no name and no time in the header, so the same tar gives the same bytes.
class GzipFile {
 public:
  explicit GzipFile(File file) : file_(std::move(file)) {
    deflateInit2(&stream_, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  }
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;
  ~GzipFile() { deflateEnd(&stream_); }

  // False when the file cannot be written.
  bool write(std::string_view bytes, bool last) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(output_.data());
      stream_.avail_out = static_cast<uInt>(output_.size());
      deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH);
      const std::string_view piece(output_.data(), output_.size() - stream_.avail_out);
      hash_.update(piece);
      size_ += piece.size();
      if (std::fwrite(piece.data(), 1, piece.size(), file_.get()) != piece.size()) return false;
    } while (stream_.avail_out == 0);
    return !last || std::fflush(file_.get()) == 0;
  }
  Blob finish() { return Blob{"sha256:" + to_hex(hash_.finish()), size_}; }

 private:
  File file_;
  z_stream stream_{};
  std::string output_ = std::string(256 * 1024, '\0');
  Sha256 hash_;
  std::uint64_t size_ = 0;
};

Result<PackedLayer> compress_layer(const fs::path& tar, const fs::path& output) {
  LAB_TRY(File input, open_file(tar, "rb"));
  LAB_TRY(File file, open_file(output, "wb"));
  GzipFile gzip(std::move(file));
  Sha256 diff;
  std::string buffer(1024 * 1024, '\0');
  for (bool last = false; !last;) {
    const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), input.get());
    if (std::ferror(input.get()) != 0) {
      return errno_error(errno, fmt::format("reading {}", tar.string()));
    }
    last = got < buffer.size();
    const std::string_view piece(buffer.data(), got);
    diff.update(piece);
    if (!gzip.write(piece, last)) {
      return errno_error(errno, fmt::format("writing {}", output.string()));
    }
  }
  return PackedLayer{gzip.finish(), "sha256:" + to_hex(diff.finish())};
}

Result<json::object> read_json(const ImageLayout& layout, std::string_view digest) {
  LAB_TRY(std::string text, read_file(layout.blob_path(digest)));
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object()) {
    return make_error(Code::internal, "blob {} of {} is not a JSON object", digest,
                      layout.folder().string());
  }
  return std::move(value.as_object());
}

// What lies below a new layer: the base image's layers, or nothing.
struct Below {
  json::array layers;    // of the manifest
  json::array diff_ids;  // of the config
  json::array history;
};

class Builder {
 public:
  Builder(ImageLayout& layout, const CatalogueProgress& progress, std::stop_token stop = {})
      : layout_(layout), progress_(progress), stop_(std::move(stop)) {}

  // Builds the recipe, and what it builds upon, unless the layout has them.
  Result<void> ensure(const std::string& name) {
    LAB_TRY(Recipe recipe, load_recipe(name));
    if (!recipe.base.empty()) LAB_CHECK(ensure(recipe.base));
    LAB_TRY(std::vector<TaggedImage> images, layout_.images());
    if (present(recipe, images)) return {};
    if (progress_) progress_(fmt::format("building image {} from packages (once)", name));
    Result<void> built = build(recipe);
    if (!built) return built.error().wrap("building image {}", name);
    return {};
  }

  // Whether the images hold the recipe's, whole.
  bool present(const Recipe& recipe, const std::vector<TaggedImage>& images) const {
    for (const TaggedImage& image : images) {
      if (image.repository == recipe.name) {
        return image.recipe == recipe.hash && layout_.has_blob(image.manifest) &&
               has_parts(image.manifest);
      }
    }
    return false;
  }

 private:
  bool has_parts(const Blob& manifest) const {
    Result<json::object> object = read_json(layout_, manifest.digest);
    if (!object) return false;
    const auto there = [&](const json::value& part) {
      return layout_.has_blob(Blob{std::string(part.at("digest").as_string()),
                                   part.at("size").to_number<std::uint64_t>()});
    };
    try {
      const json::array& layers = object->at("layers").as_array();
      return there(object->at("config")) && std::all_of(layers.begin(), layers.end(), there);
    } catch (const std::exception&) {
      return false;  // not a manifest: as if it were not there
    }
  }

  Result<Below> below(const Recipe& recipe) const {
    Below below;
    if (recipe.base.empty()) return below;
    LAB_TRY(std::vector<TaggedImage> images, layout_.images());
    auto base = std::find_if(images.begin(), images.end(), [&](const TaggedImage& image) {
      return image.repository == recipe.base;
    });
    if (base == images.end()) {
      return make_error(Code::internal, "its base {} is not in the catalogue", recipe.base);
    }
    LAB_TRY(json::object manifest, read_json(layout_, base->manifest.digest));
    LAB_TRY(json::object config,
            read_json(layout_, manifest.at("config").at("digest").as_string()));
    below.layers = manifest.at("layers").as_array();
    below.diff_ids = config.at("rootfs").at("diff_ids").as_array();
    below.history = config.at("history").as_array();
    return below;
  }

  Result<void> run_script(const Recipe& recipe, const fs::path& work) const {
    LAB_CHECK(make_directories(work / "files"));
    for (const auto& [file, content] : recipe.files) {
      LAB_CHECK(make_directories((work / "files" / file).parent_path()));
      LAB_CHECK(write_file(work / "files" / file, content));
    }
    LAB_CHECK(write_file(work / "build.sh", recipe.build));
    Command command{.argv = {"sh", "build.sh"},
                    .working_directory = work.string(),
                    .timeout = build_timeout,
                    .merge_stderr = true,
                    .stop = stop_};
    LAB_CHECK(run_checked(command));
    if (!fs::exists(work / "layer.tar")) {
      return make_error(Code::internal, "its build.sh made no layer.tar");
    }
    return {};
  }

  Result<void> build(const Recipe& recipe) {
    const fs::path work = layout_.folder() / "work" / recipe.name;
    std::error_code ignored;
    fs::remove_all(work, ignored);
    LAB_CHECK(run_script(recipe, work));
    LAB_TRY(PackedLayer layer, compress_layer(work / "layer.tar", work / "layer.tar.gz"));
    LAB_CHECK(layout_.adopt(work / "layer.tar.gz", layer.blob));
    LAB_TRY(std::string created, created_at(work));
    LAB_TRY(Blob manifest, put_manifest(recipe, layer, created));

    std::vector<TaggedImage> images;
    LAB_TRY(std::vector<std::string> tags, tags_of(recipe, work));
    for (const std::string& tag : tags) {
      images.push_back({recipe.name, tag, manifest, std::string(manifest_media_type), recipe.hash});
    }
    LAB_CHECK(layout_.replace_repository(recipe.name, images));
    fs::remove_all(work, ignored);
    return {};
  }

  static Result<std::string> created_at(const fs::path& work) {
    LAB_TRY(std::string text, read_file(work / "created"));
    std::int64_t seconds = 0;
    std::from_chars(text.data(), text.data() + text.size(), seconds);
    return format_rfc3339(WallTime(std::chrono::seconds(seconds)));
  }

  static Result<std::vector<std::string>> tags_of(const Recipe& recipe, const fs::path& work) {
    if (!recipe.tags.empty()) return recipe.tags;
    LAB_TRY(std::string text, read_file(work / "tags"));
    std::vector<std::string> tags;
    for (std::size_t start = 0; start < text.size();) {
      const std::size_t end = std::min(text.find('\n', start), text.size());
      if (end > start) tags.push_back(text.substr(start, end - start));
      start = end + 1;
    }
    if (tags.empty()) return make_error(Code::internal, "its build.sh told no tags");
    return tags;
  }

  Result<Blob> put_manifest(const Recipe& recipe, const PackedLayer& layer,
                            const std::string& created) {
    LAB_TRY(Below parts, below(recipe));
    parts.diff_ids.push_back(json::string(layer.diff_id));
    parts.history.push_back(
        {{"created", created}, {"created_by", "swarmlab catalogue: " + recipe.name}});
    json::object config{{"architecture", architecture()},
                        {"os", "linux"},
                        {"created", created},
                        {"config", recipe.config},
                        {"rootfs", {{"type", "layers"}, {"diff_ids", std::move(parts.diff_ids)}}},
                        {"history", std::move(parts.history)}};
    LAB_TRY(Blob config_blob, layout_.put(json::serialize(config)));
    parts.layers.push_back({{"mediaType", layer_media_type},
                            {"size", layer.blob.size_bytes},
                            {"digest", layer.blob.digest}});
    json::object manifest{{"schemaVersion", 2},
                          {"mediaType", manifest_media_type},
                          {"config",
                           {{"mediaType", config_media_type},
                            {"size", config_blob.size_bytes},
                            {"digest", config_blob.digest}}},
                          {"layers", std::move(parts.layers)}};
    return layout_.put(json::serialize(manifest));
  }

  ImageLayout& layout_;
  const CatalogueProgress& progress_;
  std::stop_token stop_;
};

// Whether all of it is there; needs no lock.
Result<bool> all_present(ImageLayout& layout, const std::vector<std::string>& names) {
  const CatalogueProgress silent;
  Builder builder(layout, silent);
  LAB_TRY(std::vector<TaggedImage> images, layout.images());
  for (const std::string& name : names) {
    LAB_TRY(Recipe recipe, load_recipe(name));
    if (!builder.present(recipe, images)) return false;
  }
  return true;
}

Result<Fd> lock(const fs::path& dir, const CatalogueProgress& progress) {
  Result<Fd> held = lock_file(dir / "lock", 0);
  if (held || held.error().code != Code::conflict) return held;
  if (progress) progress("waiting for another process that builds images");
  return lock_file(dir / "lock", lock_timeout_ms);
}

}  // namespace

Result<void> ensure_catalogue(const fs::path& dir, const std::vector<std::string>& names,
                              const CatalogueProgress& progress, const std::stop_token& stop) {
  ImageLayout layout(dir);
  LAB_TRY(bool present, all_present(layout, names));
  if (present) return {};
  LAB_CHECK(layout.create());
  LAB_TRY(Fd held, lock(dir, progress));
  Builder builder(layout, progress, stop);
  std::optional<Error> failure;
  for (const std::string& name : names) {
    Result<void> ensured = builder.ensure(name);
    if (!ensured && !failure) failure = ensured.error();
  }
  std::error_code ignored;
  fs::remove_all(dir / "work", ignored);
  layout.remove_unused_blobs();
  if (failure) return *failure;
  return {};
}

}  // namespace lab::provision
