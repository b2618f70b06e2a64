#include "engine/api/image_routes.hpp"

#include <boost/json/parse.hpp>
#include <charconv>

#include "base/blocking.hpp"
#include "engine/api/image_routes_impl.hpp"
#include "engine/api/image_views.hpp"
#include "engine/api/version.hpp"
#include "engine/image/platform.hpp"
#include "engine/registry/search.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;
using http::Exchange;
using image::ImagePtr;
using image::Reference;
using Done = asio::awaitable<Result<void>>;

namespace {

constexpr std::string_view hub_index = "https://index.docker.io/v1/";

registry::Credentials credentials_of(const Exchange& exchange) {
  // As dockerd: credentials that do not parse are none.
  auto parsed = registry::parse_auth_header(exchange.request().headers.get("X-Registry-Auth"));
  return parsed.has_value() ? std::move(*parsed) : registry::Credentials{};
}

// "fromImage" and "tag", of which the latter may be a digest.
Result<Reference> reference_of(std::string name, const std::string& tag) {
  if (name.ends_with(':')) name.pop_back();
  LAB_TRY(Reference reference, image::parse_reference(name));
  if (tag.empty()) return reference;
  if (image::is_digest(tag)) {
    reference.tag.clear();
    reference.digest = tag;
    return reference;
  }
  return image::parse_reference(reference.name() + ":" + tag);
}

json::array removed_json(const std::vector<image::RemovedItem>& items) {
  json::array lines;
  for (const image::RemovedItem& item : items) {
    json::object line;
    line[item.deleted ? "Deleted" : "Untagged"] = item.name;
    lines.push_back(std::move(line));
  }
  return lines;
}

// Of the results of a search, those that the filters leave.
Result<json::array> select_results(const json::array& results, const FilterSet& filters) {
  std::int64_t stars = 0;
  for (const std::string& value : filters.values("stars")) {
    std::int64_t wanted = 0;
    const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), wanted);
    if (failure != std::errc() || end != value.data() + value.size())
      return make_error(Code::invalid_argument, "Invalid filter 'stars=[{}]'", value);
    stars = std::max(stars, wanted);
  }
  LAB_TRY(const bool automated, filters.flag("is-automated", false));
  LAB_TRY(const bool official, filters.flag("is-official", false));
  json::array selected;
  for (const json::value& value : results) {
    if (!value.is_object()) continue;
    const json::object& result = value.get_object();
    if (filters.has("is-automated") && flag_of(result, "is_automated") != automated) continue;
    if (filters.has("is-official") && flag_of(result, "is_official") != official) continue;
    if (integer_of(result, "star_count") >= stars) selected.push_back(value);
  }
  return selected;
}

// dockerd words an image it cannot find in the middle of a request so, unlike registries' errors.
Error plain_error(const Error& error) { return Error{Code::internal, error.message}; }

}  // namespace

namespace {

// Runs the work to its end and says what went wrong where the client will see it.
asio::awaitable<void> run_work(ImageRoutes::Impl::Work work, registry::Progress& progress,
                               Result<void>& outcome) {
  outcome = co_await work(progress);
  if (outcome.has_error() && progress.started()) progress.error(outcome.error().message);
  progress.finish();
}

}  // namespace

// Sends the progress of some work as it comes. An error before the first line is an answer of its
// own, later it is a line.
Done ImageRoutes::Impl::stream(Exchange& exchange, Work work) {
  registry::Progress progress(executor, clock);
  Result<void> outcome;
  registry::TaskGroup group(executor);
  group.spawn(run_work(std::move(work), progress, outcome));
  const bool any = co_await progress.any();
  if (any) {
    http::Headers headers;
    headers.set("Content-Type", "application/json");
    auto sent = co_await exchange.start(200, std::move(headers));
    while (true) {
      const std::string lines = co_await progress.next();
      if (lines.empty()) break;
      if (sent.has_value()) sent = co_await exchange.write(lines);
      if (sent.has_error()) progress.abandon();
    }
  }
  co_await group.wait();
  LAB_CO_CHECK(co_await collect());
  if (any) co_return co_await exchange.finish();
  if (outcome.has_error()) co_return outcome;
  http::Response empty;
  co_return co_await exchange.respond(std::move(empty));
}

Done ImageRoutes::Impl::collect() {
  std::function<Result<std::uint64_t>()> work = [this] { return store.collect(); };
  const auto freed = co_await run_blocking(std::move(work));
  if (freed.has_error()) co_return freed.error();
  co_return Result<void>{};
}

