#include "engine/build/builder.hpp"

#include <charconv>

#include "base/blocking.hpp"
#include "engine/build/mounted_image.hpp"
#include "engine/build/step_image.hpp"
#include "engine/container/config.hpp"
#include "engine/image/platform.hpp"
#include "engine/layer/unpack.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::build {

namespace asio = boost::asio;
namespace json = boost::json;
using image::ImagePtr;
using Done = asio::awaitable<Result<void>>;

namespace {

constexpr const char* scratch = "scratch";
constexpr const char* hub_key = "https://index.docker.io/v1/";
constexpr const char* default_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

template <typename... Args>
Error bad(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(Code::invalid_argument, format, std::forward<Args>(args)...);
}

// The stage of this name or number among the first `count`.
std::optional<std::size_t> stage_number(const std::vector<Stage>& stages, const std::string& name) {
  for (std::size_t i = stages.size(); i-- > 0;) {
    if (!stages[i].name.empty() && stages[i].name == name) return i;
  }
  std::size_t number = 0;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (failure != std::errc() || end != name.data() + name.size() || number >= stages.size())
    return {};
  return number;
}

Result<void> check_platform(const std::string& platform) {
  if (platform.empty() || image::is_own_platform(platform)) return {};
  LAB_CHECK(image::check_platform_name(platform));
  const std::string system = platform.substr(0, platform.find('/'));
  if (system == "windows") return bad("unsupported os {}", system);
  return bad("the platform {} is not this machine's, which is linux/amd64", platform);
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), ::tolower);
  return text;
}

}  // namespace

Builder::Builder(Parts parts, BuildOptions options, BuildOutput& output,
                 const BuildContext& context)
    : parts_(parts),
      options_(std::move(options)),
      output_(output),
      context_(context),
      silent_(parts.containers.services().executor, parts.containers.services().clock),
      arguments_(options_.arguments) {}

Builder::~Builder() {
  for (const std::filesystem::path& folder : downloads_)
    static_cast<void>(layer::remove_tree(folder));
}

image::ImageStore& Builder::store() const { return parts_.containers.services().images; }

std::string Builder::image_id() const { return image_ ? image_->id : std::string(); }

Variables Builder::variables() const {
  Variables all = environment_of(config_.document);
  for (auto& [name, value] : arguments_.visible(texts_of(config_.document, "Env")))
    all[name] = value;
  return all;
}

void Builder::say_step(const std::string& text) {
  output_.text(fmt::format("Step {}/{} : {}\n", ++step_, steps_, text));
}

// Checks what can be checked before the first step, and cuts off the stages behind the target.
Result<void> Builder::prepare(Dockerfile& file) {
  LAB_CHECK(check_platform(options_.platform));
  for (const Stage& stage : file.stages) {
    for (const Instruction& instruction : stage.instructions) {
      if (instruction.name != "HEALTHCHECK") continue;
      auto check = health_check_of(instruction);
      if (!check)
        return bad("dockerfile parse error line {}: {}", instruction.line, check.error().message);
    }
  }
  if (!options_.target.empty()) {
    const auto target = stage_number(file.stages, lower(options_.target));
    if (!target) return bad("failed to reach build target {} in Dockerfile", options_.target);
    file.stages.resize(*target + 1);
  }
  if (file.stages.empty())
    return Error{Code::internal,
                 "No image was generated. Is your Dockerfile "
                 "empty?"};
  for (const auto& [key, value] : options_.labels) {
    Instruction label;
    label.name = "LABEL";
    label.original = fmt::format("LABEL {}={}", key, value);
    label.arguments = {key, value};
    label.literal = true;
    file.stages.back().instructions.push_back(std::move(label));
  }
  escape_ = file.escape;
  steps_ = file.global_arguments.size() + file.stages.size();
  for (const Stage& stage : file.stages) steps_ += stage.instructions.size();
  return {};
}

Result<void> Builder::open_cache() {
  std::vector<ImagePtr> sources;
  for (const std::string& name : options_.cache_from) {
    if (auto source = store().resolve(name)) sources.push_back(std::move(*source));
  }
  // Of the images asked for none is there: then nothing can hit.
  if (options_.cache_from.empty() || !sources.empty()) cache_.emplace(store(), std::move(sources));
  if (!options_.use_cache) cache_.reset();
  return {};
}

