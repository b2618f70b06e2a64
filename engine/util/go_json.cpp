#include "engine/util/go_json.hpp"

#include <boost/json/parse.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lab::engine {

namespace json = boost::json;

namespace {

// As much as JSON is nested in no request; the scanner's stack is enough for it.
constexpr int nesting_max = 1000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// As strconv.Quote between single quotes.
std::string quoted(char c) {
  if (c == '\'') return R"('\'')";
  if (c == '"') return R"('"')";
  if (c == '\n') return R"('\n')";
  if (c == '\t') return R"('\t')";
  if (c == '\r') return R"('\r')";
  if (c == '\\') return R"('\\')";
  const unsigned byte = static_cast<unsigned char>(c);
  if (byte < 0x20 || byte == 0x7f) return fmt::format("'\\x{:02x}'", byte);
  return byte < 0x80 ? fmt::format("'{}'", c) : fmt::format("'\\u{:04x}'", byte);
}

// Finds where the first value ends, or what is wrong with it.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  // The size of the text up to the value's end.
  Result<std::size_t> value_end() {
    skip_space();
    if (at_ == text_.size()) return make_error(Code::internal, "EOF");
    LAB_CHECK(value());
    return at_;
  }

 private:
  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }

  void skip_space() {
    while (!at_end() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }

  Error invalid(std::string_view context) const {
    if (at_end()) return make_error(Code::internal, "unexpected EOF");
    return make_error(Code::internal, "invalid character {} {}", quoted(text_[at_]), context);
  }

  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  Result<void> value() {
    skip_space();
    if (at_end()) return invalid("");
    switch (text_[at_]) {
      case '{':
      case '[': return nested();
      case '"': return string();
      case 't': return literal("true");
      case 'f': return literal("false");
      case 'n': return literal("null");
      default: return number();
    }
  }

  Result<void> literal(std::string_view word) {
    for (std::size_t i = 0; i < word.size(); ++i) {
      if (!take(word[i]))
        return invalid(fmt::format("in literal {} (expecting {})", word, quoted(word[i])));
    }
    return {};
  }

  void digits() {
    while (!at_end() && is_digit(text_[at_])) ++at_;
  }

  Result<void> number() {
    const bool negative = take('-');
    if (at_end() || !is_digit(text_[at_]))
      return invalid(negative ? "in numeric literal" : "looking for beginning of value");
    if (!take('0')) digits();
    if (take('.')) {
      if (at_end() || !is_digit(text_[at_]))
        return invalid("after decimal point in numeric literal");
      digits();
    }
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (at_end() || !is_digit(text_[at_])) return invalid("in exponent of numeric literal");
      digits();
    }
    return {};
  }

  Result<void> escape() {
    if (take('u')) {
      for (int i = 0; i < 4; ++i, ++at_) {
        if (at_end() || !is_hex(text_[at_])) return invalid("in \\u hexadecimal character escape");
      }
      return {};
    }
    if (at_end() || std::string_view("bfnrt\\/\"").find(text_[at_]) == std::string_view::npos)
      return invalid("in string escape code");
    ++at_;
    return {};
  }

  Result<void> string() {
    ++at_;
    while (!take('"')) {
      if (at_end() || static_cast<unsigned char>(text_[at_]) < 0x20)
        return invalid("in string literal");
      if (!take('\\')) {
        ++at_;
      } else {
        LAB_CHECK(escape());
      }
    }
    return {};
  }

  Result<void> nested() {
    if (depth_ == nesting_max) return make_error(Code::internal, "exceeded max depth");
    ++depth_;
    Result<void> done = text_[at_] == '{' ? object() : array();
    --depth_;
    return done;
  }

  Result<void> array() {
    ++at_;
    skip_space();
    if (take(']')) return {};
    for (;;) {
      LAB_CHECK(value());
      skip_space();
      if (take(']')) return {};
      if (!take(',')) return invalid("after array element");
    }
  }

  Result<void> object() {
    ++at_;
    skip_space();
    if (take('}')) return {};
    for (;;) {
      skip_space();
      if (at_end() || text_[at_] != '"')
        return invalid("looking for beginning of object key string");
      LAB_CHECK(string());
      skip_space();
      if (!take(':')) return invalid("after object key");
      LAB_CHECK(value());
      skip_space();
      if (take('}')) return {};
      if (!take(',')) return invalid("after object key:value pair");
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

// A line of declarations from `at` on, which moves to the next; without spaces around it.
std::string_view next_line(std::string_view text, std::size_t& at) {
  const std::size_t end = std::min(text.find('\n', at), text.size());
  std::string_view line = text.substr(at, end - at);
  at = end + 1;
  const std::size_t first = line.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(' ') - first + 1);
}

struct Field {
  std::string_view name;
  std::string_view type;
};

Field parse_field(std::string_view line) {
  const std::size_t space = std::min(line.find(' '), line.size());
  return {line.substr(0, space), line.substr(std::min(space + 1, line.size()))};
}

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](unsigned char c) { return std::tolower(c); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

// What Go calls a value in its errors.
std::string kind_of(const json::value& value) {
  if (value.is_string()) return "string";
  if (value.is_bool()) return "bool";
  if (value.is_number()) return "number";
  return value.is_array() ? "array" : "object";
}

class TypeChecker {
 public:
  explicit TypeChecker(std::string_view declarations) : declarations_(declarations) {}

  Result<void> check(std::string_view type, json::value& value) {
    if (value.is_null() || type == "any") return {};
    while (type.starts_with('*')) type.remove_prefix(1);
    if (type == "strslice.StrSlice") return check_words(value);
    std::size_t body = 0;
    const std::string_view kind = find(type, body).value_or(type);
    const std::string_view element = kind.substr(kind.find(']') + 1);
    if (kind == "struct {") return check_struct(type, body, value);
    if (kind == "struct {}") return value.is_object() ? Result<void>() : mismatch(value, type);
    if (kind.starts_with('[')) return check_array(type, value, element);
    if (kind.starts_with("map[")) return check_map(type, value, element);
    return check_plain(type, kind, value);
  }

 private:
  // What `type` is declared as; `at` is then after that line.
  std::optional<std::string_view> find(std::string_view type, std::size_t& at) const {
    at = 0;
    while (at < declarations_.size()) {
      const Field line = parse_field(next_line(declarations_, at));
      if (line.name == type) return line.type;
    }
    return {};
  }

  Error mismatch(const json::value& value, std::string_view type) const {
    return mismatch(kind_of(value), type);
  }

  Error mismatch(const std::string& kind, std::string_view type) const {
    if (structure_.empty()) {
      return make_error(Code::internal, "json: cannot unmarshal {} into Go value of type {}", kind,
                        type);
    }
    return make_error(Code::internal,
                      "json: cannot unmarshal {} into Go struct field {}.{} of type {}", kind,
                      structure_, path_, type);
  }

  // One text or a list of texts.
  Result<void> check_words(const json::value& value) const {
    bool fits = value.is_string();
    if (value.is_array()) {
      const json::array& words = value.get_array();
      fits = std::all_of(words.begin(), words.end(),
                         [](const json::value& word) { return word.is_string(); });
    }
    return fits ? Result<void>() : mismatch(value, "string");
  }

  Result<void> check_array(std::string_view type, json::value& value, std::string_view element) {
    if (!value.is_array()) return mismatch(value, type);
    for (json::value& item : value.get_array()) LAB_CHECK(check(element, item));
    return {};
  }

  Result<void> check_map(std::string_view type, json::value& value, std::string_view element) {
    if (!value.is_object()) return mismatch(value, type);
    for (auto& member : value.get_object()) LAB_CHECK(check(element, member.value()));
    return {};
  }

  std::optional<Field> find_field(std::size_t body, std::string_view name) const {
    std::optional<Field> like;
    for (;;) {
      const Field field = parse_field(next_line(declarations_, body));
      if (field.name == "}") return like;
      if (field.name == name) return field;
      if (!like && same_name(field.name, name)) like = field;
    }
  }

  Result<void> check_struct(std::string_view type, std::size_t body, json::value& value) {
    if (!value.is_object()) return mismatch(value, type);
    const std::string_view outer = structure_;
    const std::size_t outer_size = path_.size();
    std::vector<std::pair<std::string, std::string>> renamed;
    for (auto& member : value.get_object()) {
      const std::optional<Field> field = find_field(body, member.key());
      if (!field) continue;
      if (field->name != member.key()) renamed.emplace_back(member.key(), field->name);
      structure_ = type.substr(type.find('.') + 1);
      if (outer_size > 0) path_ += '.';
      path_ += field->name;
      LAB_CHECK(check(field->type, member.value()));
      structure_ = outer;
      path_.resize(outer_size);
    }
    for (const auto& [from, to] : renamed) rename(value.get_object(), from, to);
    return {};
  }

  // Not over a member that has the name already.
  static void rename(json::object& object, const std::string& from, const std::string& to) {
    json::value moved = std::move(object.at(from));
    object.erase(from);
    object.emplace(to, std::move(moved));
  }

  Result<void> check_plain(std::string_view name, std::string_view kind, const json::value& value) {
    if (kind == "string" || kind == "bool") {
      const bool fits = kind == "string" ? value.is_string() : value.is_bool();
      return fits ? Result<void>() : mismatch(value, name);
    }
    if (!value.is_number()) return mismatch(value, name);
    const bool natural = value.is_uint64() || (value.is_int64() && value.get_int64() >= 0);
    bool fits = kind.starts_with('u') ? natural : value.is_int64();
    if (fits && kind == "uint16") fits = value.to_number<std::uint64_t>() <= UINT16_MAX;
    if (fits) return {};
    return mismatch(value.is_double()  ? fmt::format("number {}", value.get_double())
                    : value.is_int64() ? fmt::format("number {}", value.get_int64())
                                       : fmt::format("number {}", value.get_uint64()),
                    name);
  }

  std::string_view declarations_;
  std::string_view structure_;
  std::string path_;
};

}  // namespace

Result<json::value> decode_go_json(std::string_view text) {
  LAB_TRY(const std::size_t end, Scanner(text).value_end());
  boost::system::error_code failure;
  json::value value = json::parse(text.substr(0, end), failure);
  if (failure) return make_error(Code::invalid_argument, "invalid JSON: {}", failure.message());
  return value;
}

Result<void> check_go_type(std::string_view declarations, std::string_view type,
                           json::value& value) {
  return TypeChecker(declarations).check(type, value);
}

}  // namespace lab::engine