Done ImageRoutes::Impl::list(Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  LAB_CO_TRY(FilterSet filters, FilterSet::parse(query.get("filters")));
  const std::string filter = query.get("filter");
  if (!filter.empty() && older_than(exchange, {1, 41})) filters.add("reference", filter);
  LAB_CO_TRY(json::array images, list_images(store, filters, query.flag("all")));
  co_return co_await exchange.respond(http::json_response(200, images));
}

Done ImageRoutes::Impl::inspect(Exchange& exchange) {
  const std::string name = exchange.parameter("name");
  const auto image = store.resolve(name);
  if (image.has_error()) co_return image.error().wrap("no such image: {}", name);
  LAB_CO_TRY(json::object document, inspect_image(store, **image));
  co_return co_await exchange.respond(http::json_response(200, document));
}

Done ImageRoutes::Impl::history(Exchange& exchange) {
  LAB_CO_TRY(const ImagePtr image, store.resolve(exchange.parameter("name")));
  const json::array lines = image_history(store, *image);
  co_return co_await exchange.respond(http::json_response(200, lines));
}

Done ImageRoutes::Impl::create(Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  const std::string from = query.get("fromImage");
  LAB_CO_CHECK(image::check_platform_name(query.get("platform")));
  if (from.empty()) co_return co_await import(exchange);
  LAB_CO_TRY(Reference reference, reference_of(from, query.get("tag")));
  const registry::Credentials credentials = credentials_of(exchange);
  Work work = [this, reference, credentials](registry::Progress& progress) {
    return puller.pull(reference, credentials, progress);
  };
  co_return co_await stream(exchange, std::move(work));
}

Done ImageRoutes::Impl::search(Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  LAB_CO_TRY(const std::int64_t limit, query.integer("limit", 25));
  if (limit < 1 || limit > 100)
    co_return make_error(Code::invalid_argument, "Limit {} is outside the range of [1, 100]",
                         limit);
  LAB_CO_TRY(const FilterSet filters, FilterSet::parse(query.get("filters")));
  LAB_CO_CHECK(filters.check_names({"is-automated", "is-official", "stars"}));
  const registry::Credentials credentials = credentials_of(exchange);
  LAB_CO_TRY(const json::array found,
             co_await registry::search(executor, query.get("term"), limit, credentials, options));
  LAB_CO_TRY(const json::array results, select_results(found, filters));
  co_return co_await exchange.respond(http::json_response(200, results));
}

Done ImageRoutes::Impl::push(Exchange& exchange) {
  registry::Credentials credentials = credentials_of(exchange);
  if (!exchange.request().headers.has("X-Registry-Auth")) {
    LAB_CO_TRY(const std::string body, co_await exchange.read_all());
    auto parsed = registry::parse_auth_json(body);
    if (parsed.has_error()) {
      co_return Error{
          Code::invalid_argument,
          body.empty() ? "Bad parameters and missing X-Registry-Auth: EOF"
                       : "Bad parameters and missing X-Registry-Auth: " + parsed.error().message};
    }
    credentials = std::move(*parsed);
  }
  auto reference = reference_of(exchange.parameter("name"), exchange.request().query.get("tag"));
  if (reference.has_error()) co_return plain_error(reference.error());
  Work work = [this, reference = *reference, credentials](registry::Progress& progress) {
    return pusher.push(reference, credentials, progress);
  };
  co_return co_await stream(exchange, std::move(work));
}

Done ImageRoutes::Impl::tag(Exchange& exchange) {
  LAB_CO_TRY(const ImagePtr image, store.resolve(exchange.parameter("name")));
  const http::Query& query = exchange.request().query;
  auto reference = reference_of(query.get("repo"), query.get("tag"));
  if (reference.has_error()) co_return plain_error(reference.error());
  if (reference->is_name_only()) reference->tag = image::default_tag;
  if (!reference->digest.empty()) {
    co_return Error{Code::internal, "refusing to create a tag with a digest reference"};
  }
  if (reference->familiar_name() == "sha256") {
    co_return make_error(Code::invalid_argument,
                         "refusing to create an ambiguous tag using digest algorithm as name");
  }
  LAB_CO_CHECK(store.tag(image->id, *reference));
  http::Response created;
  created.status = 201;
  co_return co_await exchange.respond(std::move(created));
}

asio::awaitable<Result<std::vector<image::RemovedItem>>> ImageRoutes::Impl::remove_on_pool(
    std::string name, bool force, bool prune_parents) {
  std::function<Result<std::vector<image::RemovedItem>>()> work = [&] {
    return store.remove(name, force, prune_parents);
  };
  co_return co_await run_blocking(std::move(work));
}

