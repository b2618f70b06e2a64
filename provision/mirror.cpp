#include "provision/mirror.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <charconv>
#include <set>

#include "base/blocking.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "provision/catalogue.hpp"
#include "provision/catalogue_recipe.hpp"
#include "provision/image_layout.hpp"

namespace lab::provision {

namespace asio = boost::asio;
namespace json = boost::json;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t piece_bytes = 512 * 1024;

// The protocol's own form of an error, which engines show to their users.
http::Response refusal(int status, std::string_view code, std::string message) {
  json::object error{{"code", code}, {"message", message}};
  http::Response response =
      http::json_response(status, json::object{{"errors", json::array{std::move(error)}}});
  response.headers.set("Docker-Distribution-Api-Version", "registry/2.0");
  return response;
}

http::Headers common_headers(std::string content_type) {
  return {{"Docker-Distribution-Api-Version", "registry/2.0"},
          {"Content-Type", std::move(content_type)}};
}

std::string repository_name(std::string_view name) {
  constexpr std::string_view library = "library/";
  if (name.starts_with(library)) name.remove_prefix(library.size());
  return std::string(name);
}

struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool partial = false;
  bool satisfiable = true;
};

bool parse_number(std::string_view text, std::uint64_t& number) {
  const char* end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end;
}

// One range; several, or what is not understood, means the whole blob (RFC 9110 allows that).
ByteRange parse_range(std::string_view header, std::uint64_t size) {
  const ByteRange whole{0, size, false, true};
  constexpr std::string_view unit = "bytes=";
  if (!header.starts_with(unit)) return whole;
  header.remove_prefix(unit.size());
  const std::size_t dash = header.find('-');
  if (dash == std::string_view::npos) return whole;
  const std::string_view from = header.substr(0, dash);
  const std::string_view to = header.substr(dash + 1);
  std::uint64_t first = 0;
  std::uint64_t last = size == 0 ? 0 : size - 1;
  if (from.empty()) {
    std::uint64_t suffix = 0;
    if (!parse_number(to, suffix)) return whole;
    if (suffix == 0 || size == 0) return {0, 0, false, false};
    first = size - std::min(suffix, size);
  } else {
    std::uint64_t asked_last = last;
    if (!parse_number(from, first)) return whole;
    if (!to.empty() && !parse_number(to, asked_last)) return whole;
    if (asked_last < first && !to.empty()) return whole;
    if (first >= size) return {0, 0, false, false};
    last = std::min(last, asked_last);
  }
  return {first, last - first + 1, true, true};
}

Result<std::string> read_piece(int fd, std::uint64_t offset, std::size_t bytes_max) {
  std::string piece(bytes_max, '\0');
  const ssize_t got = pread(fd, piece.data(), piece.size(), static_cast<off_t>(offset));
  if (got < 0) return errno_error(errno, "reading a blob");
  if (got == 0) return make_error(Code::internal, "a blob is shorter than it was");
  piece.resize(static_cast<std::size_t>(got));
  return piece;
}

asio::awaitable<Result<void>> send_range(http::Exchange& exchange, int fd, ByteRange range) {
  while (range.count > 0) {
    const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(range.count, piece_bytes));
    std::function<Result<std::string>()> work = [fd, range, bytes] {
      return read_piece(fd, range.first, bytes);
    };
    LAB_CO_TRY(std::string piece, co_await run_blocking<Result<std::string>>(std::move(work)));
    LAB_CO_CHECK(co_await exchange.write(piece));
    range.first += piece.size();
    range.count -= piece.size();
  }
  co_return co_await exchange.finish();
}

}  // namespace

struct Mirror::Impl {
  using Answer = asio::awaitable<Result<void>>;

  explicit Impl(fs::path folder) : layout(std::move(folder)) {}

  // The index as it is now, parsed again only when the file is another one.
  const std::vector<TaggedImage>& images() {
    struct stat now {};
    if (stat(layout.index_path().c_str(), &now) != 0) {
      known.clear();
      seen = {};
      return known;
    }
    if (now.st_ino == seen.st_ino && now.st_size == seen.st_size &&
        now.st_mtim.tv_sec == seen.st_mtim.tv_sec && now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec) {
      return known;
    }
    Result<std::vector<TaggedImage>> read = layout.images();
    known = read ? std::move(*read) : std::vector<TaggedImage>();
    seen = now;
    return known;
  }

  bool has_repository(std::string_view repository) {
    const auto& all = images();
    return std::any_of(all.begin(), all.end(),
                       [&](const TaggedImage& image) { return image.repository == repository; });
  }

  const TaggedImage* find(std::string_view repository, std::string_view reference) {
    for (const TaggedImage& image : images()) {
      if (image.repository == repository &&
          (image.tag == reference || image.manifest.digest == reference)) {
        return &image;
      }
    }
    return nullptr;
  }

  Answer root(http::Exchange& exchange) {
    http::Response response{200, common_headers("application/json"), "{}"};
    co_return co_await exchange.respond(std::move(response));
  }

