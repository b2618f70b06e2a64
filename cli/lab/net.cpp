// lab net: the qualities of the lab's links, seen and changed while the lab runs.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <boost/json/serialize.hpp>

#include "cli/lab/common.hpp"
#include "cli/lab/labd_client.hpp"
#include "cli/lab/verbs.hpp"
#include "netsim/quality.hpp"

namespace lab::cli {

namespace {

namespace json = boost::json;

struct Words {
  std::vector<std::string> words;              // machines, then pairs of key and value
  std::map<std::string, std::string> options;  // --delay 10ms
  bool one_way = false;
};

std::string text(const json::value& value) { return std::string(value.as_string()); }

// "delay 10ms loss 1%" from the JSON form.
std::string quality_text(const json::object& quality) {
  netsim::LinkQuality parsed;
  if (!netsim::merge_json(parsed, quality)) return json::serialize(quality);
  return netsim::to_string(parsed);
}

std::string drops_text(const json::object& dropped) {
  std::string all;
  for (const auto& [reason, count] : dropped) {
    if (count.as_int64() == 0) continue;
    all +=
        fmt::format("{}{} {}", all.empty() ? "" : ", ", std::string_view(reason), count.as_int64());
  }
  return all.empty() ? "-" : all;
}

void print_partition(const json::value& net) {
  std::vector<std::string> groups;
  for (const json::value& group : net.at("partition").as_array()) {
    std::vector<std::string> names;
    for (const json::value& name : group.as_array()) names.push_back(text(name));
    groups.push_back(fmt::format("{}", fmt::join(names, " ")));
  }
  if (groups.empty()) {
    fmt::print("no partition\n");
  } else {
    fmt::print("partition: {}\n", fmt::join(groups, " / "));
  }
}

// A link given as words: a machine, "*" or "all"; nothing means any.
bool matches(const std::string& wanted, const std::string& machine) {
  return wanted.empty() || wanted == "*" || wanted == machine;
}

void show(const Globals& globals, const std::string& from, const std::string& to) {
  const json::value net = call_labd(globals, "GET", "/net");
  if (globals.json) {
    fmt::print("{}\n", json::serialize(net));
    return;
  }
  for (const std::string& machine : {from, to}) {
    const auto& machines = net.at("machines").as_array();
    if (!machine.empty() && machine != "*" &&
        std::find(machines.begin(), machines.end(), json::value(machine)) == machines.end()) {
      fail(make_error(Code::not_found, "no machine \"{}\" in this lab", machine));
    }
  }
  std::vector<std::vector<std::string>> rows{{"LINK", "QUALITY", "FRAMES", "BYTES", "DROPPED"}};
  for (const json::value& link : net.at("links").as_array()) {
    if (!matches(from, text(link.at("from"))) || !matches(to, text(link.at("to")))) continue;
    const json::object& counters = link.at("counters").as_object();
    std::string quality = quality_text(link.at("quality").as_object());
    if (!link.at("reachable").as_bool()) quality = "cut (partition)";
    rows.push_back({fmt::format("{} -> {}", text(link.at("from")), text(link.at("to"))), quality,
                    fmt::format("{}", counters.at("frames").as_int64()),
                    human_bytes(counters.at("bytes").as_int64()),
                    drops_text(counters.at("dropped").as_object())});
  }
  print_table(rows);
  print_partition(net);
}

// The directions that `words` name: "A B" and "A" mean both ways unless one_way, "A->B" just that.
json::array links_of(const std::vector<std::string>& machines, bool one_way) {
  const auto name = [](const std::string& word) { return word == "all" ? "*" : word; };
  if (machines.size() > 2) {
    fail(make_error(Code::invalid_argument, "a link has two machines at most, but there are {}: {}",
                    machines.size(), fmt::join(machines, " ")));
  }
  const std::size_t arrow = machines[0].find("->");
  if (machines.size() == 1 && arrow != std::string::npos) {
    return {json::object{{"from", name(machines[0].substr(0, arrow))},
                         {"to", name(machines[0].substr(arrow + 2))}}};
  }
  const std::string from = name(machines[0]);
  const std::string to = machines.size() > 1 ? name(machines[1]) : "*";
  json::array links{json::object{{"from", from}, {"to", to}}};
  if (!one_way && from != to) links.push_back(json::object{{"from", to}, {"to", from}});
  return links;
}

void print_links(const json::value& net, const json::array& links) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& link : net.at("links").as_array()) {
    const bool named = std::any_of(links.begin(), links.end(), [&](const json::value& wanted) {
      return matches(text(wanted.at("from")), text(link.at("from"))) &&
             matches(text(wanted.at("to")), text(link.at("to")));
    });
    if (!named) continue;
    rows.push_back({fmt::format("{} -> {}", text(link.at("from")), text(link.at("to"))),
                    quality_text(link.at("quality").as_object())});
  }
  print_table(rows);
}

