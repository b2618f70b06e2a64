#include "engine/registry/push.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/blocking.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "engine/image/compress_layer.hpp"

namespace lab::engine::registry {

namespace asio = boost::asio;
using image::ImagePtr;
using image::ImageStore;

namespace {

constexpr std::size_t piece_bytes = std::size_t{256} << 10;

// What is to be sent for one image.
struct Parcel {
  std::string manifest;
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first, as the image's diff ids
};

// A blob read piece by piece; each read is of the page cache or one disk access.
class FileBody {
 public:
  FileBody(Fd fd, Progress& progress, std::string id, std::uint64_t total)
      : fd_(std::move(fd)), progress_(progress), id_(std::move(id)), total_(total) {}

  Result<std::string> next() {
    if (progress_.abandoned()) return Error{Code::cancelled, "context canceled"};
    std::string piece(piece_bytes, '\0');
    ssize_t count = 0;
    do {
      count = ::read(fd_.get(), piece.data(), piece.size());
    } while (count < 0 && errno == EINTR);
    if (count < 0) return errno_error(errno, "reading a blob");
    piece.resize(static_cast<std::size_t>(count));
    sent_ += piece.size();
    if (!id_.empty() && !piece.empty()) progress_.layer("Pushing", id_, sent_, total_);
    return piece;
  }

 private:
  Fd fd_;
  Progress& progress_;
  std::string id_;
  std::uint64_t total_;
  std::uint64_t sent_ = 0;
};

asio::awaitable<Result<std::string>> next_piece(std::shared_ptr<FileBody> body) {
  co_return body->next();
}

Result<http::BodySource> open_blob(const std::string& path, Progress& progress,
                                   const std::string& id, std::uint64_t total) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(errno, "opening " + path);
  auto body = std::make_shared<FileBody>(std::move(fd), progress, id, total);
  return http::BodySource([body] { return next_piece(body); });
}

struct OneString {
  std::string text;
  bool given = false;
};

asio::awaitable<Result<std::string>> next_string(std::shared_ptr<OneString> body) {
  if (std::exchange(body->given, true)) co_return std::string();
  co_return body->text;
}

Result<http::BodySource> open_string(const std::string& text) {
  auto body = std::make_shared<OneString>(OneString{text});
  return http::BodySource([body] { return next_string(body); });
}

bool has_all_layers(const ImageStore& store, const image::Image& image, const Manifest& manifest) {
  if (manifest.config.digest != image.id) return false;
  if (manifest.layers.size() != image.diff_ids.size()) return false;
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    const auto blobs = store.layer_blobs(image.diff_ids[i]);
    const bool held = std::any_of(blobs.begin(), blobs.end(), [&](const auto& blob) {
      return blob.digest == manifest.layers[i].digest;
    });
    if (!held) return false;
  }
  return true;
}

// The manifest it came with if every blob of that is here, else a new one.
Result<Parcel> make_parcel(ImageStore& store, const image::Image& image) {
  Parcel parcel;
  LAB_TRY(const std::vector<ImageStore::StoredManifest> known, store.manifests_of(image.id));
  for (const ImageStore::StoredManifest& stored : known) {
    auto manifest = parse_manifest(stored.text, stored.media_type);
    if (manifest.has_error() || !has_all_layers(store, image, *manifest)) continue;
    return Parcel{stored.text, stored.media_type, manifest->config, manifest->layers};
  }
  for (const std::string& diff_id : image.diff_ids) {
    LAB_CHECK(image::compress_layer(store, diff_id));
    const auto blobs = store.layer_blobs(diff_id);
    parcel.layers.push_back(
        {std::string(docker_layer), blobs.front().digest, blobs.front().size_bytes});
  }
  parcel.media_type = docker_manifest;
  parcel.config = {std::string(docker_config), image.id, image.config_text.size()};
  parcel.manifest = make_docker_manifest(parcel.config, parcel.layers);
  return parcel;
}

Error push_error(const Error& error) {
  if (error.code == Code::cancelled) return error;
  return Error{Code::internal, error.message};
}

}  // namespace

struct Pusher::Job {
  const image::Reference& reference;
  Session& session;
  Progress& progress;
  std::optional<Error> error;
};

Pusher::Pusher(asio::any_io_executor executor, ImageStore& store, const Options& options)
    : executor_(executor),
      store_(store),
      options_(options),
      uploads_(executor, options.uploads_max) {}

asio::awaitable<Result<void>> Pusher::push(image::Reference reference, Credentials credentials,
                                           Progress& progress) {
  progress.status(fmt::format("The push refers to repository [{}]", reference.name()));
  const std::vector<ImageStore::NamedImage> names = store_.references();
  const bool known = std::any_of(names.begin(), names.end(), [&](const auto& named) {
    return named.reference.name() == reference.name();
  });
  if (!known) {
    co_return make_error(Code::not_found, "An image does not exist locally with the tag: {}",
                         reference.familiar_name());
  }
  LAB_CO_TRY(const std::vector<Host> hosts, hosts_for(reference.domain, options_, false));
  Result<void> outcome = Error{Code::internal, "no registry to send to"};
  for (const Host& host : hosts) {
    Session session(executor_, host, reference.path, credentials, true, options_);
    outcome = co_await session.ping();
    const bool reached = outcome.has_value();
    if (reached) {
      Job job{reference, session, progress, {}};
      outcome = co_await push_tags(job);
    }
    if (outcome.has_value()) co_return outcome;
    if (reached || !host.http_fallback) break;
    log::debug("push to {} failed, trying the next: {}", host.url.origin(),
               outcome.error().message);
  }
  co_return push_error(outcome.error());
}

