#include "engine/build/run_config.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "engine/build/arguments.hpp"
#include "engine/build/go_text.hpp"
#include "engine/build/ports.hpp"
#include "engine/container/config.hpp"
#include "engine/container/mounts.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::build {

namespace json = boost::json;

namespace {

template <typename... Args>
Error bad(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(Code::invalid_argument, format, std::forward<Args>(args)...);
}

void set_variable(json::object& config, const std::string& name, const std::string& value) {
  json::array variables = array_of(config, "Env");
  const std::string assignment = name + "=" + value;
  for (json::value& variable : variables) {
    if (split_assignment(std::string(variable.as_string())).first != name) continue;
    variable = assignment;
    config["Env"] = std::move(variables);
    return;
  }
  variables.emplace_back(assignment);
  config["Env"] = std::move(variables);
}

// "ENV A=1 B=2".
std::string apply_pairs(const Instruction& instruction, json::object& config) {
  std::string comment = instruction.name;
  json::object labels = object_of(config, "Labels");
  for (std::size_t i = 0; i + 1 < instruction.arguments.size(); i += 2) {
    const std::string& key = instruction.arguments[i];
    const std::string& value = instruction.arguments[i + 1];
    comment += fmt::format(" {}={}", key, value);
    if (instruction.name == "ENV") {
      set_variable(config, key, value);
    } else {
      labels[key] = value;
    }
  }
  if (instruction.name == "LABEL") config["Labels"] = std::move(labels);
  return comment;
}

void add_member(json::object& config, std::string_view key, std::string_view member) {
  json::object members = object_of(config, key);
  members[member] = json::object();
  config[key] = std::move(members);
}

Result<std::string> apply_expose(const Instruction& instruction, json::object& config,
                                 const Variables& variables, char escape) {
  std::vector<std::string> sorted = instruction.arguments;
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::string> ports;
  for (const std::string& word : sorted) {
    LAB_TRY(std::vector<std::string> words, expand_words(word, variables, escape));
    ports.insert(ports.end(), words.begin(), words.end());
  }
  for (const std::string& port : ports) {
    LAB_TRY(std::vector<std::string> exposed, exposed_ports(port));
    for (const std::string& one : exposed) add_member(config, "ExposedPorts", one);
  }
  return fmt::format("EXPOSE {}", fmt::join(ports, " "));
}

Result<std::string> apply_health_check(const Instruction& instruction, json::object& config,
                                       const std::function<void(std::string_view)>& note) {
  LAB_TRY(json::object check, health_check_of(instruction));
  const std::vector<std::string> old = texts_of(object_of(config, "Healthcheck"), "Test");
  const bool disables = instruction.arguments.front() == "NONE";
  if (!disables && !old.empty() && old.front() != "NONE")
    note(fmt::format("Note: overriding previous HEALTHCHECK: {}\n", go_list(old)));
  const auto duration = [&check](std::string_view key) {
    return go_quoted(go_duration(std::chrono::nanoseconds(integer_of(check, key))));
  };
  std::string comment =
      fmt::format("HEALTHCHECK &{{{} {} {} {} {}}}", go_quoted(texts_of(check, "Test")),
                  duration("Interval"), duration("Timeout"), duration("StartPeriod"),
                  go_quoted_character(integer_of(check, "Retries")));
  config["Healthcheck"] = std::move(check);
  return comment;
}

// "ONBUILD   RUN x" without its first word.
std::string trigger_of(const Instruction& instruction) {
  std::string_view text = instruction.original;
  text.remove_prefix(std::min(text.find_first_of(" \t"), text.size()));
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return std::string(text);
}

Result<std::chrono::nanoseconds> interval_flag(const Instruction& instruction,
                                               const std::string& name) {
  const auto flag = instruction.flags.find(name);
  if (flag == instruction.flags.end() || flag->second.empty()) return std::chrono::nanoseconds(0);
  LAB_TRY(const std::chrono::nanoseconds interval, parse_go_duration(flag->second));
  if (interval.count() != 0 && interval < std::chrono::milliseconds(1))
    return bad("Interval \"{}\" cannot be less than 1ms", name);
  return interval;
}

}  // namespace

Variables environment_of(const json::object& config) {
  Variables variables;
  for (const std::string& variable : texts_of(config, "Env")) {
    auto [name, value] = split_assignment(variable);
    variables.try_emplace(std::move(name), value.value_or(""));
  }
  return variables;
}

std::vector<std::string> shell_of(const json::object& config) {
  std::vector<std::string> shell = texts_of(config, "Shell");
  if (shell.empty()) shell = {"/bin/sh", "-c"};
  return shell;
}

std::vector<std::string> command_of(const Instruction& instruction, const json::object& config) {
  if (instruction.json || instruction.arguments.empty()) return instruction.arguments;
  std::vector<std::string> command = shell_of(config);
  command.insert(command.end(), instruction.arguments.begin(), instruction.arguments.end());
  return command;
}

Result<std::string> join_working_directory(const std::string& current, const std::string& wanted) {
  if (wanted.empty()) return bad("cannot normalize nothing");
  if (wanted.starts_with('/')) return wanted;
  return container::clean_path("/" + current + "/" + wanted);
}

