// .dockerignore: which files of a context do not count. The client leaves them out itself; the
// builder asks about the Dockerfile and .dockerignore, which are always sent.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::build {

// Patterns of Go's filepath.Match and "**"; a later one counts more, "!" makes an exception.
class IgnorePatterns {
 public:
  // The text of a .dockerignore. Code::invalid_argument on a pattern that is none.
  [[nodiscard]] static Result<IgnorePatterns> parse(std::string_view text);

  // A path relative to the context: "src/main.c".
  [[nodiscard]] bool excludes(std::string_view path) const;

 private:
  struct Pattern {
    std::string text;
    std::size_t folders = 0;  // components of it
    bool exception = false;
  };
  std::vector<Pattern> patterns_;
};

// Go's filepath.Match: '*' and '?' do not match '/', "[a-z]" and "\c" as usual. Nothing for a
// malformed pattern.
enum class Match : std::uint8_t { no, yes, malformed };
[[nodiscard]] Match match_path(std::string_view pattern, std::string_view path);

}  // namespace lab::engine::build