Result<void> Builder::declare_globals(const Dockerfile& file) {
  for (const Instruction& declaration : file.global_arguments) {
    say_step(declaration.original);
    for (const std::string& word : declaration.arguments) {
      LAB_TRY(const std::string expanded, expand_word(word, arguments_.visible({}), escape_));
      auto [name, value] = split_assignment(expanded);
      arguments_.declare_global(name, std::move(value));
    }
  }
  return {};
}

asio::awaitable<Result<std::string>> Builder::run(Dockerfile file) {
  LAB_CO_CHECK(prepare(file));
  LAB_CO_CHECK(open_cache());
  if (!file.warnings.empty())
    output_.error_text(fmt::format("{}\n", fmt::join(file.warnings, "\n")));
  LAB_CO_CHECK(declare_globals(file));
  for (const Stage& stage : file.stages) LAB_CO_CHECK(co_await run_stage(stage));
  if (const std::vector<std::string> unused = arguments_.unused(); !unused.empty()) {
    output_.text(fmt::format("[Warning] One or more build-args [{}] were not consumed\n",
                             fmt::join(unused, " ")));
  }
  if (!image_) co_return Error{Code::internal, "No image was generated. Is your Dockerfile empty?"};
  LAB_CO_CHECK(co_await finish_image());
  co_return image_->id;
}

Done Builder::finish_image() {
  if (options_.squash) {
    LAB_CO_TRY(image_, co_await run_blocking<Result<ImagePtr>>([this] {
                 return build::squash(store(), image_, base_,
                                      parts_.containers.services().clock.wall_now());
               }));
    output_.image_id(image_->id, "moby.image.id");
  }
  output_.text(fmt::format("Successfully built {}\n", image::short_id(image_->id)));
  for (const image::Reference& tag : options_.tags) {
    LAB_CO_CHECK(
        co_await run_blocking<Result<void>>([this, &tag] { return store().tag(image_->id, tag); }));
    output_.text(fmt::format("Successfully tagged {}\n", tag.familiar()));
  }
  co_return Result<void>();
}

Done Builder::run_stage(const Stage& stage) {
  for (const StageResult& earlier : stages_) {
    if (!stage.name.empty() && earlier.name == stage.name)
      co_return bad("{} stage name already used", stage.name);
  }
  say_step(stage.original);
  LAB_CO_CHECK(co_await begin_stage(stage));
  output_.text(fmt::format(" ---> {}\n", image::short_id(image_id())));
  for (const Instruction& instruction : stage.instructions) {
    if (cancelled_) {
      output_.text("Build cancelled\n");
      co_return Error{Code::cancelled, "Build cancelled"};
    }
    say_step(instruction.original);
    LAB_CO_CHECK(co_await dispatch(instruction));
    output_.text(fmt::format(" ---> {}\n", image::short_id(image_id())));
  }
  if (image_) output_.image_id(image_->id);
  StageResult result;
  result.name = stage.name;
  result.image = image_;
  stages_.push_back(std::move(result));
  co_return Result<void>();
}

Done Builder::begin_stage(const Stage& stage) {
  cache_missed_ = false;
  arguments_.begin_stage();
  LAB_CO_TRY(const std::string platform, expand_word(stage.platform, arguments_.global(), escape_));
  LAB_CO_CHECK(check_platform(platform));
  LAB_CO_TRY(std::string name, expand_word(stage.base, arguments_.global(), escape_));
  if (name.empty()) co_return bad("base name ({}) should not be blank", stage.base);
  const bool is_stage =
      std::any_of(stages_.begin(), stages_.end(),
                  [&name](const StageResult& earlier) { return earlier.name == lower(name); });
  image_ = nullptr;
  config_ = RunConfig();
  if (is_stage || name != scratch) {
    LAB_CO_TRY(image_, co_await base_image(std::move(name), is_stage));
  }
  base_ = image_;
  if (image_) config_.document = image_->run_config();
  config_.document = container::complete_image_config(config_.document);
  config_.document["OpenStdin"] = false;
  config_.document["StdinOnce"] = false;
  if (!environment_of(config_.document).contains("PATH")) {
    json::array environment = array_of(config_.document, "Env");
    environment.emplace_back(default_path);
    config_.document["Env"] = std::move(environment);
  }
  std::vector<std::string> triggers = texts_of(config_.document, "OnBuild");
  if (triggers.empty()) co_return Result<void>();
  config_.document["OnBuild"] = nullptr;
  co_return co_await run_triggers(std::move(triggers));
}