Result<json::object> health_check_of(const Instruction& instruction) {
  json::object check;
  std::vector<std::string> test = instruction.arguments;
  if (test.front() == "NONE") {
    check["Test"] = to_array(test);
    return check;
  }
  if (!instruction.json) test.front() = "CMD-SHELL";
  check["Test"] = to_array(test);
  for (const auto& [flag, key] :
       {std::pair{"interval", "Interval"}, std::pair{"timeout", "Timeout"},
        std::pair{"start-period", "StartPeriod"}}) {
    LAB_TRY(const std::chrono::nanoseconds interval, interval_flag(instruction, flag));
    if (interval.count() != 0) check[key] = interval.count();
  }
  const auto flag = instruction.flags.find("retries");
  if (flag == instruction.flags.end() || flag->second.empty()) return check;
  std::int64_t retries = 0;
  const std::string& text = flag->second;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), retries);
  if (failure != std::errc() || end != text.data() + text.size())
    return bad("strconv.ParseInt: parsing {}: invalid syntax", go_quoted(text));
  if (retries < 1) return bad("--retries must be at least 1 (not {})", retries);
  check["Retries"] = retries;
  return check;
}

Result<void> expand_arguments(Instruction& instruction, const Variables& variables, char escape) {
  static const std::set<std::string, std::less<>> expanded = {
      "ADD", "ARG", "COPY", "ENV", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"};
  if (!expanded.contains(instruction.name) || instruction.literal) return {};
  for (std::string& argument : instruction.arguments) {
    LAB_TRY(argument, expand_word(argument, variables, escape));
  }
  if (const auto owner = instruction.flags.find("chown"); owner != instruction.flags.end()) {
    LAB_TRY(owner->second, expand_word(owner->second, variables, escape));
  }
  return {};
}

Result<std::string> apply_instruction(RunConfig& state, const Instruction& instruction,
                                      const Variables& variables, char escape,
                                      const std::function<void(std::string_view)>& note) {
  json::object& config = state.document;
  const std::string& name = instruction.name;
  const std::vector<std::string>& words = instruction.arguments;
  if (name == "ENV" || name == "LABEL") return apply_pairs(instruction, config);
  if (name == "EXPOSE") return apply_expose(instruction, config, variables, escape);
  if (name == "HEALTHCHECK") return apply_health_check(instruction, config, note);
  if (name == "MAINTAINER") {
    state.author = words.front();
  } else if (name == "USER") {
    config["User"] = words.front();
  } else if (name == "STOPSIGNAL") {
    LAB_CHECK(container::parse_signal(words.front()));
    config["StopSignal"] = words.front();
  } else if (name == "WORKDIR") {
    LAB_TRY(const std::string folder,
            join_working_directory(text_of(config, "WorkingDir"), words.front()));
    config["WorkingDir"] = folder;
    return "WORKDIR " + folder;
  } else if (name == "SHELL") {
    config["Shell"] = to_array(words);
    return "SHELL " + go_list(words);
  } else if (name == "VOLUME") {
    for (const std::string& folder : words) {
      if (folder.empty()) return bad("VOLUME specified can not be an empty string");
      add_member(config, "Volumes", folder);
    }
    return "VOLUME " + go_list(words);
  } else if (name == "CMD") {
    const std::vector<std::string> command = command_of(instruction, config);
    config["Cmd"] = to_array(command);
    state.command_set = !words.empty();
    return "CMD " + go_quoted(command);
  } else if (name == "ENTRYPOINT") {
    const std::vector<std::string> command = command_of(instruction, config);
    config["Entrypoint"] = to_array(command);
    if (!state.command_set) config["Cmd"] = nullptr;
    return "ENTRYPOINT " + go_quoted(command);
  } else if (name == "ONBUILD") {
    const std::string trigger = trigger_of(instruction);
    json::array triggers = array_of(config, "OnBuild");
    triggers.emplace_back(trigger);
    config["OnBuild"] = std::move(triggers);
    return "ONBUILD " + trigger;
  }
  return fmt::format("{} {}", name, words.front());
}

Result<void> apply_changes(json::object& config, const std::vector<std::string>& changes) {
  static const std::set<std::string, std::less<>> allowed = {
      "CMD",   "ENTRYPOINT", "HEALTHCHECK", "ENV",    "EXPOSE",
      "LABEL", "ONBUILD",    "USER",        "VOLUME", "WORKDIR"};
  for (const std::string& change : changes) {
    std::string name = change.substr(0, change.find_first_of(" \t"));
    std::string upper = name;
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    std::transform(name.begin(), name.end(), upper.begin(), ::toupper);
    if (!allowed.contains(upper)) return bad("{} is not a valid change command", name);
  }
  LAB_TRY(const std::vector<Instruction> instructions,
          parse_instructions(fmt::format("{}", fmt::join(changes, "\n"))));
  RunConfig state;
  state.document = std::move(config);
  for (Instruction instruction : instructions) {
    const Variables variables = environment_of(state.document);
    LAB_CHECK(expand_arguments(instruction, variables, '\\'));
    LAB_CHECK(apply_instruction(state, instruction, variables, '\\', [](std::string_view) {}));
  }
  config = std::move(state.document);
  return {};
}

}  // namespace lab::engine::build
