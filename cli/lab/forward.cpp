// lab forward: ports of this host that lead to the machines.
#include <fmt/core.h>

#include <boost/json/serialize.hpp>
#include <charconv>

#include "cli/lab/common.hpp"
#include "cli/lab/labd_client.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

namespace {

namespace json = boost::json;

std::uint16_t port_number(std::string_view word) {
  std::uint16_t port = 0;
  const char* end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, port);
  if (error != std::errc() || rest != end || port == 0)
    fail(make_error(Code::invalid_argument, "\"{}\" is not a port, 1 to 65535", word));
  return port;
}

// "8080:vm1:80"; the host's port may be left out when it is the same.
json::object parse_forward(const std::string& word) {
  const std::size_t last = word.rfind(':');
  if (last == std::string::npos || last == 0) {
    fail(make_error(Code::invalid_argument,
                    "\"{}\" is not HOST_PORT:MACHINE:PORT, as in 8080:vm1:80", word));
  }
  const std::uint16_t port = port_number(std::string_view(word).substr(last + 1));
  const std::size_t first = word.find(':');
  const bool same = first == last;
  const std::size_t name = same ? 0 : first + 1;
  return {{"host", same ? port : port_number(std::string_view(word).substr(0, first))},
          {"machine", word.substr(name, last - name)},
          {"port", port}};
}

void print(const Globals& globals, const json::value& answer) {
  if (globals.json) {
    fmt::print("{}\n", json::serialize(answer));
    return;
  }
  std::vector<std::vector<std::string>> rows{
      {"HOST", "MACHINE", "FROM", "OPEN", "CONNECTIONS", "IN", "OUT", "PROBLEM"}};
  for (const json::value& forward : answer.at("forwards").as_array()) {
    const auto number = [&](const char* key) { return forward.at(key).to_number<std::int64_t>(); };
    const std::string problem(forward.at("problem").as_string());
    rows.push_back(
        {fmt::format("127.0.0.1:{}", number("host")),
         fmt::format("{}:{}", std::string_view(forward.at("machine").as_string()), number("port")),
         forward.at("labfile").as_bool() ? "labfile" : "live", std::to_string(number("open")),
         std::to_string(number("connections")), human_bytes(number("bytes_in")),
         human_bytes(number("bytes_out")), problem.empty() ? "-" : problem});
  }
  print_table(rows);
}

}  // namespace

void add_forward(CLI::App& app, Globals& globals) {
  CLI::App* forward =
      app.add_subcommand("forward", "Ports of this host that lead to ports of the machines");
  forward->require_subcommand(1);
  forward->fallthrough();

  CLI::App* list = forward->add_subcommand("ls", "Every forward and its traffic");
  list->callback([&globals] { print(globals, call_labd(globals, "GET", "/forwards")); });

  CLI::App* add = forward->add_subcommand(
      "add", "Forward one more port, until `lab halt`: lab forward add 8080:vm1:80");
  auto word = std::make_shared<std::string>();
  add->add_option("forward", *word, "HOST_PORT:MACHINE:PORT, or MACHINE:PORT")->required();
  add->callback([&globals, word] {
    print(globals, call_labd(globals, "POST", "/forwards/add", parse_forward(*word)));
  });

  CLI::App* remove =
      forward->add_subcommand("rm", "End a forward that was added; its connections live on");
  auto port = std::make_shared<std::string>();
  remove->add_option("port", *port, "The port of this host")->required();
  remove->callback([&globals, port] {
    const json::object body{{"host", port_number(*port)}};
    print(globals, call_labd(globals, "POST", "/forwards/remove", body));
  });
}

}  // namespace lab::cli
