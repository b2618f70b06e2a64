#include "engine/image/image_store.hpp"
#include "engine/registry/auth.hpp"
#include "engine/registry/manifest.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {

void manifest(std::string_view bytes) {
  using namespace engine::registry;
  for (const std::string_view type : {docker_manifest, oci_index, std::string_view()}) {
    static_cast<void>(is_manifest_list(bytes, type));
    static_cast<void>(parse_manifest(bytes, type));
    if (auto list = parse_manifest_list(bytes, type)) static_cast<void>(list->for_this_machine());
  }
  static_cast<void>(engine::image::diff_ids_of_config(std::string(bytes)));
  static_cast<void>(engine::image::parse_reference(bytes));
  static_cast<void>(parse_auth_json(bytes));
  static_cast<void>(parse_auth_header(bytes));
  lab::http::Headers headers;
  headers.add("WWW-Authenticate", std::string(bytes));
  static_cast<void>(parse_challenges(headers));
}

}  // namespace lab::fuzz