void set(const Globals& globals, const Words& given) {
  const auto& keys = netsim::quality_keys();
  std::vector<std::string> machines;
  std::map<std::string, std::string> quality = given.options;
  std::erase_if(quality, [](const auto& option) { return option.second.empty(); });
  for (std::size_t i = 0; i < given.words.size(); ++i) {
    const std::string& word = given.words[i];
    if (std::find(keys.begin(), keys.end(), word) == keys.end()) {
      machines.push_back(word);
      continue;
    }
    if (i + 1 == given.words.size()) {
      fail(make_error(Code::invalid_argument, "{} has no value; write it like \"delay 10ms\"",
                      word));
    }
    quality[word] = given.words[++i];
  }
  if (machines.empty()) {
    fail(make_error(Code::invalid_argument,
                    "name one machine, two, or all: `lab net set vm1 vm2 --delay 10ms`"));
  }
  if (quality.empty()) {
    fail(make_error(Code::invalid_argument, "nothing to set: give one or more of {}",
                    fmt::join(keys, ", ")));
  }
  for (const auto& [key, value] : quality) {
    netsim::LinkQuality scratch;
    check_or_fail(netsim::set_quality(scratch, key, value));
  }
  json::array links = links_of(machines, given.one_way);
  for (json::value& link : links) {
    for (const auto& [key, value] : quality) link.as_object()[key] = value;
  }
  const json::value net = call_labd(globals, "POST", "/net/set", json::object{{"links", links}});
  if (globals.json) {
    fmt::print("{}\n", json::serialize(net));
  } else {
    print_links(net, links);
  }
}

void reset(const Globals& globals, const Words& given) {
  json::object body;
  json::array links{json::object{{"from", "*"}, {"to", "*"}}};
  if (!given.words.empty()) {
    links = links_of(given.words, given.one_way);
    body["links"] = links;
  }
  const json::value net = call_labd(globals, "POST", "/net/reset", body);
  if (globals.json) {
    fmt::print("{}\n", json::serialize(net));
  } else {
    print_links(net, links);
  }
}

void partition(const Globals& globals, const std::vector<std::string>& words) {
  json::array groups{json::array{}};
  for (const std::string& word : words) {
    std::string name;
    for (const char c : word + " ") {
      if (c != '/' && c != ' ') {
        name += c;
        continue;
      }
      if (!name.empty()) groups.back().as_array().push_back(json::string(std::exchange(name, {})));
      if (c == '/') groups.push_back(json::array{});
    }
  }
  const json::value net =
      call_labd(globals, "POST", "/net/partition", json::object{{"groups", std::move(groups)}});
  if (globals.json) {
    fmt::print("{}\n", json::serialize(net));
  } else {
    print_partition(net);
  }
}

void heal(const Globals& globals) {
  const json::value net = call_labd(globals, "POST", "/net/heal", json::object{});
  if (globals.json) {
    fmt::print("{}\n", json::serialize(net));
  } else {
    print_partition(net);
  }
}

void add_set(CLI::App& net, Globals& globals) {
  CLI::App* verb = net.add_subcommand("set", "Change links; what is not named stays as it is");
  auto given = std::make_shared<Words>();
  verb->add_option("words", given->words,
                   "MACHINE [MACHINE], MACHINE->MACHINE or all; then, as with netem, words like: "
                   "delay 10ms loss 1%");
  const std::map<std::string_view, const char*> help{
      {"delay", "Added to every frame: 10ms"},
      {"jitter", "The delay varies by this much either way: 2ms"},
      {"loss", "Share of frames lost: 1%"},
      {"duplicate", "Share of frames doubled: 1%"},
      {"corrupt", "Share of frames with one bit flipped: 1%"},
      {"reorder", "Share of frames that overtake those delayed: 10%"},
      {"rate", "Bandwidth: 10mbit; 0 is unlimited"},
      {"limit", "Frames under way at most: 1000"}};
  for (const std::string_view key : netsim::quality_keys()) {
    verb->add_option(fmt::format("--{}", key), given->options[std::string(key)], help.at(key));
  }
  verb->add_flag("--one-way", given->one_way, "Only from the first machine to the second");
  verb->callback([&globals, given] { set(globals, *given); });
}

void add_reset(CLI::App& net, Globals& globals) {
  CLI::App* verb = net.add_subcommand("reset", "Links as the labfile has them again");
  auto given = std::make_shared<Words>();
  verb->add_option("words", given->words, "MACHINE [MACHINE], MACHINE->MACHINE; none: all links");
  verb->add_flag("--one-way", given->one_way, "Only from the first machine to the second");
  verb->callback([&globals, given] { reset(globals, *given); });
}

}  // namespace

void add_net(CLI::App& app, Globals& globals) {
  CLI::App* net = app.add_subcommand("net", "See and change the lab's network while it runs");
  net->require_subcommand(1);
  net->fallthrough();

  CLI::App* show_verb = net->add_subcommand("show", "Every link's quality, traffic and drops");
  auto link = std::make_shared<std::pair<std::string, std::string>>();
  show_verb->add_option("from", link->first, "Only links from this machine");
  show_verb->add_option("to", link->second, "Only links to this machine");
  show_verb->callback([&globals, link] { show(globals, link->first, link->second); });
  add_set(*net, globals);
  add_reset(*net, globals);
  add_net_capture(*net, globals);
  CLI::App* partition_verb = net->add_subcommand(
      "partition", "Cut the network into groups; machines not named are one group more");
  auto groups = std::make_shared<std::vector<std::string>>();
  partition_verb->add_option("groups", *groups, "vm1 / vm2 vm3")->required();
  partition_verb->callback([&globals, groups] { partition(globals, *groups); });
  CLI::App* heal_verb = net->add_subcommand("heal", "End the partition");
  heal_verb->callback([&globals] { heal(globals); });
}

}  // namespace lab::cli
