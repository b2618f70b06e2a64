#include "provision/catalogue.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "provision/catalogue_recipe.hpp"
#include "provision/image_layout.hpp"

namespace lab::provision {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const std::vector<std::string> hello = {"hello-world"};

json::object blob_json(const ImageLayout& layout, std::string_view digest) {
  return json::parse(read_file(layout.blob_path(digest)).value()).as_object();
}

TEST(Catalogue, HasTheImagesOfTheTutorial) {
  const std::vector<std::string> names = catalogue_names();
  for (const char* name :
       {"busybox", "debian", "hello-world", "nginx", "node", "redis", "registry"}) {
    EXPECT_TRUE(std::count(names.begin(), names.end(), name) == 1) << name;
  }
}

TEST(Catalogue, BuildsAtFirstWhatALabStartsWith) {
  const std::vector<std::string> expected = {"busybox", "debian", "hello-world", "registry"};
  EXPECT_EQ(initial_catalogue_names(), expected);
}

TEST(Catalogue, EndsABuildThatIsToStop) {
  TemporaryDirectory folder;
  std::stop_source stop;
  stop.request_stop();
  const Result<void> built = ensure_catalogue(folder.path(), hello, {}, stop.get_token());
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code, Code::cancelled);
  EXPECT_TRUE(ImageLayout(folder.path()).images().value().empty());
}

TEST(Catalogue, EveryRecipeLoadsWithItsBase) {
  for (const std::string& name : catalogue_names()) {
    Result<Recipe> recipe = load_recipe(name);
    ASSERT_TRUE(recipe) << name << ": " << recipe.error().message;
    EXPECT_EQ(recipe->hash.size(), 64U);
    EXPECT_TRUE(recipe->base.empty() || load_recipe(recipe->base)) << recipe->base;
  }
}

TEST(Catalogue, NamesTheKnownImagesWhenOneIsUnknown) {
  Result<Recipe> recipe = load_recipe("ubuntu");
  ASSERT_FALSE(recipe);
  EXPECT_EQ(recipe.error().code, Code::not_found);
  EXPECT_NE(recipe.error().message.find("debian"), std::string::npos);
  EXPECT_FALSE(load_recipe("debian/../debian"));
}

TEST(Catalogue, BuildsHelloWorldAsADockerImage) {
  TemporaryDirectory folder;
  std::vector<std::string> said;
  Result<void> built = ensure_catalogue(folder.path(), hello,
                                        [&](std::string_view line) { said.emplace_back(line); });
  ASSERT_TRUE(built) << built.error().message;
  EXPECT_EQ(said.size(), 1U);

  ImageLayout layout(folder.path());
  std::vector<TaggedImage> images = layout.images().value();
  ASSERT_FALSE(images.empty());
  EXPECT_EQ(images[0].repository, "hello-world");
  EXPECT_EQ(images[0].tag, "latest");
  EXPECT_TRUE(layout.has_blob(images[0].manifest));

  json::object manifest = blob_json(layout, images[0].manifest.digest);
  EXPECT_EQ(manifest.at("mediaType").as_string(), manifest_media_type);
  const json::value& layer = manifest.at("layers").at(0);
  json::object config = blob_json(layout, manifest.at("config").at("digest").as_string());
  EXPECT_EQ(config.at("config").at("Cmd").at(0).as_string(), "/hello");

  // The layer unpacks to the program, and its tar has the digest that the config tells.
  const fs::path blob = layout.blob_path(layer.at("digest").as_string());
  EXPECT_EQ("sha256:" + sha256_hex_of_file(blob).value(), layer.at("digest").as_string());
  Command unpack{
      .argv = {"sh", "-c", "gzip -dc \"$1\" > layer.tar && tar -xf layer.tar", "sh", blob.string()},
      .working_directory = folder.path().string()};
  ASSERT_TRUE(run_checked(unpack));
  EXPECT_EQ("sha256:" + sha256_hex_of_file(folder.path() / "layer.tar").value(),
            config.at("rootfs").at("diff_ids").at(0).as_string());
  Command run{.argv = {(folder.path() / "hello").string()}};
  Result<std::string> text = run_checked(run);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_NE(text->find("your installation appears to be working correctly"), std::string::npos);
}

TEST(Catalogue, BuildsNothingTheSecondTime) {
  TemporaryDirectory folder;
  ASSERT_TRUE(ensure_catalogue(folder.path(), hello, {}));
  const std::string before = read_file(folder.path() / "index.json").value();
  bool said = false;
  ASSERT_TRUE(ensure_catalogue(folder.path(), hello, [&](std::string_view) { said = true; }));
  EXPECT_FALSE(said);
  EXPECT_EQ(before, read_file(folder.path() / "index.json").value());
}

TEST(Catalogue, GivesTheSameImageTwice) {
  TemporaryDirectory first;
  TemporaryDirectory second;
  ASSERT_TRUE(ensure_catalogue(first.path(), hello, {}));
  ASSERT_TRUE(ensure_catalogue(second.path(), hello, {}));
  EXPECT_EQ(read_file(first.path() / "index.json").value(),
            read_file(second.path() / "index.json").value());
}

TEST(Catalogue, BuildsAgainWhenABlobIsDamaged) {
  TemporaryDirectory folder;
  ASSERT_TRUE(ensure_catalogue(folder.path(), hello, {}));
  ImageLayout layout(folder.path());
  const TaggedImage image = layout.images().value().at(0);
  json::object manifest = blob_json(layout, image.manifest.digest);
  const fs::path layer = layout.blob_path(manifest.at("layers").at(0).at("digest").as_string());
  fs::resize_file(layer, 10);
  ASSERT_TRUE(ensure_catalogue(folder.path(), hello, {}));
  EXPECT_GT(fs::file_size(layer), 10U);
}

TEST(Catalogue, KeepsImagesOfOtherRecipes) {
  TemporaryDirectory folder;
  ImageLayout layout(folder.path());
  ASSERT_TRUE(layout.create());
  Blob blob = layout.put("{}").value();
  ASSERT_TRUE(layout.replace_repository(
      "other", {{"other", "1", blob, std::string(manifest_media_type), "x"}}));
  ASSERT_TRUE(ensure_catalogue(folder.path(), hello, {}));
  std::vector<TaggedImage> images = layout.images().value();
  EXPECT_EQ(images.at(0).repository, "other");
  EXPECT_EQ(images.at(1).repository, "hello-world");
}

TEST(ImageLayout, RefusesDigestsThatAreNone) {
  ImageLayout layout("/nowhere");
  EXPECT_TRUE(layout.blob_path("sha256:../../etc/passwd").empty());
  EXPECT_TRUE(layout.blob_path("sha256:" + std::string(64, 'G')).empty());
  EXPECT_TRUE(layout.blob_path("md5:" + std::string(64, '0')).empty());
  EXPECT_FALSE(layout.blob_path("sha256:" + std::string(64, '0')).empty());
}

TEST(ImageLayout, SaysWhichIndexIsBroken) {
  TemporaryDirectory folder;
  ASSERT_TRUE(write_file(folder.path() / "index.json", "[1,"));
  ImageLayout layout(folder.path());
  Result<std::vector<TaggedImage>> images = layout.images();
  ASSERT_FALSE(images);
  EXPECT_NE(images.error().message.find("index.json"), std::string::npos);
}

}  // namespace
}  // namespace lab::provision
