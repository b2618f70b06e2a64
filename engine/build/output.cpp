#include "engine/build/output.hpp"

#include <utility>

namespace lab::engine::build {

namespace json = boost::json;

void BuildOutput::stream(std::string_view text) {
  json::object line;
  line["stream"] = text;
  progress_.raw(line);
}

void BuildOutput::text(std::string_view text) {
  if (text.empty()) return;
  if (quiet_) {
    held_ += text;
  } else {
    stream(text);
  }
}

void BuildOutput::error_text(std::string_view piece) {
  if (!piece.empty()) text(fmt::format("\x1b[91m{}\x1b[0m", piece));
}

void BuildOutput::image_id(const std::string& id, std::string_view kind) {
  if (quiet_) return;
  json::object line;
  if (!kind.empty()) line["id"] = kind;
  line["aux"] = json::object{{"ID", id}};
  progress_.raw(line);
}

void BuildOutput::result(const std::string& id) {
  if (quiet_) stream(id + "\n");
}

void BuildOutput::release() {
  if (!held_.empty()) stream(std::exchange(held_, {}));
}

}  // namespace lab::engine::build