Done Builder::run_triggers(std::vector<std::string> triggers) {
  output_.text(fmt::format("# Executing {} build trigger{}\n", triggers.size(),
                           triggers.size() > 1 ? "s" : ""));
  for (const std::string& trigger : triggers) {
    LAB_CO_TRY(std::vector<Instruction> parsed, parse_instructions(trigger));
    if (parsed.size() != 1)
      co_return Error{Code::internal, "onbuild trigger should be a single expression"};
    LAB_CO_CHECK(co_await dispatch(std::move(parsed.front())));
  }
  co_return Result<void>();
}

registry::Credentials Builder::credentials_for(const image::Reference& reference) const {
  const std::string key = reference.domain == image::default_domain ? hub_key : reference.domain;
  const auto found = options_.credentials.find(key);
  if (found != options_.credentials.end()) return found->second;
  for (const auto& [server, credentials] : options_.credentials) {
    std::string host =
        server.substr(server.find("://") == std::string::npos ? 0 : server.find("://") + 3);
    if (host.substr(0, host.find('/')) == reference.domain) return credentials;
  }
  return {};
}

asio::awaitable<Result<ImagePtr>> Builder::base_image(std::string name, bool is_stage) {
  if (is_stage) {
    for (const StageResult& earlier : stages_) {
      if (earlier.name == lower(name)) co_return earlier.image;
    }
  }
  if (!options_.always_pull) {
    auto found = store().resolve(name);
    if (found || found.error().code != Code::not_found) co_return found;
  }
  LAB_CO_TRY(image::Reference reference, image::parse_reference_with_default_tag(name));
  registry::Credentials credentials = credentials_for(reference);
  registry::Progress& progress = output_.quiet() ? silent_ : output_.progress();
  auto pulled = co_await parts_.puller.pull(reference, std::move(credentials), progress);
  if (!pulled) co_return Error{Code::internal, pulled.error().message};
  co_return store().resolve(name);
}

// COPY --from: a stage by name or number, or an image.
asio::awaitable<Result<ImagePtr>> Builder::copy_source(std::string name) {
  std::size_t number = 0;
  for (const StageResult& earlier : stages_) {
    if (!earlier.name.empty() && earlier.name == lower(name)) co_return earlier.image;
  }
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (failure == std::errc() && end == name.data() + name.size()) {
    if (number < stages_.size()) co_return stages_[number].image;
    co_return bad(
        "invalid from flag value {}: {}", name,
        number == stages_.size() ? "refers to current build stage" : "index out of bounds");
  }
  auto found = co_await base_image(name, false);
  if (!found) co_return found.error().wrap("invalid from flag value {}", name);
  co_return found;
}

Done Builder::dispatch(Instruction instruction) {
  LAB_CO_CHECK(expand_arguments(instruction, variables(), escape_));
  config_.document["Image"] = image_id();
  auto done = co_await carry_out(std::move(instruction));
  if (options_.always_remove || (options_.remove && done)) {
    auto removed = co_await remove_containers();
    if (done && !removed) done = std::move(removed);
  }
  containers_.clear();
  co_return done;
}

Done Builder::carry_out(Instruction instruction) {
  if (instruction.name == "RUN") return run_command(std::move(instruction));
  if (instruction.name == "COPY" || instruction.name == "ADD") return copy(std::move(instruction));
  if (instruction.name == "ARG") return declare_argument(std::move(instruction));
  return change_config(std::move(instruction));
}

}  // namespace lab::engine::build
