#include "provision/labfile/labfile.hpp"

#include "base/file.hpp"
#include "provision/labfile/build.hpp"
#include "provision/labfile/reader.hpp"

namespace lab::provision {

namespace fs = std::filesystem;

std::string_view to_string(Role role) {
  switch (role) {
    case Role::worker: return "worker";
    case Role::manager: return "manager";
    case Role::none: break;
  }
  return "none";
}

const MachineConfig* Labfile::find(std::string_view machine) const {
  for (const MachineConfig& candidate : machines)
    if (candidate.name == machine) return &candidate;
  return nullptr;
}

unsigned Labfile::prefix_length() const {
  return static_cast<unsigned>(std::stoul(subnet.substr(subnet.find('/') + 1)));
}

LabfileReading parse_labfile(std::string_view text, const fs::path& path) {
  LabfileReading reading;
  Problems problems;
  try {
    toml::table root = toml::parse(text);
    Labfile labfile = build_labfile(root, fs::absolute(path), problems);
    if (problems.empty()) reading.labfile = std::move(labfile);
  } catch (const toml::parse_error& error) {
    problems.add(error.source().begin, "not TOML: {}", error.description());
  }
  reading.problems = problems.take();
  return reading;
}

std::string format_problems(const std::vector<LabfileProblem>& problems, const std::string& file) {
  std::string text;
  for (const LabfileProblem& problem : problems) {
    if (!text.empty()) text += "\n";
    text += problem.line == 0
                ? fmt::format("{}: {}", file, problem.message)
                : fmt::format("{}:{}:{}: {}", file, problem.line, problem.column, problem.message);
  }
  return text;
}

Result<Labfile> load_labfile(const fs::path& path) {
  auto text = read_file(path, std::size_t{4} << 20);
  if (!text && text.error().code == Code::not_found) {
    return make_error(Code::not_found, "there is no {} here: `lab init` writes one", path.string());
  }
  if (!text) return text.error().wrap("reading the labfile");
  LabfileReading reading = parse_labfile(*text, path);
  if (!reading.labfile)
    return Error{Code::invalid_argument, format_problems(reading.problems, path.string())};
  return std::move(*reading.labfile);
}

}  // namespace lab::provision
