// What a build tells its client, in the classic builder's stream: pieces of text, and the ids of
// the images it made.
#pragma once

#include <string>
#include <string_view>

#include "engine/registry/progress.hpp"

namespace lab::engine::build {

class BuildOutput {
 public:
  // `quiet`: nothing is said unless something fails; then all of it.
  BuildOutput(registry::Progress& progress, bool quiet) : progress_(progress), quiet_(quiet) {}

  void text(std::string_view text);
  // In red, as standard error is shown.
  void error_text(std::string_view text);
  void image_id(const std::string& id, std::string_view kind = {});
  // At the end of a quiet build: its id, or what was held back.
  void result(const std::string& id);
  void release();

  // For pulls and downloads.
  [[nodiscard]] registry::Progress& progress() { return progress_; }
  [[nodiscard]] bool quiet() const { return quiet_; }

 private:
  void stream(std::string_view text);

  registry::Progress& progress_;
  bool quiet_;
  std::string held_;
};

}  // namespace lab::engine::build
