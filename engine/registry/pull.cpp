#include "engine/registry/pull.hpp"

#include "base/blocking.hpp"
#include "base/log.hpp"
#include "engine/registry/pipe.hpp"
#include "engine/registry/unpack_blob.hpp"

namespace lab::engine::registry {

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t config_bytes_max = std::size_t{16} << 20;
constexpr std::size_t piece_bytes = std::size_t{128} << 10;
constexpr std::size_t pipe_bytes_max = std::size_t{4} << 20;
constexpr int attempts_max = 5;
constexpr std::chrono::milliseconds poll_interval{50};

// What the unpacking thread reports. Read by the loop once `done` is set, which the loop does.
struct Unpacked {
  Result<image::ImageStore::NewLayer> layer = Error{Code::internal, "not unpacked"};
  bool done = false;
};

asio::awaitable<void> unpack_on_pool(Pipe& pipe, Descriptor descriptor, std::string diff_id,
                                     fs::path place, Unpacked& outcome, Signal& done) {
  std::function<void()> work = [&] {
    outcome.layer = unpack_blob(pipe.source(), descriptor, diff_id, place);
    if (outcome.layer.has_error()) pipe.fail_reader(outcome.layer.error());
  };
  co_await run_on_pool(std::move(work));
  outcome.done = true;
  done.notify_all();
}

}  // namespace

struct Puller::Layer {
  Descriptor descriptor;
  std::string diff_id;
};

// The pull of one image from one host.
struct Puller::Job {
  const image::Reference& reference;
  Session& session;
  Progress& progress;
  Manifest manifest;
  std::string manifest_text;  // the image's own, not the list's
  std::vector<Layer> layers;
  std::optional<Error> error;  // the first one; the other layers stop

  [[nodiscard]] bool stopped() const { return error || progress.abandoned(); }
};

Error pull_error(const Error& error, const image::Reference& reference) {
  const std::string_view text = error.message;
  if (text.starts_with("denied: ")) {
    return make_error(Code::not_found,
                      "pull access denied for {}, repository does not exist or may require "
                      "'docker login': {}",
                      reference.familiar_name(), text);
  }
  if (text.starts_with("manifest unknown: ")) {
    return make_error(Code::not_found, "manifest for {} not found: {}", reference.familiar(), text);
  }
  if (text.starts_with("name unknown: ")) {
    return make_error(Code::not_found, "repository {} not found: {}", reference.familiar_name(),
                      text);
  }
  if (error.code == Code::cancelled) return error;
  return Error{Code::internal, error.message};
}

Puller::Puller(asio::any_io_executor executor, image::ImageStore& store, const Options& options,
               const Clock& clock)
    : executor_(executor),
      store_(store),
      options_(options),
      clock_(clock),
      downloads_(executor, options.downloads_max),
      layer_ended_(executor) {}

asio::awaitable<Result<void>> Puller::pull(image::Reference reference, Credentials credentials,
                                           Progress& progress) {
  LAB_CO_TRY(const std::vector<Host> hosts, hosts_for(reference.domain, options_, true));
  Result<bool> outcome = Error{Code::internal, "no registry to ask"};
  for (const Host& host : hosts) {
    Session session(executor_, host, reference.path, credentials, false, options_);
    const auto ping = co_await session.ping();
    const bool reached = ping.has_value();
    if (reached) {
      outcome = co_await pull_tags(session, reference, progress);
    } else {
      outcome = ping.error();
    }
    if (outcome.has_value()) {
      progress.status(fmt::format("Status: {} for {}",
                                  *outcome ? "Downloaded newer image" : "Image is up to date",
                                  reference.familiar()));
      co_return Result<void>{};
    }
    if (progress.abandoned()) co_return outcome.error();
    if (!host.mirror && (reached || !host.http_fallback)) break;
    log::info("pull of {} from {} failed, trying the next: {}", reference.familiar(),
              host.url.origin(), outcome.error().message);
  }
  co_return pull_error(outcome.error(), reference);
}

asio::awaitable<Result<bool>> Puller::pull_tags(Session& session, image::Reference reference,
                                                Progress& progress) {
  std::vector<image::Reference> wanted{reference};
  if (reference.is_name_only()) {
    LAB_CO_TRY(const std::vector<std::string> tags, co_await session.tags());
    wanted.clear();
    for (const std::string& tag : tags) {
      wanted.push_back(reference);
      wanted.back().tag = tag;
    }
  }
  bool any_news = false;
  for (const image::Reference& one : wanted) {
    Job job{one, session, progress, {}, {}, {}, {}};
    LAB_CO_TRY(const bool news, co_await pull_image(job));
    any_news = any_news || news;
  }
  co_return any_news;
}