Done ImageRoutes::Impl::remove(Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  const std::string name = exchange.parameter("name");
  if (name.find_first_not_of(" \t\n") == std::string::npos)
    co_return make_error(Code::invalid_argument, "image name cannot be blank");
  LAB_CO_TRY(const std::vector<image::RemovedItem> items,
             co_await remove_on_pool(name, query.flag("force"), !query.flag("noprune")));
  co_return co_await exchange.respond(http::json_response(200, removed_json(items)));
}

asio::awaitable<Result<json::array>> ImageRoutes::Impl::remove_unused(bool dangling_only,
                                                                      std::int64_t until_seconds,
                                                                      FilterSet filters) {
  std::vector<image::RemovedItem> all;
  for (const ImagePtr& image : store.list()) {
    const bool has_children = !store.children_of(image->id).empty();
    const bool named = !image->tags.empty() || !image->digests.empty();
    if (has_children && (dangling_only || !named)) continue;
    if (dangling_only && !image->tags.empty()) continue;
    if (unix_seconds(image->created) > until_seconds) continue;
    if (!filters.match_labels("label", labels_of(*image))) continue;
    if (filters.has("label!") && filters.match_labels("label!", labels_of(*image))) continue;
    std::vector<std::string> names = image->tags;
    names.insert(names.end(), image->digests.begin(), image->digests.end());
    if (names.empty()) names.push_back(image->id);
    for (const std::string& name : names) {
      auto items = co_await remove_on_pool(name, false, true);
      // In use, or gone already with another name.
      if (items.has_error()) continue;
      all.insert(all.end(), items->begin(), items->end());
    }
  }
  co_return removed_json(all);
}

Done ImageRoutes::Impl::prune(Exchange& exchange) {
  LAB_CO_TRY(FilterSet filters, FilterSet::parse(exchange.request().query.get("filters")));
  LAB_CO_CHECK(filters.check_names({"dangling", "label", "label!", "until"}));
  LAB_CO_TRY(const std::int64_t until, until_of(filters, clock));
  LAB_CO_TRY(const bool dangling_only, filters.flag("dangling", true));
  std::map<std::string, std::uint64_t> sizes;  // by chain id
  for (const ImagePtr& image : store.list()) {
    const std::vector<std::string> chain = image::chain_ids(image->diff_ids);
    for (std::size_t i = 0; i < chain.size(); ++i) {
      sizes[chain[i]] = store.layer_size_bytes(image->diff_ids[i]);
    }
  }
  LAB_CO_TRY(json::array removed, co_await remove_unused(dangling_only, until, filters));
  std::uint64_t reclaimed = 0;
  for (const json::value& line : removed) {
    const json::value* deleted = line.get_object().if_contains("Deleted");
    if (deleted == nullptr) continue;
    const auto found = sizes.find(std::string(deleted->get_string()));
    if (found != sizes.end()) reclaimed += found->second;
  }
  json::object answer;
  answer["ImagesDeleted"] =
      removed.empty() ? json::value(nullptr) : json::value(std::move(removed));
  answer["SpaceReclaimed"] = reclaimed;
  co_return co_await exchange.respond(http::json_response(200, answer));
}

Done ImageRoutes::Impl::auth(Exchange& exchange) {
  LAB_CO_TRY(const std::string body, co_await exchange.read_all());
  LAB_CO_TRY(const registry::Credentials credentials, registry::parse_auth_json(body));
  const json::value parsed = json::parse(body);
  std::string server = text_of(parsed.get_object(), "serveraddress");
  if (server.empty() || server == hub_index) server = image::default_domain;
  if (const std::size_t scheme = server.find("://"); scheme != std::string::npos) {
    server.erase(0, scheme + 3);
  }
  server = server.substr(0, server.find('/'));
  LAB_CO_TRY(const std::vector<registry::Host> hosts, registry::hosts_for(server, options, false));
  Result<void> outcome = Error{Code::internal, "no registry to ask"};
  for (const registry::Host& host : hosts) {
    registry::Session session(executor, host, "", credentials, false, options);
    outcome = co_await session.check_credentials();
    if (outcome.has_value() || outcome.error().code == Code::unauthorized) break;
  }
  if (outcome.has_error()) {
    if (outcome.error().code == Code::unauthorized) co_return outcome.error();
    co_return plain_error(outcome.error());
  }
  json::object answer;
  answer["IdentityToken"] = "";
  answer["Status"] = "Login Succeeded";
  co_return co_await exchange.respond(http::json_response(200, answer));
}

