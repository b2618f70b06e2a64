#include <charconv>

#include "engine/container/inspect.hpp"
#include "engine/network/networks.hpp"
#include "engine/util/expression.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {

namespace json = boost::json;

namespace {

bool has_label(const Container& container, const std::string& wanted) {
  std::size_t equals = wanted.find('=');
  const json::object& labels = object_of(container.config, "Labels");
  if (!labels.contains(wanted.substr(0, equals))) return false;
  return equals == std::string::npos ||
         text_of(labels, wanted.substr(0, equals)) == wanted.substr(equals + 1);
}

bool has_volume(const Container& container, const std::string& wanted) {
  return std::any_of(
      container.mounts.begin(), container.mounts.end(), [&wanted](const MountPoint& mount) {
        return mount.name == wanted || mount.destination == wanted || mount.source == wanted;
      });
}

bool is_from_image(const Containers& containers, const Container& container,
                   const std::string& wanted) {
  const image::ImageStore& images = containers.services().images;
  Result<image::ImagePtr> ancestor = images.resolve(wanted);
  if (!ancestor) return false;
  std::string id = container.image_id;
  while (id != (*ancestor)->id) {
    Result<image::ImagePtr> own = images.by_id(id);
    if (!own || (*own)->parent.empty()) return false;
    id = (*own)->parent;
  }
  return true;
}

bool is_on_network(const Containers& containers, const Container& container,
                   const std::string& wanted) {
  Result<network::NetworkPtr> network = containers.services().networks.find(wanted);
  return container.networks.contains(network ? (*network)->name : wanted);
}

bool matches_port(const Container& container, const std::string& wanted, bool published) {
  std::string port = wanted.find('/') == std::string::npos ? wanted + "/tcp" : wanted;
  if (!published) return object_of(container.config, "ExposedPorts").contains(port);
  if (!container.sandbox) return false;
  const auto& ports = container.sandbox->ports;
  return std::any_of(ports.begin(), ports.end(), [&port](const network::PortMapping& mapping) {
    return fmt::format("{}/{}", mapping.host_port, mapping.protocol) == port ||
           fmt::format("{}/{}", mapping.container_port, mapping.protocol) == port;
  });
}

// As dockerd: the name with its slash or without is searched for the expression.
bool matches_name(const Container& container, const std::string& wanted) {
  return is_found_in(wanted, container.name) || is_found_in(wanted, "/" + container.name);
}

const std::set<std::string, std::less<>> filter_names{
    "ancestor", "before", "exited",  "expose",  "health", "id",     "is-task", "isolation",
    "label",    "name",   "network", "publish", "since",  "status", "volume"};

// Values that can match nothing are a client's mistake.
Result<void> check_value(const Containers& containers, const std::string& name,
                         const std::string& value) {
  static const std::set<std::string> states{"created",  "dead",       "exited", "paused",
                                            "removing", "restarting", "running"};
  static const std::set<std::string> healths{"healthy", "none", "starting", "unhealthy"};
  if (name == "status" && !states.contains(value))
    return make_error(Code::invalid_argument, "Invalid filter 'status={}'", value);
  if (name == "health" && !healths.contains(value))
    return make_error(Code::invalid_argument, "Unrecognised filter value for health: {}", value);
  if (name == "exited") {
    int code = 0;
    const char* end = value.data() + value.size();
    const auto [at, failure] = std::from_chars(value.data(), end, code);
    if (failure != std::errc() || at != end)
      return make_error(Code::internal, "strconv.Atoi: parsing \"{}\": invalid syntax", value);
  }
  if ((name == "before" || name == "since") && !containers.find(value))
    return make_error(Code::internal, "no such container {}", value);
  if (name == "is-task" && value != "true" && value != "false" && value != "0" && value != "1")
    return make_error(Code::invalid_argument, "Invalid filter 'is-task=[{}]'", value);
  return {};
}

Result<bool> matches_value(const Containers& containers, const Container& container,
                           const std::string& name, const std::string& value) {
  if (name == "id") return container.id.starts_with(value);
  if (name == "name") return matches_name(container, value);
  if (name == "label") return has_label(container, value);
  if (name == "status") return container.state.status() == value;
  if (name == "volume") return has_volume(container, value);
  if (name == "ancestor") return is_from_image(containers, container, value);
  if (name == "network") return is_on_network(containers, container, value);
  if (name == "publish" || name == "expose")
    return matches_port(container, value, name == "publish");
  if (name == "health")
    return value == (container.state.health ? container.state.health->status : "none");
  if (name == "is-task") return value == "false" || value == "0";
  if (name == "isolation") return true;
  if (name == "exited") {
    return !container.state.running && container.state.started_at != zero_rfc3339 &&
           fmt::format("{}", container.state.exit_code) == value;
  }
  if (name == "before" || name == "since") {
    LAB_TRY(ContainerPtr other, containers.find(value));
    return name == "before" ? container.created < other->created
                            : container.created > other->created;
  }
  return make_error(Code::invalid_argument, "Invalid filter '{}'", name);
}

Result<bool> matches(const Containers& containers, const Container& container,
                     const Filters& filters) {
  for (const auto& [name, values] : filters) {
    bool any = values.empty();
    // All labels have to be there; of other filters one value is enough.
    bool all = true;
    for (const std::string& value : values) {
      LAB_TRY(bool one, matches_value(containers, container, name, value));
      any = any || one;
      all = all && one;
    }
    if (name == "label" ? !all : !any) return false;
  }
  return true;
}

}  // namespace