asio::awaitable<Result<FetchedManifest>> Puller::image_manifest(Job& job) {
  const image::Reference& reference = job.reference;
  const std::string name = reference.digest.empty() ? reference.tag : reference.digest;
  LAB_CO_TRY(FetchedManifest top, co_await job.session.manifest(name));
  LAB_CO_TRY(const bool is_list, is_manifest_list(top.text, top.media_type));
  job.manifest_text = top.text;
  std::string media_type = top.media_type;
  if (is_list) {
    LAB_CO_TRY(const ManifestList list, parse_manifest_list(top.text, top.media_type));
    LAB_CO_TRY(const Descriptor chosen, list.for_this_machine());
    LAB_CO_TRY(FetchedManifest child, co_await job.session.manifest(chosen.digest));
    job.manifest_text = std::move(child.text);
    media_type = child.media_type;
  }
  LAB_CO_TRY(job.manifest, parse_manifest(job.manifest_text, media_type));
  job.progress.status("Pulling from " + reference.path,
                      reference.digest.empty() ? reference.tag : reference.familiar());
  co_return top;
}

asio::awaitable<Result<bool>> Puller::pull_image(Job& job) {
  LAB_CO_TRY(FetchedManifest top, co_await image_manifest(job));
  const image::ImageStore::Guard guard(store_);
  std::string config_text;
  if (auto known = store_.by_id(job.manifest.config.digest); known.has_value()) {
    config_text = (*known)->config_text;
  } else {
    LAB_CO_TRY(config_text,
               co_await job.session.small_blob(job.manifest.config.digest, config_bytes_max));
    LAB_CO_TRY(const std::vector<std::string> diff_ids, image::diff_ids_of_config(config_text));
    if (diff_ids.size() != job.manifest.layers.size()) {
      co_return Error{Code::invalid_argument,
                      "layers from manifest don't match image configuration"};
    }
    for (std::size_t i = 0; i < diff_ids.size(); ++i) {
      job.layers.push_back({job.manifest.layers[i], diff_ids[i]});
    }
    LAB_CO_CHECK(co_await fetch_layers(job));
  }
  co_return co_await finish(job, std::move(top), std::move(config_text));
}

asio::awaitable<Result<bool>> Puller::finish(Job& job, FetchedManifest top,
                                             std::string config_text) {
  image::ImageStore::NewImage made;
  made.config_text = std::move(config_text);
  made.manifest = job.manifest_text;
  made.manifest_media_type = job.manifest.media_type;
  image::Reference by_digest = job.reference;
  by_digest.tag.clear();
  by_digest.digest = top.digest;
  made.references.push_back(by_digest);
  if (job.reference.digest.empty()) made.references.push_back(job.reference);
  bool news = true;
  const std::string id = job.manifest.config.digest;
  for (const image::ImageStore::NamedImage& named : store_.references()) {
    if (named.reference == made.references.back() && named.image_id == id) news = false;
  }
  std::function<Result<image::ImagePtr>()> add = [this, &made] { return store_.add_image(made); };
  auto added = co_await run_blocking(std::move(add));
  if (added.has_error()) co_return added.error();
  job.progress.status("Digest: " + top.digest);
  store_.emit({"pull", job.reference.familiar(), job.reference.familiar_name()});
  co_return news;
}

asio::awaitable<Result<void>> Puller::fetch_layers(Job& job) {
  std::vector<Layer> missing;
  std::set<std::string> listed;
  for (const Layer& layer : job.layers) {
    const std::string id = image::short_id(layer.descriptor.digest);
    const bool present = store_.has_layer(layer.diff_id);
    job.progress.layer(present ? "Already exists" : "Pulling fs layer", id);
    if (!present && listed.insert(layer.diff_id).second) missing.push_back(layer);
  }
  TaskGroup group(executor_);
  for (std::size_t i = 0; i < missing.size(); ++i) {
    if (i >= options_.downloads_max) {
      job.progress.layer("Waiting", image::short_id(missing[i].descriptor.digest));
    }
    group.spawn(fetch_layer(job, missing[i]));
  }
  co_await group.wait();
  if (job.error) co_return *job.error;
  if (job.progress.abandoned()) co_return Error{Code::cancelled, "context canceled"};
  co_return Result<void>{};
}

asio::awaitable<void> Puller::fetch_layer(Job& job, Layer layer) {
  const std::string id = image::short_id(layer.descriptor.digest);
  const std::string diff_id = layer.diff_id;
  while (under_way_.contains(diff_id)) co_await layer_ended_.wait();
  if (job.stopped()) co_return;
  if (store_.has_layer(diff_id)) {
    job.progress.layer("Pull complete", id);
    co_return;
  }
  under_way_[diff_id] = 1;
  Result<void> outcome = Error{Code::cancelled, "context canceled"};
  {
    const Semaphore::Permit permit = co_await downloads_.acquire();
    if (!job.stopped()) outcome = co_await transfer_layer(job, std::move(layer));
  }
  under_way_.erase(diff_id);
  layer_ended_.notify_all();
  if (outcome.has_error()) {
    if (!job.error) job.error = outcome.error();
    co_return;
  }
  job.progress.layer("Pull complete", id);
}

