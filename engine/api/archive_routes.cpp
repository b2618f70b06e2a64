// GET /images/get, GET /images/NAME/get, POST /images/load, and POST /images/create with a body.
#include "base/blocking.hpp"
#include "engine/api/archive_stream.hpp"
#include "engine/api/image_routes_impl.hpp"
#include "engine/build/download.hpp"
#include "engine/build/import.hpp"
#include "engine/build/step_image.hpp"
#include "engine/image/archive.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;

asio::awaitable<Result<void>> ImageRoutes::Impl::save(http::Exchange& exchange) {
  std::vector<std::string> names = exchange.request().query.all("names");
  if (!exchange.parameter("name").empty()) names = {exchange.parameter("name")};
  const image::ImageStore::Guard guard(store);
  WriteArchive write = [this, &names](const layer::TarSink& sink) {
    return image::save_images(store, names, sink);
  };
  LAB_CO_CHECK(co_await send_archive(exchange, executor, std::move(write)));
  for (const std::string& name : names) {
    if (auto image = store.resolve(name)) store.emit({"save", (*image)->id, (*image)->id});
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> ImageRoutes::Impl::load(http::Exchange& exchange) {
  Result<std::vector<image::LoadedImage>> loaded = Error{Code::internal, "not loaded"};
  ReadArchive read = [this, &loaded](layer::ByteSource& bytes) -> Result<void> {
    loaded = image::load_images(store, bytes);
    LAB_CHECK(loaded);
    return {};
  };
  static_cast<void>(co_await receive_archive(exchange, executor, std::move(read)));
  LAB_CO_CHECK(co_await collect());
  registry::Progress progress(executor, clock);
  if (loaded.has_error()) {
    progress.error(loaded.error().message);
    loaded = std::vector<image::LoadedImage>();
  }
  for (const image::LoadedImage& one : *loaded) {
    boost::json::object line;
    line["stream"] = fmt::format("Loaded image{}: {}\n", one.named ? "" : " ID", one.name);
    progress.raw(line);
    store.emit({"load", one.id, one.id});
  }
  progress.finish();
  http::Response response;
  response.headers.set("Content-Type", "application/json");
  response.body = co_await progress.next();
  co_return co_await exchange.respond(std::move(response));
}

// "-" is the body, everything else a URL.
asio::awaitable<Result<void>> ImageRoutes::Impl::import(http::Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  const std::string from = query.get("fromSrc");
  std::optional<image::Reference> name;
  if (const std::string repository = query.get("repo"); !repository.empty()) {
    LAB_CO_TRY(name,
               image::parse_reference_with_default_tag(
                   query.get("tag").empty() ? repository : repository + ":" + query.get("tag")));
  }
  build::ImportRequest request;
  request.changes = query.all("changes");
  std::erase(request.changes, "");
  request.comment = query.get("message");
  if (request.comment.empty()) request.comment = "Imported from " + from;
  const image::ImageStore::Guard guard(store);
  Result<image::ImagePtr> made = Error{Code::internal, "not imported"};
  ReadArchive read = [this, &made, &request](layer::ByteSource& bytes) -> Result<void> {
    made = build::import_image(store, bytes, request, clock.wall_now());
    LAB_CHECK(made);
    return {};
  };
  registry::Progress progress(executor, clock);
  if (from == "-") {
    LAB_CO_CHECK(co_await receive_archive(exchange, executor, std::move(read)));
  } else {
    const std::string url = from.find("://") == std::string::npos ? "http://" + from : from;
    progress.status("Downloading from " + url);
    const build::LayerFolder folder(store);
    LAB_CO_TRY(const build::Download file,
               co_await build::download(executor, url, folder.path(), options, progress));
    const std::filesystem::path saved =
        folder.path() / (file.name.empty() ? build::unnamed_file : file.name);
    LAB_CO_CHECK(co_await run_blocking<Result<void>>([&saved, &read]() -> Result<void> {
      LAB_TRY(layer::FileSource archive, layer::FileSource::open(saved.string()));
      return read(archive);
    }));
  }
  if (name) LAB_CO_CHECK(store.tag((*made)->id, *name));
  store.emit({"import", (*made)->id, (*made)->id});
  progress.status((*made)->id);
  progress.finish();
  http::Response response;
  response.headers.set("Content-Type", "application/json");
  response.body = co_await progress.next();
  co_return co_await exchange.respond(std::move(response));
}

}  // namespace lab::engine::api