asio::awaitable<Result<void>> Pusher::push_tags(Job& job) {
  bool any = false;
  for (const ImageStore::NamedImage& named : store_.references()) {
    if (named.reference.name() != job.reference.name() || !named.reference.digest.empty()) continue;
    if (!job.reference.tag.empty() && named.reference.tag != job.reference.tag) continue;
    any = true;
    LAB_CO_TRY(const ImagePtr image, store_.by_id(named.image_id));
    LAB_CO_CHECK(co_await push_image(job, named.reference, image));
  }
  if (!any) {
    co_return make_error(Code::not_found, "tag does not exist: {}", job.reference.familiar());
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> Pusher::push_image(Job& job, image::Reference tagged,
                                                 ImagePtr image) {
  const ImageStore::Guard guard(store_);
  for (std::size_t i = image->diff_ids.size(); i > 0; --i) {
    job.progress.layer("Preparing", image::short_id(image->diff_ids[i - 1]));
  }
  std::function<Result<Parcel>()> make = [this, &image] { return make_parcel(store_, *image); };
  LAB_CO_TRY(const Parcel parcel, co_await run_blocking(std::move(make)));
  TaskGroup group(executor_);
  std::set<std::string> sent;
  for (std::size_t i = image->diff_ids.size(); i > 0; --i) {
    if (!sent.insert(parcel.layers[i - 1].digest).second) continue;
    group.spawn(push_layer(job, image->diff_ids[i - 1], parcel.layers[i - 1]));
  }
  co_await group.wait();
  if (job.error) co_return *job.error;
  LAB_CO_TRY(const bool config_there, co_await job.session.has_blob(parcel.config.digest));
  if (!config_there) {
    Session::OpenBody open = [&image] { return open_string(image->config_text); };
    LAB_CO_CHECK(co_await job.session.upload_blob(parcel.config.digest, image->config_text.size(),
                                                  std::move(open)));
  }
  LAB_CO_TRY(const std::string digest,
             co_await job.session.put_manifest(tagged.tag, parcel.manifest, parcel.media_type));
  job.progress.status(
      fmt::format("{}: digest: {} size: {}", tagged.tag, digest, parcel.manifest.size()));
  boost::json::object aux;
  aux["Tag"] = tagged.tag;
  aux["Digest"] = digest;
  aux["Size"] = parcel.manifest.size();
  job.progress.aux(std::move(aux));
  image::Reference by_digest = tagged;
  by_digest.tag.clear();
  by_digest.digest = digest;
  LAB_CO_CHECK(store_.add_pushed(image->id, by_digest, parcel.manifest, parcel.media_type));
  store_.emit({"push", tagged.familiar(), tagged.familiar_name()});
  co_return Result<void>{};
}

asio::awaitable<void> Pusher::push_layer(Job& job, std::string diff_id, Descriptor blob) {
  const Semaphore::Permit permit = co_await uploads_.acquire();
  if (job.error || job.progress.abandoned()) co_return;
  auto outcome = co_await transfer_layer(job, std::move(diff_id), std::move(blob));
  if (outcome.has_error() && !job.error) job.error = outcome.error();
}

asio::awaitable<Result<void>> Pusher::transfer_layer(Job& job, std::string diff_id,
                                                     Descriptor blob) {
  const std::string id = image::short_id(diff_id);
  LAB_CO_TRY(const bool there, co_await job.session.has_blob(blob.digest));
  if (there) {
    job.progress.layer("Layer already exists", id);
    co_return Result<void>{};
  }
  LAB_CO_TRY(const bool mounted, co_await mount_layer(job, diff_id, blob));
  if (mounted) co_return Result<void>{};
  const std::string path = store_.blob_path(blob.digest).string();
  Session::OpenBody open = [&] { return open_blob(path, job.progress, id, blob.size_bytes); };
  LAB_CO_CHECK(co_await job.session.upload_blob(blob.digest, blob.size_bytes, std::move(open)));
  job.progress.layer("Pushed", id);
  co_return Result<void>{};
}

// Another repository of the same registry that an image with this layer came from or went to.
asio::awaitable<Result<bool>> Pusher::mount_layer(Job& job, std::string diff_id, Descriptor blob) {
  std::set<std::string> candidates;
  for (const ImageStore::NamedImage& named : store_.references()) {
    const image::Reference& name = named.reference;
    if (name.domain != job.reference.domain || name.path == job.reference.path) continue;
    if (name.digest.empty()) continue;  // only what was pulled or pushed is known to be there
    const auto image = store_.by_id(named.image_id);
    if (image.has_error()) continue;
    const std::vector<std::string>& layers = (*image)->diff_ids;
    if (std::find(layers.begin(), layers.end(), diff_id) != layers.end()) {
      candidates.insert(name.path);
    }
  }
  constexpr int tries_max = 3;
  int tries = 0;
  for (const std::string& from : candidates) {
    if (++tries > tries_max) break;
    LAB_CO_TRY(const bool mounted, co_await job.session.mount_blob(blob.digest, from));
    if (!mounted) continue;
    job.progress.layer("Mounted from " + from, image::short_id(diff_id));
    co_return true;
  }
  co_return false;
}

}  // namespace lab::engine::registry
