#include "engine/image/reference.hpp"

#include <algorithm>

namespace lab::engine::image {

namespace {

constexpr std::size_t name_length_max = 255;
constexpr std::size_t tag_length_max = 128;

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_word(char c) { return is_lower_or_digit(c) || is_upper(c) || c == '_'; }

Error invalid_format() { return {Code::invalid_argument, "invalid reference format"}; }

bool has_upper(std::string_view text) { return std::any_of(text.begin(), text.end(), is_upper); }

// [a-z0-9]+ joined by ".", "_", "__" or any number of "-".
bool is_path_component(std::string_view text) {
  std::size_t at = 0;
  const auto take_word = [&] {
    const std::size_t start = at;
    while (at < text.size() && is_lower_or_digit(text[at])) ++at;
    return at > start;
  };
  if (!take_word()) return false;
  while (at < text.size()) {
    if (text[at] == '.') {
      ++at;
    } else if (text[at] == '_') {
      ++at;
      if (at < text.size() && text[at] == '_') ++at;
    } else if (text[at] == '-') {
      while (at < text.size() && text[at] == '-') ++at;
    } else {
      return false;
    }
    if (!take_word()) return false;
  }
  return true;
}

bool is_path(std::string_view text) {
  while (true) {
    const std::size_t slash = text.find('/');
    if (!is_path_component(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool is_port(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Labels of letters, digits and inner hyphens, joined by dots; then ":PORT" perhaps.
bool is_domain(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    if (!is_port(text.substr(colon + 1))) return false;
    text = text.substr(0, colon);
  }
  while (true) {
    const std::size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    for (const char c : label) {
      if (!is_lower_or_digit(c) && !is_upper(c) && c != '-') return false;
    }
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > tag_length_max || !is_word(text.front())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_word(c) || c == '.' || c == '-'; });
}

// The registry part, "docker.io" when there is none; leaves the rest in `text`.
std::string take_domain(std::string_view& text) {
  const std::size_t slash = text.find('/');
  const std::string_view first = text.substr(0, slash);
  const bool is_registry =
      slash != std::string_view::npos && (first.find_first_of(".:") != std::string_view::npos ||
                                          first == "localhost" || has_upper(first));
  if (!is_registry) return std::string(default_domain);
  text.remove_prefix(slash + 1);
  if (first == "index.docker.io") return std::string(default_domain);
  return std::string(first);
}

std::string with_suffixes(std::string text, const Reference& reference) {
  if (!reference.tag.empty()) text += ":" + reference.tag;
  if (!reference.digest.empty()) text += "@" + reference.digest;
  return text;
}

}  // namespace

std::string Reference::name() const { return domain + "/" + path; }

std::string Reference::familiar_name() const {
  if (domain != default_domain) return name();
  constexpr std::string_view library = "library/";
  if (path.starts_with(library) && path.find('/', library.size()) == std::string::npos) {
    return path.substr(library.size());
  }
  return path;
}

std::string Reference::canonical() const { return with_suffixes(name(), *this); }
std::string Reference::familiar() const { return with_suffixes(familiar_name(), *this); }

Result<Reference> parse_reference(std::string_view text) {
  if (text.size() == 64 && is_hex_id(text)) {
    return make_error(Code::invalid_argument,
                      "invalid repository name ({}), cannot specify 64-byte hexadecimal strings",
                      text);
  }
  Reference reference;
  std::string_view rest = text;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = rest.substr(at + 1);
    if (!is_digest(reference.digest)) return invalid_format();
    rest = rest.substr(0, at);
  }
  reference.domain = take_domain(rest);
  if (const std::size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    reference.tag = rest.substr(colon + 1);
    if (!is_tag(reference.tag)) return invalid_format();
    rest = rest.substr(0, colon);
  }
  if (has_upper(rest)) {
    return Error{Code::invalid_argument,
                 "invalid reference format: repository name must be lowercase"};
  }
  reference.path = rest;
  if (reference.domain == default_domain && rest.find('/') == std::string_view::npos) {
    reference.path = "library/" + reference.path;
  }
  if (!is_path(rest) || !is_domain(reference.domain)) return invalid_format();
  if (reference.name().size() > name_length_max) {
    return make_error(Code::invalid_argument, "repository name must not be more than {} characters",
                      name_length_max);
  }
  return reference;
}

Result<Reference> parse_reference_with_default_tag(std::string_view text) {
  LAB_TRY(Reference reference, parse_reference(text));
  if (reference.is_name_only()) reference.tag = default_tag;
  return reference;
}

bool is_digest(std::string_view text) {
  return text.starts_with("sha256:") && text.size() == 7 + 64 && is_hex_id(text.substr(7));
}

bool is_hex_id(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

std::string_view digest_hex(std::string_view digest) {
  return digest.starts_with("sha256:") ? digest.substr(7) : digest;
}

std::string short_id(std::string_view id) { return std::string(digest_hex(id).substr(0, 12)); }

}  // namespace lab::engine::image
