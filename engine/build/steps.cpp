// Builder: what the instructions do.
#include <signal.h>

#include "base/blocking.hpp"
#include "base/random.hpp"
#include "engine/build/builder.hpp"
#include "engine/build/download.hpp"
#include "engine/build/mounted_image.hpp"
#include "engine/build/step_image.hpp"
#include "engine/container/attach.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::build {

namespace asio = boost::asio;
namespace json = boost::json;
using image::ImagePtr;
using Done = asio::awaitable<Result<void>>;

namespace {

template <typename... Args>
Error bad(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(Code::invalid_argument, format, std::forward<Args>(args)...);
}

// Takes a container's output in attach frames; nothing can be read from it.
class StepOutput final : public Stream {
 public:
  StepOutput(asio::any_io_executor executor, BuildOutput& output)
      : executor_(std::move(executor)), output_(output) {}

  asio::awaitable<Result<std::size_t>> read_some(asio::mutable_buffer) override {
    co_return std::size_t{0};
  }
  asio::awaitable<Result<void>> write(std::string_view frame) override {
    constexpr std::size_t header_bytes = 8;
    const std::string_view text = frame.substr(std::min(header_bytes, frame.size()));
    if (frame.front() == container::standard_error) {
      output_.error_text(text);
    } else {
      output_.text(text);
    }
    co_return Result<void>();
  }
  asio::awaitable<Result<void>> shutdown_write() override { co_return Result<void>(); }
  void close() override {}
  asio::any_io_executor executor() override { return executor_; }
  std::string peer_address() const override { return "build"; }

 private:
  asio::any_io_executor executor_;
  BuildOutput& output_;
};

// A step that runs nothing is written into the history as a comment to the shell.
json::object with_comment(json::object config, const std::vector<std::string>& comment) {
  std::vector<std::string> command = shell_of(config);
  command.insert(command.end(), comment.begin(), comment.end());
  config["Cmd"] = to_array(command);
  return config;
}

// What a container's configuration gets when it is made.
void set_container(json::object& config, const std::string& id) {
  config["Hostname"] = id.substr(0, 12);
  if (!config["Labels"].is_object()) config["Labels"] = json::object();
}

std::vector<std::string> assignments(const Variables& variables) {
  std::vector<std::string> texts;
  for (const auto& [name, value] : variables) texts.push_back(name + "=" + value);
  return texts;
}

}  // namespace

// True: the image of the step is there already, and is the stage's now.
Result<bool> Builder::is_cached(const json::object& container_config) {
  if (!cache_ || cache_missed_) return false;
  LAB_TRY(ImagePtr found, cache_->find(image_, container_config));
  if (!found) {
    cache_missed_ = true;
    return false;
  }
  output_.text(" ---> Using cache\n");
  image_ = std::move(found);
  return true;
}

Done Builder::commit(json::object container_config, Changes changes) {
  ImageStep step;
  step.parent = image_;
  step.config = config_.document;
  step.container_config = std::move(container_config);
  step.container_id = std::move(changes.container_id);
  step.author = config_.author;
  step.diff_id = std::move(changes.diff_id);
  LAB_CO_TRY(image_, co_await run_blocking<Result<ImagePtr>>([this, &step] {
               return add_step(store(), step, parts_.containers.services().clock.wall_now());
             }));
  co_return Result<void>();
}

Done Builder::change_config(Instruction instruction) {
  const auto note = [this](std::string_view text) { output_.text(text); };
  LAB_CO_TRY(const std::string comment,
             apply_instruction(config_, instruction, variables(), escape_, note));
  const bool is_folder = instruction.name == "WORKDIR";
  json::object step = is_folder ? with_comment(config_.document, {"#(nop) " + comment})
                                : with_comment(config_.document, {"#(nop) ", comment});
  LAB_CO_TRY(const bool cached, is_cached(step));
  if (cached) co_return Result<void>();
  Changes changes;
  LAB_CO_TRY(changes.container_id, co_await create_container(step));
  set_container(step, changes.container_id);
  if (is_folder) {
    const std::string folder = text_of(config_.document, "WorkingDir");
    LAB_CO_TRY(changes.diff_id,
               co_await run_blocking<Result<std::string>>([this, &folder]() -> Result<std::string> {
                 LAB_TRY(auto mounted, MountedImage::mount(parts_.containers, image_));
                 LAB_CHECK(place_folder(mounted->root(), folder));
                 return add_upper_layer(store(), mounted->unmount(), Upper::take);
               }));
  }
  co_return co_await commit(std::move(step), std::move(changes));
}