namespace {

json::object distribution_json(const registry::FetchedManifest& manifest,
                               const registry::ManifestList& list) {
  json::object descriptor;
  descriptor["mediaType"] = manifest.media_type;
  descriptor["digest"] = manifest.digest;
  descriptor["size"] = manifest.text.size();
  json::array platforms;
  for (const registry::ManifestList::Entry& entry : list.entries) {
    json::object platform;
    platform["architecture"] = entry.platform.architecture;
    platform["os"] = entry.platform.os;
    if (!entry.platform.variant.empty()) platform["variant"] = entry.platform.variant;
    platforms.push_back(std::move(platform));
  }
  json::object answer;
  answer["Descriptor"] = std::move(descriptor);
  answer["Platforms"] =
      platforms.empty() ? json::value(nullptr) : json::value(std::move(platforms));
  return answer;
}

registry::ManifestList platform_of_config(const std::string& config_text) {
  registry::ManifestList list;
  boost::system::error_code failure;
  const json::value config = json::parse(config_text, failure);
  if (failure || !config.is_object()) return list;
  const json::object& fields = config.get_object();
  registry::ManifestList::Entry entry;
  entry.platform = {text_of(fields, "os"), text_of(fields, "architecture"),
                    text_of(fields, "variant")};
  list.entries.push_back(std::move(entry));
  return list;
}

asio::awaitable<Result<json::object>> ask_distribution(registry::Session& session,
                                                       Reference reference) {
  LAB_CO_CHECK(co_await session.ping());
  const std::string wanted = reference.digest.empty() ? reference.tag : reference.digest;
  LAB_CO_TRY(const registry::FetchedManifest manifest, co_await session.manifest(wanted));
  LAB_CO_TRY(const bool is_list, registry::is_manifest_list(manifest.text, manifest.media_type));
  registry::ManifestList platforms;
  if (is_list) {
    LAB_CO_TRY(platforms, registry::parse_manifest_list(manifest.text, manifest.media_type));
  } else if (manifest.media_type == registry::docker_manifest) {
    LAB_CO_TRY(const registry::Manifest image,
               registry::parse_manifest(manifest.text, manifest.media_type));
    constexpr std::size_t config_bytes_max = std::size_t{16} << 20;
    LAB_CO_TRY(const std::string config,
               co_await session.small_blob(image.config.digest, config_bytes_max));
    platforms = platform_of_config(config);
  }
  co_return distribution_json(manifest, platforms);
}

}  // namespace

Done ImageRoutes::Impl::distribution(Exchange& exchange) {
  LAB_CO_TRY(Reference reference,
             image::parse_reference_with_default_tag(exchange.parameter("name")));
  LAB_CO_TRY(const std::vector<registry::Host> hosts,
             registry::hosts_for(reference.domain, options, true));
  Result<json::object> answer = Error{Code::internal, "no registry to ask"};
  for (const registry::Host& host : hosts) {
    registry::Session session(executor, host, reference.path, credentials_of(exchange), false,
                              options);
    answer = co_await ask_distribution(session, reference);
    if (answer.has_value() || answer.error().code == Code::not_found) break;
  }
  if (answer.has_error()) {
    const bool known_code =
        answer.error().code == Code::not_found || answer.error().code == Code::forbidden;
    co_return known_code ? answer.error() : plain_error(answer.error());
  }
  co_return co_await exchange.respond(http::json_response(200, *answer));
}

ImageRoutes::ImageRoutes(asio::any_io_executor executor, image::ImageStore& store,
                         const registry::Options& options, const Clock& clock)
    : impl_(std::make_shared<Impl>(std::move(executor), store, options, clock)) {}

ImageRoutes::~ImageRoutes() = default;

registry::Puller& ImageRoutes::puller() { return impl_->puller; }

void ImageRoutes::add_to(http::Router& router) {
  const auto add = [&](std::string_view method, std::string_view pattern,
                       Done (Impl::*handler)(Exchange&)) {
    router.add(method, pattern,
               [impl = impl_, handler](Exchange& exchange) { return (*impl.*handler)(exchange); });
  };
  add("GET", "/images/json", &Impl::list);
  add("POST", "/images/create", &Impl::create);
  add("POST", "/images/prune", &Impl::prune);
  add("GET", "/images/search", &Impl::search);
  add("GET", "/images/get", &Impl::save);
  add("POST", "/images/load", &Impl::load);
  add("GET", "/images/{name...}/get", &Impl::save);
  add("GET", "/images/{name...}/json", &Impl::inspect);
  add("GET", "/images/{name...}/history", &Impl::history);
  add("POST", "/images/{name...}/tag", &Impl::tag);
  add("POST", "/images/{name...}/push", &Impl::push);
  add("DELETE", "/images/{name...}", &Impl::remove);
  add("POST", "/auth", &Impl::auth);
  add("GET", "/distribution/{name...}/json", &Impl::distribution);
}

}  // namespace lab::engine::api
