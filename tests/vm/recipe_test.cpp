#include "vm/recipe.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "base/file.hpp"
#include "vm/embedded.hpp"
#include "vm/image_build.hpp"

namespace lab::vm {
namespace {

TEST(Recipe, IsTheFilesOfTheSourceTree) {
  const auto recipe = find_recipe("debian-12");
  ASSERT_TRUE(recipe);
  const std::filesystem::path folder =
      std::filesystem::path(LAB_SOURCE_DIR) / "vm/recipes/debian-12";
  EXPECT_EQ(recipe->customize, *read_file(folder / "customize.sh"));
  EXPECT_EQ(recipe->output, *read_file(folder / "output.sh"));
  EXPECT_EQ(std::count(recipe->packages.begin(), recipe->packages.end(), "openssh-server"), 1);
  for (const std::string& package : recipe->packages)
    EXPECT_EQ(package.find('#'), std::string::npos);
}

TEST(Recipe, UnknownNameIsNotFoundAndNamesTheOnesThereAre) {
  const auto recipe = find_recipe("debian-11");
  ASSERT_FALSE(recipe);
  EXPECT_EQ(recipe.error().code, Code::not_found);
  EXPECT_NE(recipe.error().message.find("debian-12"), std::string::npos);
}

TEST(Recipe, HashChangesWithEachPart) {
  const Recipe recipe = *find_recipe("debian-12");
  std::set<std::string> hashes = {recipe_hash(recipe)};
  for (int part = 0; part < 7; ++part) {
    Recipe other = recipe;
    if (part == 0) other.name += "x";
    if (part == 1) other.suite += "x";
    if (part == 2) other.packages.push_back("vim");
    if (part == 3) other.dpkg_options.emplace_back("x");
    if (part == 4) other.customize += "x";
    if (part == 5) other.output += "x";
    if (part == 6) other.disk_mib += 1;
    hashes.insert(recipe_hash(other));
  }
  EXPECT_EQ(hashes.size(), 8U);
  EXPECT_EQ(recipe_hash(recipe), recipe_hash(*find_recipe("debian-12")));
  EXPECT_EQ(recipe_hash(recipe).size(), 64U);
}

TEST(Recipe, HashTellsApartWhatOnlyMovedFromOnePartToTheNext) {
  Recipe recipe = *find_recipe("debian-12");
  Recipe other = recipe;
  recipe.customize = "ab";
  recipe.output = "c";
  other.customize = "a";
  other.output = "bc";
  EXPECT_NE(recipe_hash(recipe), recipe_hash(other));
}

TEST(Embedded, GuestInitIsAStaticProgram) {
  const std::string_view init = embedded_file("guest_init");
  ASSERT_GT(init.size(), 1000U);
  EXPECT_TRUE(
      init.starts_with("\x7f"
                       "ELF"));
  // No program header asks for an interpreter (PT_INTERP).
  std::uint64_t table = 0;
  std::uint16_t count = 0;
  std::memcpy(&table, init.data() + 32, sizeof table);
  std::memcpy(&count, init.data() + 56, sizeof count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t type = 0;
    std::memcpy(&type, init.data() + table + i * 56, sizeof type);
    EXPECT_NE(type, 3U);
  }
  EXPECT_EQ(embedded_file("no such file").data(), nullptr);
}

TEST(RecipeImage, IsCachedOnlyUnderItsOwnHash) {
  const TemporaryDirectory cache;
  Recipe recipe = *find_recipe("debian-12");
  ImageRequest request;
  request.recipe = "debian-12";
  EXPECT_FALSE(image_is_cached(request, cache.path()));
  const std::filesystem::path folder = cache.path() / "images" / recipe_hash(recipe);
  ASSERT_TRUE(make_directories(folder));
  ASSERT_TRUE(write_file(folder / "disk.raw", ""));
  EXPECT_TRUE(image_is_cached(request, cache.path()));
  const auto image = cached_recipe_image(recipe, cache.path());
  ASSERT_TRUE(image);
  EXPECT_FALSE(image->is_cloud());
  EXPECT_EQ(image->base_mib, recipe.disk_mib);
  recipe.customize += "\n";
  EXPECT_FALSE(cached_recipe_image(recipe, cache.path()));
}

TEST(SubordinateIds, AreFoundByNameOrNumberOfExactlyThisUser) {
  const std::string text = "anna:100000:65536\n1001:165536:65536\n";
  EXPECT_TRUE(has_subordinate_ids(text, "anna", 1000));
  EXPECT_TRUE(has_subordinate_ids(text, "bob", 1001));
  EXPECT_FALSE(has_subordinate_ids(text, "ann", 100));
  EXPECT_FALSE(has_subordinate_ids("", "anna", 1000));
}

TEST(BuildLog, LastStepIsWhatTheBuilderSaysNotWhatPackagesSay) {
  const TemporaryDirectory folder;
  const std::filesystem::path log = folder.path() / "log";
  EXPECT_EQ(last_build_step(log), "");
  ASSERT_TRUE(write_file(log,
                         "I: installing essential packages...\nSetting up libc6\n"
                         "I: /initrd.img is now a symlink\nI: running --customize-hook in shell\n"
                         "I: removing tempdir /tmp/x...\n"));
  EXPECT_EQ(last_build_step(log), "installing essential packages");
}

}  // namespace
}  // namespace lab::vm
