// The recipes of the image catalogue: what provision/catalogue/ holds, embedded at build time.
#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::provision {

// "common.sh" and "IMAGE/FILE" -> content.
[[nodiscard]] const std::map<std::string, std::string_view>& catalogue_files();

struct Recipe {
  std::string name;               // also the repository's
  std::string base;               // the recipe whose layers lie below; empty: none
  std::vector<std::string> tags;  // empty: the build tells them
  boost::json::object config;     // the image's "config", as Docker stores it
  std::string build;              // the whole shell script
  bool on_demand = false;         // not built before somebody asks for it
  // The recipe's own, by their names, and those of its base as "base/NAME".
  std::map<std::string, std::string_view> files;
  // Changes when anything does that the image is made from (base's recipe included), but for the
  // packages: 64 hexadecimal digits.
  std::string hash;
};

// Code::not_found for an unknown name; it lists the known ones.
[[nodiscard]] Result<Recipe> load_recipe(const std::string& name);

}  // namespace lab::provision
