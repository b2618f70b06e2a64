// A recipe says how a guest image is made: its packages, what is changed in them, and what is kept.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::vm {

struct Recipe {
  std::string name;                   // "debian-12"
  std::string suite;                  // "bookworm"
  std::vector<std::string> packages;  // sorted
  std::vector<std::string> dpkg_options;
  std::string customize;       // shell; $root is the new root file system
  std::string output;          // shell; writes descriptors 3 and 4, see the script
  std::uint64_t disk_mib = 0;  // size of the file system that it makes
};

// Code::not_found names the recipes there are.
[[nodiscard]] Result<Recipe> find_recipe(const std::string& name);

// The address of the image: 64 hexadecimal digits that change with anything in the recipe.
[[nodiscard]] std::string recipe_hash(const Recipe& recipe);

}  // namespace lab::vm
