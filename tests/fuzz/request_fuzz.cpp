#include "engine/api/request_types.hpp"
#include "engine/container/config.hpp"
#include "engine/util/expression.hpp"
#include "engine/util/go_json.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {

void request(std::string_view bytes) {
  static_cast<void>(engine::is_found_in(std::string(bytes), std::string(64, 'a')));
  auto body = engine::decode_go_json(bytes);
  if (!body) return;
  for (const std::string_view type :
       {"container.UpdateConfig", "types.ExecConfig", "types.NetworkCreateRequest",
        "types.NetworkConnect", "volume.VolumeCreateBody", "types.AuthConfig"})
    static_cast<void>(engine::check_go_type(engine::api::request_types(), type, *body));
  if (!engine::check_go_type(engine::api::request_types(), "runconfig.ContainerConfigWrapper",
                             *body) ||
      !body->is_object())
    return;
  const boost::json::object& given = body->get_object();
  const auto config = engine::container::complete_config(given);
  const auto* host_given = given.if_contains("HostConfig");
  const auto host = engine::container::complete_host_config(
      host_given != nullptr && host_given->is_object() ? host_given->get_object()
                                                       : boost::json::object());
  if (config && host) static_cast<void>(engine::container::validate(*config, *host));
}

}  // namespace lab::fuzz