  Answer catalog(http::Exchange& exchange) {
    std::set<std::string> names;
    for (const TaggedImage& image : images()) names.insert(image.repository);
    json::array repositories(names.begin(), names.end());
    http::Response response{200, common_headers("application/json"),
                            json::serialize(json::object{{"repositories", repositories}})};
    co_return co_await exchange.respond(std::move(response));
  }

  Answer tags(http::Exchange& exchange) {
    const std::string name = exchange.parameter("name");
    json::array tags;
    for (const TaggedImage& image : images()) {
      if (image.repository == repository_name(name)) tags.emplace_back(image.tag);
    }
    http::Response response{200, common_headers("application/json"),
                            json::serialize(json::object{{"name", name}, {"tags", tags}})};
    if (tags.empty()) response = unknown_name(name);
    co_return co_await exchange.respond(std::move(response));
  }

  // Whether the repository is in the layout afterwards; what a build failed of is for the log.
  asio::awaitable<bool> have_repository(std::string repository) {
    if (has_repository(repository)) co_return true;
    if (!load_recipe(repository)) co_return false;
    log::info("building image {} for the mirror", repository);
    std::function<Result<void>()> work = [this, &repository] {
      return ensure_catalogue(layout.folder(), {repository}, {}, builds.get_token());
    };
    const Result<void> built = co_await run_blocking(std::move(work));
    if (!built) log::error("image mirror: {}", built.error().message);
    co_return has_repository(repository);
  }

  static http::Response unknown_name(std::string_view name) {
    return refusal(404, "NAME_UNKNOWN", fmt::format("the lab's mirror has no image {}", name));
  }

  Answer manifest(http::Exchange& exchange) {
    const std::string name = exchange.parameter("name");
    const std::string reference = exchange.parameter("reference");
    const std::string repository = repository_name(name);
    const bool there = co_await have_repository(repository);
    http::Response response;
    if (const TaggedImage* image = find(repository, reference); image != nullptr) {
      LAB_CO_TRY(std::string body, read_file(layout.blob_path(image->manifest.digest)));
      response = {200, common_headers(image->media_type), std::move(body)};
      response.headers.set("Docker-Content-Digest", image->manifest.digest);
      response.headers.set("ETag", "\"" + image->manifest.digest + "\"");
    } else if (there) {
      response = refusal(404, "MANIFEST_UNKNOWN",
                         fmt::format("the lab's mirror has no {}:{}", name, reference));
    } else {
      response = unknown_name(name);
    }
    co_return co_await exchange.respond(std::move(response));
  }

  Answer blob(http::Exchange& exchange) {
    const std::string digest = exchange.parameter("digest");
    const fs::path path = layout.blob_path(digest);
    struct stat status {};
    Fd fd(path.empty() ? -1 : open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd || fstat(fd.get(), &status) != 0 ||
        !has_repository(repository_name(exchange.parameter("name")))) {
      http::Response missing =
          refusal(404, "BLOB_UNKNOWN", fmt::format("the lab's mirror has no blob {}", digest));
      co_return co_await exchange.respond(std::move(missing));
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    const ByteRange range = parse_range(exchange.request().headers.get("Range"), size);
    if (!range.satisfiable) {
      http::Response refused =
          refusal(416, "SIZE_INVALID", fmt::format("blob {} has {} bytes", digest, size));
      refused.headers.set("Content-Range", fmt::format("bytes */{}", size));
      co_return co_await exchange.respond(std::move(refused));
    }
    http::Headers headers = common_headers("application/octet-stream");
    headers.set("Docker-Content-Digest", digest);
    headers.set("ETag", "\"" + digest + "\"");
    headers.set("Accept-Ranges", "bytes");
    headers.set("Content-Length", std::to_string(range.count));
    if (range.partial) {
      headers.set("Content-Range",
                  fmt::format("bytes {}-{}/{}", range.first, range.first + range.count - 1, size));
    }
    LAB_CO_CHECK(co_await exchange.start(range.partial ? 206 : 200, std::move(headers)));
    if (exchange.request().method == "HEAD") co_return co_await exchange.finish();
    co_return co_await send_range(exchange, fd.get(), range);
  }

  ImageLayout layout;
  std::vector<TaggedImage> known;
  struct stat seen {};
  std::stop_source builds;
};

Mirror::Mirror(fs::path layout) : impl_(std::make_unique<Impl>(std::move(layout))) {}
Mirror::~Mirror() = default;

void Mirror::stop() { impl_->builds.request_stop(); }

void Mirror::add_routes(http::Router& router) {
  Impl* impl = impl_.get();
  for (std::string_view method : {"GET", "HEAD"}) {
    router.add(method, "/v2/", [impl](http::Exchange& exchange) { return impl->root(exchange); });
    router.add(method, "/v2/_catalog",
               [impl](http::Exchange& exchange) { return impl->catalog(exchange); });
    router.add(method, "/v2/{name...}/tags/list",
               [impl](http::Exchange& exchange) { return impl->tags(exchange); });
    router.add(method, "/v2/{name...}/manifests/{reference}",
               [impl](http::Exchange& exchange) { return impl->manifest(exchange); });
    router.add(method, "/v2/{name...}/blobs/{digest}",
               [impl](http::Exchange& exchange) { return impl->blob(exchange); });
  }
}

}  // namespace lab::provision