std::string human_duration(std::chrono::seconds duration) {
  std::int64_t seconds = duration.count();
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return fmt::format("{} seconds", seconds);
  std::int64_t minutes = seconds / 60;
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  std::int64_t hours = (seconds + 1800) / 3600;
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  if (hours < 24 * 7 * 2) return fmt::format("{} days", hours / 24);
  if (hours < 24 * 30 * 2) return fmt::format("{} weeks", hours / 24 / 7);
  if (hours < 24 * 365 * 2) return fmt::format("{} months", hours / 24 / 30);
  return fmt::format("{} years", hours / 24 / 365);
}

Result<WallTime> parse_rfc3339(std::string_view text) {
  int parts[6] = {};
  constexpr std::size_t starts[6] = {0, 5, 8, 11, 14, 17};
  constexpr std::size_t sizes[6] = {4, 2, 2, 2, 2, 2};
  Error bad = make_error(Code::invalid_argument, "\"{}\" is not a time as of RFC 3339", text);
  if (text.size() < 20) return bad;
  for (int i = 0; i < 6; ++i) {
    const char* from = text.data() + starts[i];
    if (std::from_chars(from, from + sizes[i], parts[i]).ptr != from + sizes[i]) return bad;
  }
  std::chrono::sys_days date =
      std::chrono::year(parts[0]) / parts[1] / static_cast<unsigned>(parts[2]);
  WallTime time = WallTime(date) + std::chrono::hours(parts[3]) + std::chrono::minutes(parts[4]) +
                  std::chrono::seconds(parts[5]);
  if (text[19] == '.') {
    std::int64_t scale = 100'000'000;
    for (std::size_t i = 20; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
      time += std::chrono::nanoseconds((text[i] - '0') * scale);
      scale /= 10;
    }
  }
  return time;
}

std::string status_text(const Container& container, WallTime now) {
  const State& state = container.state;
  auto since = [now](const std::string& text) {
    Result<WallTime> time = parse_rfc3339(text);
    return human_duration(time ? std::chrono::duration_cast<std::chrono::seconds>(now - *time)
                               : std::chrono::seconds(0));
  };
  if (state.restarting)
    return fmt::format("Restarting ({}) {} ago", state.exit_code, since(state.finished_at));
  if (state.running) {
    std::string more;
    if (state.paused) {
      more = " (Paused)";
    } else if (state.health) {
      const bool known = state.health->status != "starting";
      more = fmt::format(" ({}{})", known ? "" : "health: ", state.health->status);
    }
    return fmt::format("Up {}{}", since(state.started_at), more);
  }
  if (state.removing) return "Removal In Progress";
  if (state.dead) return "Dead";
  if (state.started_at == zero_rfc3339) return "Created";
  return fmt::format("Exited ({}) {} ago", state.exit_code, since(state.finished_at));
}

Result<std::vector<ContainerPtr>> select(const Containers& containers, const ListOptions& options) {
  // Who asks for a status means stopped containers too.
  const bool all = options.all || options.limit > 0 || options.filters.contains("status");
  for (const auto& [name, values] : options.filters) {
    if (!filter_names.contains(name))
      return make_error(Code::invalid_argument, "Invalid filter '{}'", name);
    for (const std::string& value : values) LAB_CHECK(check_value(containers, name, value));
  }
  std::vector<ContainerPtr> selected;
  for (const ContainerPtr& container : containers.list()) {
    const State& state = container->state;
    if (!all && !state.running && !state.restarting) continue;
    LAB_TRY(bool wanted, matches(containers, *container, options.filters));
    if (!wanted) continue;
    selected.push_back(container);
    if (options.limit > 0 && selected.size() == static_cast<std::size_t>(options.limit)) break;
  }
  return selected;
}

}  // namespace lab::engine::container