Done Builder::declare_argument(Instruction instruction) {
  for (const std::string& word : instruction.arguments) {
    auto [name, value] = split_assignment(word);
    arguments_.declare(name, std::move(value));
  }
  const std::string comment = fmt::format("ARG {}", fmt::join(instruction.arguments, " "));
  json::object step = with_comment(config_.document, {"#(nop) ", comment});
  LAB_CO_TRY(const bool cached, is_cached(step));
  if (cached) co_return Result<void>();
  Changes changes;
  LAB_CO_TRY(changes.container_id, co_await create_container(step));
  set_container(step, changes.container_id);
  co_return co_await commit(std::move(step), std::move(changes));
}

Done Builder::run_command(Instruction instruction) {
  const std::vector<std::string> command = command_of(instruction, config_.document);
  const std::vector<std::string> environment = texts_of(config_.document, "Env");
  const Variables visible = arguments_.visible(environment);
  // The arguments that a command saw are part of what it did.
  std::vector<std::string> recorded = command;
  if (!visible.empty()) {
    Variables keyed;
    for (const auto& [name, value] : visible) {
      if (arguments_.is_part_of_cache_key(name)) keyed[name] = value;
    }
    std::vector<std::string> prefix = assignments(keyed);
    prefix.insert(prefix.begin(), fmt::format("|{}", keyed.size()));
    recorded.insert(recorded.begin(), prefix.begin(), prefix.end());
  }
  json::object step = config_.document;
  step["Cmd"] = to_array(recorded);
  if (!recorded.empty()) step["Entrypoint"] = nullptr;
  LAB_CO_TRY(const bool cached, is_cached(step));
  if (cached) co_return Result<void>();

  json::object config = config_.document;
  config["Cmd"] = to_array(command);
  std::vector<std::string> run_environment = environment;
  for (std::string& assignment : assignments(visible))
    run_environment.push_back(std::move(assignment));
  config["Env"] = to_array(run_environment);
  if (!recorded.empty()) config["Entrypoint"] = json::array{""};
  config["Healthcheck"] = json::object{{"Test", json::array{"NONE"}}};
  LAB_CO_TRY(std::string id, co_await create_container(std::move(config)));
  const std::string shown = fmt::format("{}", fmt::join(command, " "));
  LAB_CO_CHECK(co_await run_container(id, shown));
  const std::filesystem::path upper = parts_.containers.rootfs(id).upper;
  const Upper what = options_.remove ? Upper::take : Upper::keep;
  Changes changes;
  changes.container_id = id;
  LAB_CO_TRY(changes.diff_id, co_await run_blocking<Result<std::string>>([this, &upper, what] {
               return add_upper_layer(store(), upper, what);
             }));
  co_return co_await commit(std::move(step), std::move(changes));
}

asio::awaitable<Result<std::string>> Builder::create_container(json::object config) {
  container::CreateRequest request;
  request.host_config = options_.host_config;
  request.config = std::move(config);
  LAB_CO_TRY(container::CreateResult created,
             co_await parts_.containers.create(std::move(request)));
  for (const std::string& warning : created.warnings)
    output_.text(fmt::format(" ---> [Warning] {}\n", warning));
  output_.text(fmt::format(" ---> Running in {}\n", created.id.substr(0, 12)));
  containers_.push_back(created.id);
  co_return created.id;
}

Done Builder::run_container(std::string id, std::string command) {
  container::Containers& containers = parts_.containers;
  LAB_CO_TRY(const container::ContainerPtr container, containers.find(id));
  const asio::any_io_executor executor = containers.services().executor;
  container::AttachOptions options;
  options.output = options.errors = options.framed = true;
  auto session = std::make_shared<container::AttachSession>(executor, std::move(options));
  container->waiting_sessions.push_back(session);
  auto output = std::make_shared<StepOutput>(executor, output_);
  LAB_CO_CHECK(co_await containers.start(container));
  running_ = container;
  if (cancelled_) cancel();
  Background background(executor);
  co_await session->run(output, background);
  while (container->state.running && !container->removed) co_await container->changed.wait();
  running_ = nullptr;
  if (cancelled_) co_return Error{Code::cancelled, "Build cancelled"};
  exit_code_ = container->state.exit_code;
  if (exit_code_ == 0) co_return Result<void>();
  co_return make_error(Code::internal, "The command '{}' returned a non-zero code: {}", command,
                       exit_code_);
}

void Builder::cancel() {
  cancelled_ = true;
  silent_.abandon();
  output_.progress().abandon();
  if (running_) static_cast<void>(container::send_signal(running_->state.process, SIGKILL));
}

Done Builder::remove_containers() {
  for (const std::string& id : containers_) {
    auto container = parts_.containers.find(id);
    if (!container) continue;
    container::RemoveOptions how{true, true};
    LAB_CO_CHECK(co_await parts_.containers.remove(*container, how));
    output_.text(fmt::format("Removing intermediate container {}\n", id.substr(0, 12)));
  }
  co_return Result<void>();
}