namespace {

// A download with its place in the pipe.
struct Download {
  Session& session;
  const Descriptor& descriptor;
  Pipe& pipe;
  Progress& progress;
  std::function<bool()> stopped;
  std::string id;
  std::uint64_t received = 0;
};

asio::awaitable<Result<void>> download_once(Download& download) {
  const std::uint64_t total = download.descriptor.size_bytes;
  LAB_CO_TRY(auto response,
             co_await download.session.blob(download.descriptor.digest, download.received));
  // Without ranges the answer starts at the beginning again.
  std::uint64_t skip = response->status() == 206 ? 0 : download.received;
  std::string piece;
  while (true) {
    if (download.stopped()) co_return Error{Code::cancelled, "context canceled"};
    piece.resize(piece_bytes);
    LAB_CO_TRY(const std::size_t count,
               co_await response->read_some(asio::buffer(piece.data(), piece.size())));
    if (count == 0) break;
    piece.resize(count);
    const auto dropped = std::min<std::uint64_t>(skip, count);
    skip -= dropped;
    piece.erase(0, dropped);
    download.received += piece.size();
    if (download.received > total) {
      co_return make_error(Code::invalid_argument, "{} is longer than its manifest says",
                           download.descriptor.digest);
    }
    if (!piece.empty()) LAB_CO_CHECK(co_await download.pipe.push(std::move(piece)));
    piece = {};
    download.progress.layer("Downloading", download.id, download.received, total);
  }
  if (download.received < total) co_return Error{Code::unavailable, "unexpected EOF"};
  co_return Result<void>{};
}

bool worth_a_retry(const Error& error) {
  return error.code == Code::unavailable || error.code == Code::deadline_exceeded;
}

asio::awaitable<Result<void>> download_all(Download& download) {
  for (int attempt = 1;; ++attempt) {
    const std::uint64_t before = download.received;
    auto outcome = co_await download_once(download);
    if (outcome.has_value() || !worth_a_retry(outcome.error())) co_return outcome;
    if (download.received > before) attempt = 1;  // it gets on
    if (attempt == attempts_max) co_return outcome;
    log::warning("download of {} stopped at byte {}: {}", download.descriptor.digest,
                 download.received, outcome.error().message);
    for (int seconds = attempt; seconds > 0 && !download.stopped(); --seconds) {
      download.progress.layer(
          fmt::format("Retrying in {} second{}", seconds, seconds == 1 ? "" : "s"), download.id);
      co_await pause(std::chrono::seconds(1));
    }
  }
}

}  // namespace

asio::awaitable<Result<void>> Puller::transfer_layer(Job& job, Layer layer) {
  const std::string id = image::short_id(layer.descriptor.digest);
  const fs::path place = store_.temporary_directory() / fmt::format("pull-{}", ++temporary_number_);
  Pipe pipe(executor_, pipe_bytes_max);
  Unpacked unpacked;
  Signal unpacking_done(executor_);
  TaskGroup worker(executor_);
  worker.spawn(
      unpack_on_pool(pipe, layer.descriptor, layer.diff_id, place, unpacked, unpacking_done));
  Download download{
      job.session, layer.descriptor, pipe, job.progress, [&job] { return job.stopped(); }, id};
  auto outcome = co_await download_all(download);
  if (outcome.has_value()) {
    pipe.end();
    job.progress.layer("Verifying Checksum", id);
    job.progress.layer("Download complete", id);
  } else {
    pipe.fail(outcome.error());
  }
  while (!unpacked.done) {
    co_await unpacking_done.wait_until(clock_.now() + poll_interval);
    if (outcome.has_value()) {
      job.progress.layer("Extracting", id, pipe.bytes_taken(), layer.descriptor.size_bytes);
    }
  }
  co_await worker.wait();
  if (outcome.has_value() && unpacked.layer.has_error()) outcome = unpacked.layer.error();
  if (outcome.has_value()) {
    std::function<Result<void>()> add = [this, &unpacked] {
      return store_.add_layer(*unpacked.layer);
    };
    outcome = co_await run_blocking(std::move(add));
  }
  if (outcome.has_error()) {
    std::function<void()> clean = [&place] { remove_unpacked(place); };
    co_await run_on_pool(std::move(clean));
  }
  co_return outcome;
}

}  // namespace lab::engine::registry
