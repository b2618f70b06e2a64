#include <fmt/core.h>

#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

namespace {

// Verbs whose first word is a machine.
bool takes_machine(const CLI::App& verb) { return verb.get_option_no_throw("machine") != nullptr; }

std::string options_of(const CLI::App& verb) {
  std::string words;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) words += " --" + name;
    for (const std::string& name : option->get_snames()) words += " -" + name;
  }
  return words.empty() ? words : words.substr(1);
}

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* verb) { return !verb->get_name().empty(); });
}

// Words for one verb: its options, its verbs below, and whether machines follow.
void print_bash(const CLI::App& app) {
  fmt::print(
      "# lab completion bash > /etc/bash_completion.d/lab\n"
      "_lab() {{\n"
      "  local word=${{COMP_WORDS[COMP_CWORD]}} verb= i machines=\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${{COMP_WORDS[i]}} in\n"
      "      -f|--labfile) ((i++)) ;;\n"
      "      -*) ;;\n"
      "      *) verb=${{COMP_WORDS[i]}}; break ;;\n"
      "    esac\n"
      "  done\n"
      "  case $verb in\n"
      "    '') COMPREPLY=($(compgen -W '");
  for (const CLI::App* verb : verbs_of(app)) fmt::print("{} ", verb->get_name());
  fmt::print("{}' -- \"$word\")) ;;\n", options_of(app));
  for (const CLI::App* verb : verbs_of(app)) {
    std::string words = options_of(*verb);
    for (const CLI::App* below : verbs_of(*verb)) words += " " + below->get_name();
    bool machine = takes_machine(*verb) || verb->get_name() == "net";
    fmt::print("    {})\n", verb->get_name());
    if (machine) fmt::print("      machines=$(lab completion machines 2>/dev/null)\n");
    fmt::print("      COMPREPLY=($(compgen -W \"{}{}\" -- \"$word\")", words,
               machine ? " $machines" : "");
    fmt::print("{}) ;;\n", machine ? "" : " $(compgen -f -- \"$word\")");
  }
  fmt::print("  esac\n}}\ncomplete -F _lab lab ./lab\n");
}

std::string quoted_for_shell(std::string text) {
  std::string safe;
  for (char c : text) {
    if (c == '\'') {
      safe += "'\\''";
    } else {
      safe += c;
    }
  }
  return "'" + safe + "'";
}

std::string in_zsh(const std::string& name, std::string text) {
  std::string safe;
  for (char c : text) safe += c == ':' ? std::string("\\:") : std::string(1, c);
  return quoted_for_shell(name + ":" + safe);
}

void print_zsh(const CLI::App& app) {
  fmt::print(
      "#compdef lab\n# lab completion zsh > \"${{fpath[1]}}/_lab\"\n"
      "_lab() {{\n  local -a verbs words\n  verbs=(\n");
  for (const CLI::App* verb : verbs_of(app))
    fmt::print("    {}\n", in_zsh(verb->get_name(), verb->get_description()));
  fmt::print(
      "  )\n"
      "  if (( CURRENT == 2 )); then _describe verb verbs; return; fi\n"
      "  case ${{words[2]:-${{(z)BUFFER}}[2]}} in *) ;; esac\n"
      "  case ${{${{(z)BUFFER}}[2]}} in\n");
  for (const CLI::App* verb : verbs_of(app)) {
    std::string below = options_of(*verb);
    for (const CLI::App* sub : verbs_of(*verb)) below += " " + sub->get_name();
    bool machine = takes_machine(*verb) || verb->get_name() == "net";
    fmt::print("    {})\n      compadd -- {}{}\n", verb->get_name(), below,
               machine ? " $(lab completion machines 2>/dev/null)" : "");
    fmt::print("{}      ;;\n", machine ? "" : "      _files\n");
  }
  fmt::print("  esac\n}}\n_lab \"$@\"\n");
}

void print_fish(const CLI::App& app) {
  fmt::print("# lab completion fish > ~/.config/fish/completions/lab.fish\n");
  for (const CLI::App* verb : verbs_of(app)) {
    const std::string& name = verb->get_name();
    fmt::print("complete -c lab -n __fish_use_subcommand -a {} -d {}\n", name,
               quoted_for_shell(verb->get_description()));
    if (takes_machine(*verb) || name == "net") {
      fmt::print(
          "complete -c lab -n '__fish_seen_subcommand_from {}' -f -a '(lab completion machines "
          "2>/dev/null)'\n",
          name);
    }
    for (const CLI::App* below : verbs_of(*verb))
      fmt::print("complete -c lab -n '__fish_seen_subcommand_from {}' -f -a {}\n", name,
                 below->get_name());
    for (const CLI::Option* option : verb->get_options()) {
      for (const std::string& word : option->get_lnames())
        fmt::print("complete -c lab -n '__fish_seen_subcommand_from {}' -l {} -d {}\n", name, word,
                   quoted_for_shell(option->get_description()));
    }
  }
}

void print_machines(const Globals& globals) {
  auto labfile = provision::load_labfile(globals.labfile);
  if (!labfile) throw Exit{1};
  for (const provision::MachineConfig& machine : labfile->machines)
    fmt::print("{}\n", machine.name);
}

}  // namespace

void add_completion(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand("completion", "Print a completion script for your shell");
  auto shell = std::make_shared<std::string>();
  verb->add_option("shell", *shell, "bash, zsh or fish (machines: the labfile's names)")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish", "machines"}));
  verb->callback([&app, shell, &globals] {
    if (*shell == "bash") print_bash(app);
    if (*shell == "zsh") print_zsh(app);
    if (*shell == "fish") print_fish(app);
    if (*shell == "machines") print_machines(globals);
  });
}

}  // namespace lab::cli
