#include "vm/apt_sources.hpp"

#include <algorithm>
#include <map>
#include <sstream>

#include "base/file.hpp"
#include "base/subprocess.hpp"

namespace lab::vm {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool wanted(const std::string& found, const std::string& suite) {
  return found == suite || found == suite + "-updates" || found == suite + "-security";
}

// Those of the entry's suites that are wanted.
std::vector<std::string> wanted_suites(const std::string& field, const std::string& suite) {
  std::vector<std::string> result = words_of(field);
  std::erase_if(result, [&](const std::string& word) { return !wanted(word, suite); });
  return result;
}

// "[ signed-by=/a arch=amd64 ]" as deb822 fields.
std::string option_fields(const std::string& options) {
  static const std::map<std::string, std::string> names = {
      {"signed-by", "Signed-By"},
      {"arch", "Architectures"},
      {"trusted", "Trusted"},
      {"check-valid-until", "Check-Valid-Until"},
      {"by-hash", "By-Hash"}};
  std::string fields;
  for (const std::string& word : words_of(options)) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) continue;
    const auto name = names.find(lower(word.substr(0, equals)));
    if (name == names.end()) continue;
    std::string value = word.substr(equals + 1);
    std::replace(value.begin(), value.end(), ',', ' ');
    fields += fmt::format("{}: {}\n", name->second, value);
  }
  return fields;
}

// One line of the old format, as a deb822 entry; empty when it is not wanted.
std::string entry_of_line(std::string line, const std::string& suite) {
  line = line.substr(0, line.find('#'));
  std::string options;
  if (const std::size_t open = line.find('['); open != std::string::npos) {
    const std::size_t close = line.find(']', open);
    if (close == std::string::npos) return {};
    options = line.substr(open + 1, close - open - 1);
    line.erase(open, close - open + 1);
  }
  const std::vector<std::string> words = words_of(line);
  if (words.size() < 4 || words[0] != "deb" || !wanted(words[2], suite)) return {};
  return fmt::format("Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\n{}\n", words[1], words[2],
                     joined({words.begin() + 3, words.end()}), option_fields(options));
}

// One paragraph of the new format, cut down to the wanted suites; empty when there are none.
std::string entry_of_paragraph(const std::string& paragraph, const std::string& suite) {
  std::vector<std::pair<std::string, std::string>> fields;
  std::istringstream stream(paragraph);
  for (std::string line; std::getline(stream, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == ' ' || line[0] == '\t') {
      if (!fields.empty()) fields.back().second += "\n" + line;
      continue;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    fields.emplace_back(line.substr(0, colon),
                        value == std::string::npos ? "" : line.substr(value));
  }
  std::string entry;
  bool suites_found = false;
  for (auto& [name, value] : fields) {
    const std::string key = lower(name);
    if (key == "enabled" && lower(value) == "no") return {};
    if (key == "types") {
      const std::vector<std::string> types = words_of(value);
      if (std::find(types.begin(), types.end(), "deb") == types.end()) return {};
      value = "deb";
    }
    if (key == "suites") {
      const std::vector<std::string> suites = wanted_suites(value, suite);
      if (suites.empty()) return {};
      suites_found = true;
      value = joined(suites);
    }
    entry += fmt::format("{}: {}\n", name, value);
  }
  return suites_found ? entry + "\n" : std::string{};
}

std::string entries_of_file(const std::string& content, bool deb822, const std::string& suite) {
  std::string entries;
  std::istringstream stream(content);
  std::string paragraph;
  for (std::string line; std::getline(stream, line);) {
    if (!deb822) {
      entries += entry_of_line(line, suite);
    } else if (line.find_first_not_of(" \t\r") == std::string::npos) {
      entries += entry_of_paragraph(paragraph, suite);
      paragraph.clear();
    } else {
      paragraph += line + "\n";
    }
  }
  return entries + entry_of_paragraph(paragraph, suite);
}

// What a download needs on this host; the rest of its configuration is the host's own affair.
bool option_is_for_downloads(const std::string& line) {
  static const std::vector<std::string> prefixes = {"Acquire::http::",
                                                    "Acquire::https::",
                                                    "Acquire::Retries ",
                                                    "Acquire::Force",
                                                    "Acquire::Check-Valid-Until ",
                                                    "Acquire::Check-Date "};
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return line.starts_with(prefix); });
}

}  // namespace

Result<std::string> apt_entries_for_suite(const std::filesystem::path& apt_folder,
                                          const std::string& suite) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  if (std::filesystem::exists(apt_folder / "sources.list", error))
    files.push_back(apt_folder / "sources.list");
  std::vector<std::filesystem::path> parts;
  for (const auto& entry :
       std::filesystem::directory_iterator(apt_folder / "sources.list.d", error)) {
    const std::filesystem::path& path = entry.path();
    if (path.extension() == ".list" || path.extension() == ".sources") parts.push_back(path);
  }
  std::sort(parts.begin(), parts.end());
  files.insert(files.end(), parts.begin(), parts.end());

  std::string entries;
  for (const std::filesystem::path& path : files) {
    LAB_TRY(const std::string content, read_file(path));
    entries += entries_of_file(content, path.extension() == ".sources", suite);
  }
  if (entries.empty())
    return make_error(Code::not_found,
                      "{} has no package source for Debian's suite `{}`; add one (with a keyring "
                      "that signs it), as images are built from this host's own sources",
                      apt_folder.string(), suite);
  return entries;
}

void take_apt_option(const std::string& line, AptSources& sources) {
  const std::size_t open = line.find('"');
  const std::size_t close = line.rfind('"');
  if (open == std::string::npos || close <= open + 1) return;
  const std::string name = line.substr(0, line.find(' '));
  const std::string value = line.substr(open + 1, close - open - 1);
  if (name == "Acquire::http::Proxy") {
    sources.environment["http_proxy"] = value;
  } else if (name == "Acquire::https::Proxy") {
    sources.environment["https_proxy"] = value;
  } else if (option_is_for_downloads(line) && value.find('@') == std::string::npos) {
    sources.options.push_back(line.substr(0, close + 1) + ";");
  }
}

Result<AptSources> apt_sources_for_suite(const std::string& suite) {
  AptSources sources;
  LAB_TRY(sources.deb822, apt_entries_for_suite("/etc/apt", suite));
  Command command;
  command.argv = {"apt-config", "dump"};
  LAB_TRY(const std::string dump, run_checked(command));
  std::istringstream stream(dump);
  for (std::string line; std::getline(stream, line);) take_apt_option(line, sources);
  return sources;
}

}  // namespace lab::vm
