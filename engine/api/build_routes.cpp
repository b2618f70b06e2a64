#include "engine/api/build_routes.hpp"

#include <memory>

#include "base/blocking.hpp"
#include "engine/api/archive_stream.hpp"
#include "engine/api/exchange.hpp"
#include "engine/build/build_request.hpp"
#include "engine/build/commit.hpp"
#include "engine/build/remote.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::api {

namespace asio = boost::asio;
namespace json = boost::json;
using Done = asio::awaitable<Result<void>>;

namespace {

// One request: everything that lives as long as its build.
struct Job {
  Job(Engine& engine, registry::Puller& puller, build::BuildRequest asked)
      : request(std::move(asked)),
        progress(engine.executor(), engine.clock()),
        output(progress, request.quiet),
        guard(engine.images()),
        context(engine.images().temporary_directory()),
        parts{engine.containers(), puller, engine.config().registry},
        builder(parts, request.options, output, context) {}

  build::BuildRequest request;
  registry::Progress progress;
  build::BuildOutput output;
  image::ImageStore::Guard guard;
  build::BuildContext context;
  build::Builder::Parts parts;
  build::Builder builder;
  Result<std::string> outcome = Error{Code::internal, "the build did not end"};
};

asio::awaitable<void> run_build(Job& job) {
  Result<void> ready;
  if (!job.request.remote.empty()) {
    registry::Progress& progress = job.progress;
    ready = co_await build::fetch_context(job.context, job.request.remote, job.parts, progress);
  }
  Result<build::Dockerfile> file = Error{};
  if (ready) {
    file = co_await run_blocking<Result<build::Dockerfile>>(
        [&job] { return job.context.take_dockerfile(job.request.options.dockerfile); });
  } else {
    file = std::move(ready).error();
  }
  if (file) {
    job.outcome = co_await job.builder.run(std::move(*file));
  } else {
    job.outcome = std::move(file).error();
  }
  if (job.outcome) {
    job.output.result(*job.outcome);
  } else {
    job.output.release();
    if (job.progress.started()) {
      json::object detail;
      if (job.builder.exit_code() != 0) detail["code"] = job.builder.exit_code();
      detail["message"] = job.outcome.error().message;
      json::object line;
      line["errorDetail"] = std::move(detail);
      line["error"] = job.outcome.error().message;
      job.progress.raw(line);
    }
  }
  job.progress.finish();
}

Done send_lines(http::Exchange& exchange, Job& job) {
  if (!co_await job.progress.any()) co_return Result<void>();
  http::Headers headers{{"Content-Type", "application/json"}};
  LAB_CO_CHECK(co_await exchange.start(200, std::move(headers)));
  for (;;) {
    const std::string lines = co_await job.progress.next();
    if (lines.empty()) co_return Result<void>();
    LAB_CO_CHECK(co_await exchange.write(lines));
  }
}

Done build_image(BuildParts parts, http::Exchange& exchange) {
  Engine& engine = parts.engine;
  LAB_CO_TRY(build::BuildRequest request,
             build::read_build_request(exchange.request(), engine.config().experimental));
  auto job = std::make_unique<Job>(engine, parts.puller, std::move(request));
  if (job->request.remote.empty() || job->request.remote == "client-session") {
    build::BuildContext& context = job->context;
    ReadArchive read = [&context](layer::ByteSource& bytes) { return context.unpack(bytes); };
    LAB_CO_CHECK(co_await receive_archive(exchange, engine.executor(), std::move(read)));
  } else {
    LAB_CO_CHECK(co_await exchange.read_all());
  }
  registry::TaskGroup group(engine.executor());
  group.spawn(run_build(*job));
  const Result<void> sent = co_await until_client_gone(exchange, send_lines(exchange, *job));
  if (!sent) job->builder.cancel();
  co_await group.wait();
  const Result<std::string> outcome = job->outcome;
  co_await run_on_pool([&job] { job.reset(); });  // removes the context's files
  LAB_CO_CHECK(co_await run_blocking<Result<std::uint64_t>>(
      [&engine] { return engine.images().collect(); }));
  if (!sent) co_return sent;
  if (!exchange.started() && !outcome) co_return outcome.error();
  co_return co_await exchange.finish();
}

// There is no cache beside the images.
Done prune(BuildParts, http::Exchange& exchange) {
  json::object answer{{"CachesDeleted", nullptr}, {"SpaceReclaimed", 0}};
  co_return co_await respond_json(exchange, 200, std::move(answer));
}

Done commit(BuildParts parts, http::Exchange& exchange) {
  const http::Query& query = exchange.request().query;
  build::CommitRequest request;
  request.author = query.get("author");
  request.comment = query.get("comment");
  request.pause = query.flag("pause", true);
  request.changes = query.all("changes");
  std::erase(request.changes, "");
  const std::string repository = query.get("repo");
  const std::string tag = query.get("tag");
  if (query.get("container").empty())
    co_return make_error(Code::invalid_argument, "invalid name or ID supplied: \"\"");
  LAB_CO_TRY(const container::ContainerPtr container,
             parts.engine.containers().find(query.get("container")));
  if (!repository.empty()) {
    LAB_CO_TRY(request.name, image::parse_reference_with_default_tag(
                                 tag.empty() ? repository : repository + ":" + tag));
  }
  LAB_CO_TRY(const std::string body, co_await exchange.read_all());
  if (!body.empty() && body.find_first_not_of(" \r\n") != body.find("null")) {
    LAB_CO_TRY(request.config, parse_object(body));
  }
  LAB_CO_TRY(const std::string id, co_await build::commit_container(parts.engine.containers(),
                                                                    container, std::move(request)));
  json::object answer{{"Id", id}};
  co_return co_await respond_json(exchange, 201, std::move(answer));
}

}  // namespace

void add_build_routes(http::Router& router, BuildParts parts) {
  const auto add = [&](std::string_view pattern, Done (*handler)(BuildParts, http::Exchange&)) {
    router.add("POST", pattern,
               [parts, handler](http::Exchange& exchange) { return handler(parts, exchange); });
  };
  add("/build", build_image);
  add("/build/prune", prune);
  add("/commit", commit);
}

}  // namespace lab::engine::api
