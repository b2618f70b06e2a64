#include "provision/labfile/reader.hpp"

#include <charconv>
#include <cmath>

#include "provision/labfile/suggest.hpp"

namespace lab::provision {

std::vector<LabfileProblem> Problems::take() {
  std::stable_sort(list_.begin(), list_.end(), [](const auto& a, const auto& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  return std::move(list_);
}

void Problems::insert(toml::source_position at, const std::string& message) {
  std::string shown;
  for (char c : message) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      shown += c == '\n' ? "\\n" : fmt::format("\\x{:02x}", byte);
    } else {
      shown += c;
    }
  }
  list_.push_back({at.line, at.column, std::move(shown)});
}

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string: return "a string";
    case toml::node_type::integer: return "an integer";
    case toml::node_type::floating_point: return "a floating-point number";
    case toml::node_type::boolean: return "a boolean";
    case toml::node_type::array: return "an array";
    case toml::node_type::table: return "a table";
    default: return "a date or time";
  }
}

std::optional<std::uint64_t> parse_size_mib(std::string_view text) {
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) return std::nullopt;
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  static const std::map<std::string_view, double> units{
      {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0},
      {"KB", 1e3},     {"MB", 1e6},        {"GB", 1e9},           {"TB", 1e12}};
  auto found = units.find(unit);
  if (found == units.end()) return std::nullopt;
  double mib = std::ceil(number * found->second / 1048576.0);
  if (mib > 1e12) return std::nullopt;
  return static_cast<std::uint64_t>(mib);
}

std::string format_mib(std::uint64_t mib) {
  if (mib != 0 && mib % (1024 * 1024) == 0) return fmt::format("{}TiB", mib / 1024 / 1024);
  if (mib != 0 && mib % 1024 == 0) return fmt::format("{}GiB", mib / 1024);
  return fmt::format("{}MiB", mib);
}

std::string TableReader::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

toml::source_position TableReader::at(std::string_view key) const {
  const toml::node* node = table_.get(key);
  return node == nullptr ? at() : node->source().begin;
}

const toml::node* TableReader::find(std::string_view key) {
  know(key);
  return table_.get(key);
}

void TableReader::wrong_type(const toml::node& node, std::string_view key,
                             std::string_view wanted) {
  problems_.add(node.source().begin, "{} is {}; {} is needed", path_of(key), type_name(node),
                wanted);
}

std::optional<Placed<std::string>> TableReader::text(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_string())
    return Placed<std::string>{value->get(), node->source().begin};
  wrong_type(*node, key, "a string");
  return std::nullopt;
}

std::optional<Placed<std::int64_t>> TableReader::integer(std::string_view key, std::int64_t low,
                                                         std::int64_t high) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_integer();
  if (value == nullptr) {
    wrong_type(*node, key, "an integer");
    return std::nullopt;
  }
  if (value->get() < low || value->get() > high) {
    problems_.add(node->source().begin, "{} is {}; it must be {} to {}", path_of(key), value->get(),
                  low, high);
    return std::nullopt;
  }
  return Placed<std::int64_t>{value->get(), node->source().begin};
}

std::optional<bool> TableReader::boolean(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_boolean()) return value->get();
  wrong_type(*node, key, "true or false");
  return std::nullopt;
}

std::optional<std::uint64_t> TableReader::size_mib(std::string_view key, std::uint64_t low,
                                                   std::uint64_t high) {
  std::optional<Placed<std::string>> written = text(key);
  if (!written) return std::nullopt;
  std::optional<std::uint64_t> mib = parse_size_mib(written->value);
  if (!mib) {
    problems_.add(written->at, "{} is \"{}\"; a size is needed, like \"768MiB\" or \"8GiB\"",
                  path_of(key), written->value);
    return std::nullopt;
  }
  if (*mib < low || *mib > high) {
    problems_.add(written->at, "{} is \"{}\"; {} {} is {}", path_of(key), written->value,
                  *mib < low ? "at least" : "at most", format_mib(*mib < low ? low : high),
                  *mib < low ? "needed" : "allowed");
    return std::nullopt;
  }
  return mib;
}

std::optional<Placed<std::string>> TableReader::word(std::string_view key,
                                                     const std::vector<std::string>& words) {
  std::optional<Placed<std::string>> written = text(key);
  if (!written) return std::nullopt;
  if (std::find(words.begin(), words.end(), written->value) != words.end()) return written;
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "\"" : ", \"") + word + "\"";
  std::string meant = nearest_word(written->value, words);
  problems_.add(written->at, "{} is \"{}\"; it must be one of {}{}", path_of(key), written->value,
                list, meant.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", meant));
  return std::nullopt;
}

std::vector<Placed<std::string>> TableReader::texts(std::string_view key) {
  std::vector<Placed<std::string>> list;
  const toml::node* node = find(key);
  if (node == nullptr) return list;
  const auto* array = node->as_array();
  if (array == nullptr) {
    wrong_type(*node, key, "an array of strings");
    return list;
  }
  for (std::size_t i = 0; i < array->size(); ++i) {
    const toml::node& element = *array->get(i);
    if (const auto* value = element.as_string()) {
      list.push_back({value->get(), element.source().begin});
    } else {
      wrong_type(element, fmt::format("{}[{}]", key, i), "a string");
    }
  }
  return list;
}

const toml::table* TableReader::table(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  if (const auto* found = node->as_table()) return found;
  problems_.add(node->source().begin, "{} is {}; a table is needed: [{}]", path_of(key),
                type_name(*node), path_of(key));
  return nullptr;
}

std::vector<const toml::table*> TableReader::tables(std::string_view key) {
  std::vector<const toml::table*> list;
  const toml::node* node = find(key);
  if (node == nullptr) return list;
  const auto* array = node->as_array();
  if (array == nullptr) {
    problems_.add(node->source().begin, "{} is {}; tables in an array are needed: [[{}]]",
                  path_of(key), type_name(*node), path_of(key));
    return list;
  }
  for (std::size_t i = 0; i < array->size(); ++i) {
    const toml::node& element = *array->get(i);
    if (const auto* found = element.as_table()) {
      list.push_back(found);
    } else {
      wrong_type(element, fmt::format("{}[{}]", key, i), "a table");
    }
  }
  return list;
}

void TableReader::require(std::string_view key, std::string_view example) {
  if (table_.contains(key)) return;
  problems_.add(at(), "{} is missing: {} = {}", path_of(key), key, example);
}

void TableReader::finish() {
  for (const auto& [key, node] : table_) {
    std::string name(key.str());
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    std::string meant = nearest_word(name, known_);
    std::string hint;
    if (!meant.empty()) {
      hint = fmt::format("; did you mean \"{}\"?", meant);
    } else {
      for (const std::string& word : known_)
        hint += (hint.empty() ? "; known here: " : ", ") + word;
    }
    problems_.add(key.source().begin, "unknown key {}{}", path_of(name), hint);
  }
}

}  // namespace lab::provision
