#include "engine/image/archive.hpp"

#include <sys/stat.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/random.hpp"
#include "engine/image/compress_layer.hpp"
#include "engine/layer/pack.hpp"
#include "engine/layer/tree.hpp"
#include "engine/layer/unpack.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::image {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

constexpr std::size_t manifest_bytes_max = std::size_t{16} << 20;

struct Selected {
  ImagePtr image;
  std::vector<Reference> tags;
};

// Every image once, in the order of the names.
class Selection {
 public:
  explicit Selection(const ImageStore& store) : store_(store) {}

  Result<void> add(const std::string& name) {
    const auto image = store_.resolve(name);
    auto reference = parse_reference(name);
    const bool by_name = reference.has_value() && reference->is_name_only();
    bool found = false;
    for (const ImageStore::NamedImage& named : store_.references()) {
      if (!by_name || named.reference.name() != reference->name()) continue;
      if (!named.reference.digest.empty()) continue;
      LAB_TRY(const ImagePtr tagged, store_.by_id(named.image_id));
      put(tagged, named.reference);
      found = true;
    }
    if (found) return {};
    if (image.has_error()) return make_error(Code::not_found, "No such image: {}", name);
    const bool is_id = digest_hex((*image)->id).starts_with(digest_hex(name));
    if (is_id || !reference.has_value() || !reference->digest.empty()) {
      put(*image, {});
    } else {
      put(*image, *reference);
    }
    return {};
  }
  [[nodiscard]] const std::vector<Selected>& images() const { return images_; }

 private:
  void put(const ImagePtr& image, const Reference& tag) {
    auto found = std::find_if(images_.begin(), images_.end(), [&](const Selected& selected) {
      return selected.image->id == image->id;
    });
    if (found == images_.end()) found = images_.insert(images_.end(), {image, {}});
    if (!tag.path.empty()) found->tags.push_back(tag);
  }

  const ImageStore& store_;
  std::vector<Selected> images_;
};

class Saver {
 public:
  Saver(const ImageStore& store, const layer::TarSink& sink) : store_(store), tar_(sink) {}

  Result<void> add(const Selected& selected) {
    const Image& image = *selected.image;
    const std::vector<std::string> chain = chain_ids(image.diff_ids);
    json::array layers;
    for (std::size_t i = 0; i < chain.size(); ++i) {
      const std::string folder(digest_hex(chain[i]));
      layers.emplace_back(folder + "/layer.tar");
      if (written_.insert(folder).second) LAB_CHECK(add_layer(folder, image.diff_ids[i]));
    }
    const std::string config = std::string(digest_hex(image.id)) + ".json";
    LAB_CHECK(tar_.file(config, image.config_text));
    json::array tags;
    for (const Reference& tag : selected.tags) {
      tags.emplace_back(tag.familiar());
      if (chain.empty()) continue;
      json::value& repository = repositories_[tag.familiar_name()];
      if (!repository.is_object()) repository = json::object();
      repository.get_object()[tag.tag] = digest_hex(chain.back());
    }
    json::object entry;
    entry["Config"] = config;
    entry["RepoTags"] = tags.empty() ? json::value(nullptr) : json::value(std::move(tags));
    entry["Layers"] = std::move(layers);
    manifest_.push_back(std::move(entry));
    return {};
  }

  Result<void> finish() {
    LAB_CHECK(tar_.file("manifest.json", json::serialize(manifest_)));
    if (!repositories_.empty()) {
      LAB_CHECK(tar_.file("repositories", json::serialize(repositories_)));
    }
    return tar_.finish();
  }

 private:
  Result<void> add_layer(const std::string& folder, const std::string& diff_id) {
    std::uint64_t size = 0;
    const layer::TarSink count = [&size](std::string_view bytes) {
      size += bytes.size();
      return Result<void>{};
    };
    LAB_CHECK(write_layer_tar(store_, diff_id, count));
    layer::TarEntry directory;
    directory.name = folder + "/";
    directory.mode = S_IFDIR | 0755;
    LAB_CHECK(tar_.header(directory));
    LAB_CHECK(tar_.file(folder + "/VERSION", "1.0"));
    layer::TarEntry entry;
    entry.name = folder + "/layer.tar";
    entry.mode = S_IFREG | 0644;
    entry.size_bytes = size;
    LAB_CHECK(tar_.header(entry));
    const layer::TarSink copy = [this](std::string_view bytes) { return tar_.data(bytes); };
    return write_layer_tar(store_, diff_id, copy);
  }

  const ImageStore& store_;
  layer::TarWriter tar_;
  std::set<std::string> written_;
  json::array manifest_;
  json::object repositories_;
};

// A loaded archive's files, unpacked below the store's temporary folder while the object lives.
class Unpacked {
 public:
  explicit Unpacked(const ImageStore& store)
      : root_(store.temporary_directory() / ("load-" + secure_random_hex(8))) {}
  Unpacked(const Unpacked&) = delete;
  Unpacked& operator=(const Unpacked&) = delete;
  ~Unpacked() { static_cast<void>(layer::remove_tree(root_)); }

  Result<void> fill(layer::ByteSource& archive) {
    LAB_CHECK(make_directories(root_, 0700));
    const auto tar = layer::make_decompressor(archive);
    LAB_CHECK(layer::unpack_layer(*tar, root_));
    return {};
  }
  // Links in the archive are followed, but not out of it.
  [[nodiscard]] Result<Fd> open(const std::string& name) const {
    LAB_TRY(const std::string clean, layer::clean_path(name));
    LAB_TRY(const layer::Tree tree, layer::Tree::open(root_.string()));
    return tree.open_file(clean);
  }
  [[nodiscard]] Result<std::string> read(const std::string& name) const {
    LAB_TRY(Fd fd, open(name));
    layer::FileSource source(std::move(fd));
    return layer::read_to_end(source, manifest_bytes_max);
  }
  [[nodiscard]] const fs::path& root() const { return root_; }

