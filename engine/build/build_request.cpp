#include "engine/build/build_request.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/digest.hpp"
#include "engine/util/go_json.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::build {

namespace json = boost::json;

namespace {

template <typename... Args>
Error bad(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(Code::invalid_argument, format, std::forward<Args>(args)...);
}

// The JSON value of a parameter; null if it is absent.
Result<json::value> json_parameter(const http::Query& query, std::string_view name) {
  const std::string text = query.get(name);
  if (text.empty()) return json::value(nullptr);
  Result<json::value> value = decode_go_json(text);
  if (value) return value;
  if (name == "cachefrom") return value;
  const std::string_view what = name == "buildargs" ? "build args"
                                : name == "ulimits" ? "ulimit settings"
                                                    : name;
  return bad("error reading {}: {}", what, value.error().message);
}

Result<std::vector<image::Reference>> read_tags(const http::Query& query) {
  std::vector<image::Reference> tags;
  for (const std::string& text : query.all("t")) {
    if (text.empty()) continue;
    Result<image::Reference> parsed = image::parse_reference(text);
    if (!parsed) return Error{Code::internal, parsed.error().message};  // as dockerd's status is
    image::Reference tag = std::move(*parsed);
    if (!tag.digest.empty()) return bad("build tag cannot contain a digest");
    if (tag.tag.empty()) tag.tag = image::default_tag;
    if (std::find(tags.begin(), tags.end(), tag) == tags.end()) tags.push_back(std::move(tag));
  }
  return tags;
}

Result<void> read_maps(const http::Query& query, BuildOptions& options) {
  LAB_TRY(const json::value arguments, json_parameter(query, "buildargs"));
  if (const json::object* members = arguments.if_object()) {
    for (const auto& member : *members) {
      std::optional<std::string>& value = options.arguments[std::string(member.key())];
      if (member.value().is_string()) value = std::string(member.value().get_string());
    }
  }
  LAB_TRY(const json::value labels, json_parameter(query, "labels"));
  if (const json::object* members = labels.if_object()) {
    for (const auto& member : *members) {
      if (!member.value().is_string()) return bad("error reading labels: a value is no string");
      options.labels[std::string(member.key())] = std::string(member.value().get_string());
    }
  }
  LAB_TRY(const json::value sources, json_parameter(query, "cachefrom"));
  if (const json::array* names = sources.if_array()) {
    for (const json::value& name : *names) {
      if (name.is_string()) options.cache_from.emplace_back(name.get_string());
    }
  }
  return {};
}

// What limits the containers of RUN.
Result<json::object> read_host_config(const http::Query& query) {
  json::object config;
  config["LogConfig"] = json::object{{"Type", "none"}};
  for (const auto& [parameter, key] :
       {std::pair{"cpushares", "CpuShares"}, std::pair{"cpuperiod", "CpuPeriod"},
        std::pair{"cpuquota", "CpuQuota"}, std::pair{"memory", "Memory"},
        std::pair{"memswap", "MemorySwap"}, std::pair{"shmsize", "ShmSize"}}) {
    LAB_TRY(const std::int64_t number, query.integer(parameter, 0));
    config[key] = number;
  }
  for (const auto& [parameter, key] :
       {std::pair{"cpusetcpus", "CpusetCpus"}, std::pair{"cpusetmems", "CpusetMems"},
        std::pair{"cgroupparent", "CgroupParent"}, std::pair{"networkmode", "NetworkMode"}}) {
    config[key] = query.get(parameter);
  }
  LAB_TRY(json::value ulimits, json_parameter(query, "ulimits"));
  if (ulimits.is_array()) config["Ulimits"] = std::move(ulimits);
  LAB_TRY(json::value security, json_parameter(query, "securityopt"));
  if (security.is_array()) config["SecurityOpt"] = std::move(security);
  std::vector<std::string> hosts;
  for (const std::string& list : query.all("extrahosts")) {
    for (std::string_view rest = list; !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      hosts.emplace_back(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  if (!hosts.empty()) config["ExtraHosts"] = to_array(hosts);
  return config;
}

// base64url of {"SERVER": {"username": ...}}. As dockerd: what does not parse is none.
std::map<std::string, registry::Credentials> read_credentials(std::string_view header) {
  std::map<std::string, registry::Credentials> credentials;
  const auto decoded = base64url_decode(header);
  if (!decoded) return credentials;
  boost::system::error_code failure;
  const json::value document = json::parse(*decoded, failure);
  if (failure || !document.is_object()) return credentials;
  for (const auto& member : document.get_object()) {
    auto one = registry::parse_auth_json(json::serialize(member.value()));
    if (one) credentials[std::string(member.key())] = std::move(*one);
  }
  return credentials;
}

}  // namespace

Result<BuildRequest> read_build_request(const http::Request& request, bool experimental) {
  const http::Query& query = request.query;
  BuildRequest build;
  if (query.get("version") == "2") {
    return bad(
        "this engine has the classic builder only: set DOCKER_BUILDKIT=0 or leave out version=2");
  }
  if (const std::string version = query.get("version"); !version.empty() && version != "1")
    return bad("invalid version \"{}\"", version);
  if (const std::string isolation = query.get("isolation");
      !isolation.empty() && isolation != "default")
    return bad("Unsupported isolation: \"{}\"", isolation);
  BuildOptions& options = build.options;
  LAB_TRY(options.tags, read_tags(query));
  LAB_CHECK(read_maps(query, options));
  LAB_TRY(options.host_config, read_host_config(query));
  options.dockerfile = query.get("dockerfile");
  options.target = query.get("target");
  options.platform = query.get("platform");
  options.use_cache = !query.flag("nocache");
  options.always_pull = query.flag("pull");
  options.always_remove = query.flag("forcerm");
  options.remove = options.always_remove || query.flag("rm", true);
  options.squash = query.flag("squash");
  if (options.squash && !experimental)
    return bad("squash is only supported with experimental mode");
  if (!query.get("outputs").empty() && query.get("outputs") != "[]")
    return bad("The \"outputs\" parameter is only supported with BuildKit");
  options.credentials = read_credentials(request.headers.get("X-Registry-Config"));
  build.remote = query.get("remote");
  build.quiet = query.flag("q");
  return build;
}

}  // namespace lab::engine::build
