// One build: the stages of a Dockerfile carried out step by step, each an image, each looked up in
// the cache first. Texts and behaviour are those of dockerd 20.10's classic builder.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/build/arguments.hpp"
#include "engine/build/cache.hpp"
#include "engine/build/context.hpp"
#include "engine/build/dockerfile.hpp"
#include "engine/build/output.hpp"
#include "engine/build/place.hpp"
#include "engine/build/run_config.hpp"
#include "engine/container/containers.hpp"
#include "engine/registry/auth.hpp"
#include "engine/registry/pull.hpp"

namespace lab::engine::build {

class MountedImage;

struct BuildOptions {
  std::vector<image::Reference> tags;
  std::string dockerfile;  // empty: "Dockerfile"
  std::string target;      // name or number of the last stage to build
  std::string platform;
  bool use_cache = true;
  bool always_pull = false;
  bool remove = true;          // intermediate containers after success
  bool always_remove = false;  // after a failure too
  bool squash = false;
  BuildArguments::Values arguments;
  std::map<std::string, std::string> labels;
  std::vector<std::string> cache_from;
  boost::json::object host_config;                           // of the containers of RUN
  std::map<std::string, registry::Credentials> credentials;  // by registry
};

class Builder {
 public:
  struct Parts {
    container::Containers& containers;
    registry::Puller& puller;
    const registry::Options& registry;
  };
  // All of it outlives the build. On the event loop's thread.
  Builder(Parts parts, BuildOptions options, BuildOutput& output, const BuildContext& context);
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;
  ~Builder();

  // The id of the image. An error's text is for the client as it is.
  [[nodiscard]] boost::asio::awaitable<Result<std::string>> run(Dockerfile file);
  // The client has gone: ends the running step and lets run() fail soon.
  void cancel();
  // After a failure: the exit status of the command that failed, or 0.
  [[nodiscard]] int exit_code() const { return exit_code_; }

 private:
  using Done = boost::asio::awaitable<Result<void>>;

  struct StageResult {
    std::string name;
    image::ImagePtr image;
  };
  // What a finished step did to the files.
  struct Changes {
    std::string container_id;
    std::string diff_id;
  };

  [[nodiscard]] image::ImageStore& store() const;
  [[nodiscard]] std::string image_id() const;
  [[nodiscard]] Variables variables() const;
  void say_step(const std::string& text);

  // builder.cpp
  [[nodiscard]] Result<void> prepare(Dockerfile& file);
  [[nodiscard]] Result<void> open_cache();
  [[nodiscard]] Result<void> declare_globals(const Dockerfile& file);
  [[nodiscard]] Done run_stage(const Stage& stage);
  [[nodiscard]] Done begin_stage(const Stage& stage);
  [[nodiscard]] Done run_triggers(std::vector<std::string> triggers);
  [[nodiscard]] Done dispatch(Instruction instruction);
  [[nodiscard]] Done carry_out(Instruction instruction);
  [[nodiscard]] Done finish_image();
  [[nodiscard]] boost::asio::awaitable<Result<image::ImagePtr>> base_image(std::string name,
                                                                           bool is_stage);
  [[nodiscard]] boost::asio::awaitable<Result<image::ImagePtr>> copy_source(std::string name);
  [[nodiscard]] registry::Credentials credentials_for(const image::Reference& reference) const;

  // steps.cpp
  [[nodiscard]] Result<bool> is_cached(const boost::json::object& container_config);
  [[nodiscard]] Done commit(boost::json::object container_config, Changes changes);
  [[nodiscard]] Done change_config(Instruction instruction);
  [[nodiscard]] Done declare_argument(Instruction instruction);
  [[nodiscard]] Done run_command(Instruction instruction);
  [[nodiscard]] boost::asio::awaitable<Result<std::string>> create_container(
      boost::json::object config);
  [[nodiscard]] Done run_container(std::string id, std::string command);
  [[nodiscard]] Done remove_containers();
  [[nodiscard]] Done copy(Instruction instruction);
  [[nodiscard]] boost::asio::awaitable<Result<std::vector<Source>>> sources_of(
      const Instruction& instruction, std::filesystem::path root, bool from_image);
  [[nodiscard]] Result<std::optional<layer::Owner>> owner_of(
      const std::string& text, const std::filesystem::path& root) const;

  Parts parts_;
  BuildOptions options_;
  BuildOutput& output_;
  const BuildContext& context_;
  registry::Progress silent_;  // takes what a quiet build's pulls say
  BuildArguments arguments_;
  std::optional<BuildCache> cache_;
  bool cache_missed_ = false;  // in this stage: no later step can hit
  char escape_ = '\\';
  std::size_t step_ = 0;
  std::size_t steps_ = 0;

  // Of the stage under way.
  RunConfig config_;
  image::ImagePtr image_;  // null: from scratch, nothing done yet
  image::ImagePtr base_;
  std::vector<StageResult> stages_;

  std::vector<std::string> containers_;  // of the step under way
  std::vector<std::filesystem::path> downloads_;
  container::ContainerPtr running_;
  bool cancelled_ = false;
  int exit_code_ = 0;
};

}  // namespace lab::engine::build