 private:
  fs::path root_;
};

class Loader {
 public:
  Loader(ImageStore& store, const Unpacked& files) : store_(store), files_(files) {}

  Result<std::vector<LoadedImage>> run() {
    auto text = files_.read("manifest.json");
    if (text.has_error()) {
      return Error{Code::invalid_argument, "the archive has no manifest.json: it is not an image"};
    }
    boost::system::error_code failure;
    const json::value manifest = json::parse(*text, failure);
    if (failure || !manifest.is_array()) {
      return Error{Code::invalid_argument, "the archive's manifest.json is not a JSON list"};
    }
    for (const json::value& entry : manifest.get_array()) {
      if (!entry.is_object()) {
        return Error{Code::invalid_argument, "the archive's manifest.json lists no objects"};
      }
      LAB_CHECK(load(entry.get_object()));
    }
    return loaded_;
  }

 private:
  Result<void> load(const json::object& entry) {
    ImageStore::NewImage image;
    LAB_TRY(image.config_text, files_.read(text_of(entry, "Config")));
    LAB_TRY(const std::vector<std::string> diff_ids, diff_ids_of_config(image.config_text));
    const std::vector<std::string> layers = texts_of(entry, "Layers");
    if (layers.size() != diff_ids.size()) {
      return make_error(Code::invalid_argument,
                        "invalid manifest, layers length mismatch: expected {}, got {}",
                        layers.size(), diff_ids.size());
    }
    for (std::size_t i = 0; i < layers.size(); ++i) LAB_CHECK(load_layer(layers[i], diff_ids[i]));
    for (const std::string& tag : texts_of(entry, "RepoTags")) {
      LAB_TRY(Reference reference, parse_reference_with_default_tag(tag));
      image.references.push_back(std::move(reference));
    }
    LAB_TRY(const ImagePtr added, store_.add_image(image));
    for (const Reference& reference : image.references) {
      loaded_.push_back({reference.familiar(), added->id, true});
    }
    if (image.references.empty()) loaded_.push_back({added->id, added->id, false});
    return {};
  }

  Result<void> load_layer(const std::string& name, const std::string& diff_id) {
    if (store_.has_layer(diff_id)) return {};
    ImageStore::NewLayer layer;
    layer.diff_id = diff_id;
    const std::string place = "load-" + secure_random_hex(8);
    layer.directory = store_.temporary_directory() / (place + ".layer");
    layer.blob_file = store_.temporary_directory() / (place + ".blob");
    auto done = unpack(name, layer);
    if (done.has_value()) done = store_.add_layer(layer);
    if (done.has_error()) {
      static_cast<void>(layer::remove_tree(layer.directory));
      static_cast<void>(layer::remove_tree(layer.blob_file));
    }
    return done;
  }

  // The tar itself is kept (compressed): packing the folder again would give other bytes.
  Result<void> unpack(const std::string& name, ImageStore::NewLayer& layer) {
    LAB_CHECK(make_directories(layer.directory, 0755));
    LAB_TRY(Fd fd, files_.open(name));
    layer::FileSource file(std::move(fd));
    const auto tar = layer::make_decompressor(file);
    LAB_TRY(GzipFile gzip, GzipFile::create(layer.blob_file, GzipFile::fast));
    layer::TeeSource tee(*tar, [&gzip](std::string_view bytes) { return gzip.write(bytes); });
    layer::HashingSource hashing(tee);
    LAB_TRY(const layer::UnpackResult unpacked, layer::unpack_layer(hashing, layer.directory));
    if (hashing.digest() != layer.diff_id) {
      return make_error(Code::invalid_argument, "{} does not have the digest {}", name,
                        layer.diff_id);
    }
    layer.size_bytes = unpacked.size_bytes;
    LAB_TRY(layer.blob, gzip.finish());
    layer.media_type = gzip_media_type;
    return {};
  }

  ImageStore& store_;
  const Unpacked& files_;
  std::vector<LoadedImage> loaded_;
};

}  // namespace

Result<void> write_layer_tar(const ImageStore& store, const std::string& diff_id,
                             const layer::TarSink& sink) {
  const std::vector<ImageStore::LayerBlob> blobs = store.layer_blobs(diff_id);
  if (blobs.empty()) {
    LAB_TRY(const fs::path folder, store.layer_directory(diff_id));
    LAB_CHECK(layer::pack_directory(folder, layer::PackOptions{}, sink));
    return {};
  }
  LAB_TRY(layer::FileSource file,
          layer::FileSource::open(store.blob_path(blobs.front().digest).string()));
  const auto tar = layer::make_decompressor(file);
  std::string buffer(std::size_t{128} << 10, '\0');
  while (true) {
    LAB_TRY(const std::size_t count, tar->read(buffer.data(), buffer.size()));
    if (count == 0) return {};
    LAB_CHECK(sink(std::string_view(buffer).substr(0, count)));
  }
}

Result<void> save_images(const ImageStore& store, const std::vector<std::string>& names,
                         const layer::TarSink& sink) {
  Selection selection(store);
  for (const std::string& name : names) LAB_CHECK(selection.add(name));
  Saver saver(store, sink);
  for (const Selected& selected : selection.images()) LAB_CHECK(saver.add(selected));
  return saver.finish();
}

Result<std::vector<LoadedImage>> load_images(ImageStore& store, layer::ByteSource& archive) {
  const ImageStore::Guard guard(store);
  Unpacked files(store);
  LAB_CHECK(files.fill(archive));
  Loader loader(store, files);
  return loader.run();
}

}  // namespace lab::engine::image