asio::awaitable<Result<std::vector<Source>>> Builder::sources_of(const Instruction& instruction,
                                                                 std::filesystem::path root,
                                                                 bool from_image) {
  std::vector<Source> sources;
  const std::size_t words = instruction.arguments.size() - 1;
  for (std::size_t i = 0; i < words; ++i) {
    const std::string& word = instruction.arguments[i];
    std::filesystem::path tree = root;
    std::string path = word;
    const bool url = is_url(word);
    if (url && instruction.name == "COPY") co_return bad("source can't be a URL for COPY");
    if (url) {
      tree = store().temporary_directory() / ("download-" + secure_random_hex(8));
      downloads_.push_back(tree);
      registry::Progress& progress = output_.quiet() ? silent_ : output_.progress();
      LAB_CO_TRY(const Download file, co_await download(parts_.containers.services().executor, word,
                                                        tree, parts_.registry, progress));
      output_.text("\n");
      if (file.name.empty() && instruction.arguments.back().ends_with('/'))
        co_return bad("cannot determine filename for source {}", word);
      path = file.name.empty() ? unnamed_file : file.name;
    }
    auto found = co_await run_blocking<Result<std::vector<Source>>>(
        [&tree, &path] { return find_sources(tree, path); });
    if (!found && found.error().code == Code::not_found && !from_image) {
      co_return found.error().wrap("file not found in build context or excluded by .dockerignore");
    }
    if (!found) co_return std::move(found).error();
    for (Source& source : *found) {
      source.is_download = url;
      sources.push_back(std::move(source));
    }
  }
  if (sources.empty()) co_return bad("no source files were specified");
  co_return sources;
}

Result<std::optional<layer::Owner>> Builder::owner_of(const std::string& text,
                                                      const std::filesystem::path& root) const {
  if (std::count(text.begin(), text.end(), ':') > 1)
    return bad("invalid chown string format: {}", text);
  const std::size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  const std::string group = colon == std::string::npos ? user : text.substr(colon + 1);
  auto found_user = container::resolve_user(root, user, {});
  if (!found_user || user.empty())
    return bad("can't find uid for user {}: no such user: {}", user, user);
  auto found_group = container::resolve_user(root, "0:" + group, {});
  if (!found_group || group.empty())
    return bad("can't find gid for group {}: no such group: {}", group, group);
  return std::optional(layer::Owner{found_user->uid, found_group->gid});
}

Done Builder::copy(Instruction instruction) {
  const std::string& name = instruction.name;
  const auto from = instruction.flags.find("from");
  const bool from_image = from != instruction.flags.end() && !from->second.empty();
  std::unique_ptr<MountedImage> source_image;
  std::filesystem::path root = context_.root();
  if (from_image) {
    LAB_CO_TRY(const ImagePtr image, co_await copy_source(from->second));
    LAB_CO_TRY(source_image,
               co_await run_blocking<Result<std::unique_ptr<MountedImage>>>(
                   [this, &image] { return MountedImage::mount(parts_.containers, image); }));
    root = source_image->root();
  }
  auto sources = co_await sources_of(instruction, root, from_image);
  if (!sources) co_return sources.error().wrap("{} failed", name);
  const std::string wanted = instruction.arguments.back();
  if (sources->size() > 1 && !wanted.ends_with('/')) {
    co_return bad(
        "When using {} with more than one source file, the destination must be a directory and end "
        "with a /",
        name);
  }
  const auto chown = instruction.flags.find("chown");
  const std::string owner = chown == instruction.flags.end() ? std::string() : chown->second;
  json::object step = with_comment(
      config_.document,
      {fmt::format("#(nop) {} {}{} in {} ", name, owner.empty() ? "" : "--chown=" + owner,
                   digest_of(*sources), wanted)});
  LAB_CO_TRY(const bool cached, is_cached(step));
  if (cached) co_return Result<void>();

  Placement placement;
  placement.destination = wanted;
  if (!wanted.starts_with('/'))
    placement.destination = "/" + text_of(config_.document, "WorkingDir") + "/" + wanted;
  if (!from_image) placement.owner = layer::Owner{};
  placement.unpack = name == "ADD";
  Changes changes;
  LAB_CO_TRY(changes.diff_id,
             co_await run_blocking<Result<std::string>>([&, this]() -> Result<std::string> {
               LAB_TRY(auto mounted, MountedImage::mount(parts_.containers, image_));
               if (!owner.empty()) {
                 auto found = owner_of(owner, mounted->root());
                 if (!found) {
                   return std::move(found).error().wrap(
                       "unable to convert uid/gid chown string to host mapping");
                 }
                 placement.owner = *found;
               }
               LAB_CHECK(place_sources(mounted->root(), *sources, placement));
               return add_upper_layer(store(), mounted->unmount(), Upper::take);
             }));
  co_return co_await commit(std::move(step), std::move(changes));
}

}  // namespace lab::engine::build
