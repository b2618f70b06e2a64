#include "vm/recipe.hpp"

#include <algorithm>
#include <sstream>

#include "base/digest.hpp"
#include "vm/embedded.hpp"
#include "vm/image.hpp"

namespace lab::vm {

std::vector<std::string> recipe_names() { return {"debian-12"}; }

Result<Recipe> find_recipe(const std::string& name) {
  const std::vector<std::string> names = recipe_names();
  if (std::find(names.begin(), names.end(), name) == names.end())
    return make_error(Code::not_found, "there is no guest image recipe `{}`; there is {}", name,
                      fmt::join(names, ", "));
  Recipe recipe;
  recipe.name = name;
  recipe.suite = "bookworm";
  recipe.disk_mib = 8192;
  recipe.dpkg_options = {"path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*",
                         "path-exclude=/usr/share/locale/*", "path-exclude=/usr/share/doc/*",
                         "path-include=/usr/share/doc/*/copyright"};
  const std::string folder = "recipes/" + name + "/";
  recipe.customize = embedded_file(folder + "customize.sh");
  recipe.output = embedded_file(folder + "output.sh");
  std::istringstream lines{std::string(embedded_file(folder + "packages"))};
  for (std::string line; std::getline(lines, line);)
    if (!line.empty() && line[0] != '#') recipe.packages.push_back(line);
  std::sort(recipe.packages.begin(), recipe.packages.end());
  return recipe;
}

std::string recipe_hash(const Recipe& recipe) {
  Sha256 hash;
  const std::string size = std::to_string(recipe.disk_mib);
  const std::string packages = fmt::format("{}", fmt::join(recipe.packages, "\n"));
  const std::string options = fmt::format("{}", fmt::join(recipe.dpkg_options, "\n"));
  // Each part with its length before it, so that no two recipes read the same.
  for (const std::string* part :
       {&recipe.name, &recipe.suite, &size, &packages, &options, &recipe.customize, &recipe.output})
    hash.update(fmt::format("{}\n{}", part->size(), *part));
  return to_hex(hash.finish());
}

}  // namespace lab::vm
