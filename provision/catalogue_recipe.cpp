#include "provision/catalogue_recipe.hpp"

#include <boost/json/parse.hpp>

#include "base/digest.hpp"
#include "provision/catalogue.hpp"

namespace lab::provision {

namespace {

// Raised when the builder makes other images of the same recipe.
constexpr std::string_view builder_version = "1";

Result<void> read_description(std::string_view text, Recipe& recipe) {
  boost::system::error_code error;
  boost::json::value value = boost::json::parse(text, error);
  if (error || !value.is_object()) {
    return make_error(Code::internal, "image recipe {}: image.json is not an object", recipe.name);
  }
  boost::json::object& object = value.as_object();
  if (auto* base = object.if_contains("base")) recipe.base = base->as_string();
  if (auto* tags = object.if_contains("tags")) {
    for (const auto& tag : tags->as_array()) recipe.tags.emplace_back(tag.as_string());
  }
  if (auto* on_demand = object.if_contains("on_demand")) recipe.on_demand = on_demand->as_bool();
  if (auto* config = object.if_contains("config")) recipe.config = config->as_object();
  return {};
}

}  // namespace

std::vector<std::string> catalogue_names() {
  std::vector<std::string> names;
  for (const auto& [path, content] : catalogue_files()) {
    if (path.ends_with("/image.json")) names.push_back(path.substr(0, path.find('/')));
  }
  return names;
}

std::vector<std::string> initial_catalogue_names() {
  std::vector<std::string> names = catalogue_names();
  std::erase_if(names, [](const std::string& name) {
    const Result<Recipe> recipe = load_recipe(name);
    return recipe && recipe->on_demand;
  });
  return names;
}

Result<Recipe> load_recipe(const std::string& name) {
  const auto& files = catalogue_files();
  auto description = files.find(name + "/image.json");
  auto build = files.find(name + "/build.sh");
  if (name.find('/') != std::string::npos || description == files.end() || build == files.end()) {
    return make_error(Code::not_found, "the catalogue has no image \"{}\"; it has {}", name,
                      fmt::join(catalogue_names(), ", "));
  }
  Recipe recipe;
  recipe.name = name;
  LAB_CHECK(read_description(description->second, recipe));
  for (const auto& [path, content] : files) {
    const std::string_view folder = std::string_view(path).substr(0, path.find('/'));
    const std::string file = path.substr(std::min(path.size(), folder.size() + 1));
    if (folder == name) recipe.files.emplace(file, content);
    if (folder == recipe.base) recipe.files.emplace("base/" + file, content);
  }
  recipe.build = fmt::format(
      "set -eu\n{}\n"
      "SOURCE_DATE_EPOCH=$(index_date bookworm)\nexport SOURCE_DATE_EPOCH\n"
      "echo \"$SOURCE_DATE_EPOCH\" > created\n{}",
      files.at("common.sh"), build->second);

  Sha256 hash;
  hash.update(builder_version);
  if (!recipe.base.empty()) {
    LAB_TRY(Recipe base, load_recipe(recipe.base));
    hash.update(base.hash);
  }
  hash.update(recipe.build);
  for (const auto& [file, content] : recipe.files) {
    hash.update(fmt::format("\n{} {}\n", file, content.size()));
    hash.update(content);
  }
  recipe.hash = to_hex(hash.finish());
  return recipe;
}

}  // namespace lab::provision
