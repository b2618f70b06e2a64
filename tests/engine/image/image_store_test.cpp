#include "engine/image/image_store.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/digest.hpp"
#include "base/file.hpp"

namespace lab::engine::image {
namespace {

namespace fs = std::filesystem;

class FakeUsers final : public ImageUsers {
 public:
  std::vector<ImageUser> users_of_image(const std::string& image_id) const override {
    const auto found = users.find(image_id);
    return found == users.end() ? std::vector<ImageUser>() : found->second;
  }
  std::map<std::string, std::vector<ImageUser>> users;
};

class Store : public testing::Test {
 protected:
  void SetUp() override { reopen(); }

  void reopen() {
    store.reset();
    StoreOptions options{temporary.path()};
    auto opened = ImageStore::open(options, clock);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    store = std::move(*opened);
    store->set_users(&users);
    store->set_event_sink([this](const ImageEvent& event) { events.push_back(event.action); });
  }

  // A layer with one file; its diff id is made up from `name`.
  std::string add_layer(const std::string& name) {
    ImageStore::NewLayer layer;
    layer.diff_id = "sha256:" + sha256_hex(name);
    layer.directory = store->temporary_directory() / name;
    fs::create_directories(layer.directory);
    write_file(layer.directory / name, name).value();
    layer.size_bytes = name.size();
    layer.blob = "sha256:" + sha256_hex("blob of " + name);
    layer.blob_file = store->temporary_directory() / (name + ".blob");
    layer.media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    write_file(layer.blob_file, "blob of " + name).value();
    auto added = store->add_layer(layer);
    EXPECT_TRUE(added.has_value()) << added.error().message;
    return layer.diff_id;
  }

  std::string add_image(const std::vector<std::string>& layers,
                        const std::vector<std::string>& names, const std::string& parent = {}) {
    ImageStore::NewImage image;
    std::vector<std::string> quoted;
    for (const std::string& layer : layers) quoted.push_back("\"" + add_layer(layer) + "\"");
    image.config_text = fmt::format(
        R"({{"architecture":"amd64","os":"linux","config":{{"Cmd":["sh"]}},"salt":"{}",)"
        R"("rootfs":{{"type":"layers","diff_ids":[{}]}}}})",
        parent, fmt::join(quoted, ","));
    for (const std::string& name : names) {
      image.references.push_back(parse_reference_with_default_tag(name).value());
    }
    image.parent = parent;
    auto added = store->add_image(image);
    EXPECT_TRUE(added.has_value()) << added.error().message;
    return (*added)->id;
  }
  std::vector<std::string> removed(const std::string& name, bool force = false) {
    auto items = store->remove(name, force, true);
    if (items.has_error()) return {"error: " + items.error().message};
    std::vector<std::string> lines;
    for (const RemovedItem& item : *items) {
      lines.push_back((item.deleted ? "Deleted: " : "Untagged: ") + item.name);
    }
    return lines;
  }
  std::size_t layer_folders() const {
    const fs::directory_iterator folders(temporary.path() / "image/layers");
    return static_cast<std::size_t>(std::distance(begin(folders), end(folders)));
  }

  TemporaryDirectory temporary;
  SystemClock clock;
  FakeUsers users;
  std::vector<std::string> events;
  std::unique_ptr<ImageStore> store;
};

const std::string digest_a = "sha256:" + std::string(64, 'a');

TEST_F(Store, FindsImagesByNameAndByEveryFormOfId) {
  const std::string id = add_image({"one"}, {"busybox", "busybox@" + digest_a});
  for (const std::string& name :
       {std::string("busybox"), std::string("busybox:latest"), std::string("docker.io/busybox"),
        "busybox@" + digest_a, id, id.substr(7), id.substr(7, 12), id.substr(0, 20)}) {
    const auto found = store->resolve(name);
    ASSERT_TRUE(found.has_value()) << name;
    EXPECT_EQ((*found)->id, id) << name;
  }
  EXPECT_EQ(store->resolve("busybox:1").error().message, "No such image: busybox:1");
  EXPECT_EQ(store->resolve("other").error().message, "No such image: other:latest");
  EXPECT_EQ(store->resolve("other").error().code, Code::not_found);
  EXPECT_EQ(store->resolve("UPPER").error().code, Code::invalid_argument);
}

TEST_F(Store, KeepsEverythingOverARestart) {
  const std::string id = add_image({"one", "two"}, {"app:1", "app@" + digest_a});
  const auto before = store->resolve("app:1").value();
  ASSERT_TRUE(store->hold("c1", *before).has_value());
  reopen();
  const auto after = store->resolve(id).value();
  EXPECT_EQ(after->config_text, before->config_text);
  EXPECT_EQ(after->tags, std::vector<std::string>{"app:1"});
  EXPECT_EQ(after->digests, std::vector<std::string>{"app@" + digest_a});
  EXPECT_EQ(after->size_bytes, 6U);
  EXPECT_EQ(after->last_tagged, before->last_tagged);
  EXPECT_EQ(after->run_config().at("Cmd").as_array().size(), 1U);
  const auto folders = store->lower_directories(*after).value();
  ASSERT_EQ(folders.size(), 2U);
  EXPECT_TRUE(fs::exists(folders[0] / "two"));
  EXPECT_TRUE(fs::exists(folders[1] / "one"));
  EXPECT_EQ(store->held_lower_directories("c1").value(), folders);
  EXPECT_TRUE(fs::exists(store->blob_path(store->layer_blobs(after->diff_ids[0]).at(0).digest)));
}

TEST_F(Store, RemovesWhatAnInterruptedPullLeft) {
  add_image({"one"}, {"app"});
  add_layer("orphan");
  const fs::path image_root = temporary.path() / "image";
  fs::create_directories(image_root / "layers/999/sub");
  write_file(image_root / "blobs/sha256" / std::string(64, 'c'), "x").value();
  fs::create_directories(image_root / "tmp/pull-1");
  EXPECT_EQ(layer_folders(), 3U);
  reopen();
  EXPECT_EQ(layer_folders(), 1U);
  EXPECT_FALSE(fs::exists(image_root / "blobs/sha256" / std::string(64, 'c')));
  EXPECT_TRUE(fs::is_empty(image_root / "tmp"));
  EXPECT_TRUE(store->resolve("app").has_value());
}

TEST_F(Store, RefusesAnImageWhoseLayersAreMissing) {
  ImageStore::NewImage image;
  image.config_text = R"({"rootfs":{"type":"layers","diff_ids":[")" + digest_a + R"("]}})";
  EXPECT_TRUE(store->add_image(image).has_error());
  image.config_text = R"({"rootfs":{"diff_ids":["nonsense"]}})";
  EXPECT_EQ(store->add_image(image).error().code, Code::invalid_argument);
  image.config_text = "[]";
  EXPECT_EQ(store->add_image(image).error().code, Code::invalid_argument);
}

TEST_F(Store, SharesLayersAndRemovesThemWithTheLastImage) {
  const std::string first = add_image({"base", "one"}, {"first"});
  const std::string second = add_image({"base", "two"}, {"second"});
  EXPECT_EQ(layer_folders(), 3U);
  const auto lines = removed("first");
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], "Untagged: first:latest");
  EXPECT_EQ(lines[1], "Deleted: " + first);
  EXPECT_EQ(layer_folders(), 2U);
  EXPECT_EQ(removed("second").size(), 4U);
  EXPECT_EQ(layer_folders(), 0U);
  EXPECT_EQ(events.back(), "delete");
}

TEST_F(Store, UntagsOneOfSeveralNames) {
  const std::string id = add_image({"one"}, {"a:1", "b:1"});
  EXPECT_EQ(removed("a:1"), std::vector<std::string>{"Untagged: a:1"});
  EXPECT_EQ(store->resolve("b:1").value()->tags, std::vector<std::string>{"b:1"});
  ASSERT_TRUE(store->tag(id, parse_reference("c:1").value()).has_value());
  EXPECT_EQ(removed(id.substr(7, 12)).front(),
            "error: conflict: unable to delete " + id.substr(7, 12) +
                " (must be forced) - image is referenced in multiple repositories");
  EXPECT_EQ(removed(id.substr(7, 12), true).size(), 4U);
}

TEST_F(Store, RemovesTheDigestNamesOfARepositoryWithItsLastTag) {
  add_image({"one"}, {"a:1", "a@" + digest_a});
  const auto lines = removed("a:1");
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[1], "Untagged: a@" + digest_a);
}

TEST_F(Store, MovesANameToAnotherImage) {
  add_image({"one"}, {"app"});
  const std::string old_id = store->resolve("app").value()->id;
  add_image({"two"}, {"app"});
  EXPECT_NE(store->resolve("app").value()->id, old_id);
  EXPECT_TRUE(store->by_id(old_id).value()->tags.empty());
}

TEST_F(Store, RefusesToRemoveWhatContainersUse) {
  const std::string id = add_image({"one"}, {"app"});
  const std::string container = "0123456789abcdef";
  users.users[id] = {{container, false}};
  EXPECT_EQ(removed("app").front(),
            "error: conflict: unable to remove repository reference \"app\" (must force) - "
            "container 0123456789ab is using its referenced image " +
                id.substr(7, 12));
  EXPECT_EQ(removed(id).front(), "error: conflict: unable to delete " + id.substr(7, 12) +
                                     " (must be forced) - image is being used by stopped "
                                     "container 0123456789ab");
  users.users[id] = {{container, true}};
  EXPECT_EQ(removed(id, true).front(), "error: conflict: unable to delete " + id.substr(7, 12) +
                                           " (cannot be forced) - image is being used by running "
                                           "container 0123456789ab");
  EXPECT_TRUE(store->resolve("app").has_value());
}

TEST_F(Store, KeepsHeldLayersOfAnImageRemovedByForce) {
  const std::string id = add_image({"one", "two"}, {"app"});
  ASSERT_TRUE(store->hold("c1", *store->by_id(id).value()).has_value());
  users.users[id] = {{"c1", false}};
  const auto lines = removed("app", true);
  EXPECT_EQ(lines, (std::vector<std::string>{"Untagged: app:latest", "Deleted: " + id}));
  EXPECT_EQ(layer_folders(), 2U);
  reopen();
  EXPECT_EQ(store->held_lower_directories("c1").value().size(), 2U);
  ASSERT_TRUE(store->retain_holders({"c2"}).has_value());
  EXPECT_EQ(layer_folders(), 0U);
}

TEST_F(Store, KeepsLayersForGoodWhenToldTo) {
  const std::string layer = add_layer("one");
  ASSERT_TRUE(store->keep({layer}).has_value());
  add_layer("two");
  reopen();
  ASSERT_TRUE(store->retain_holders({}).has_value());
  EXPECT_TRUE(store->has_layer(layer));
  EXPECT_EQ(layer_folders(), 1U);
  const std::string id = add_image({"one"}, {"app"});
  EXPECT_EQ(removed("app").back(), "Deleted: " + id);
  EXPECT_EQ(layer_folders(), 1U);
}

TEST_F(Store, PrunesUnnamedParentsAndProtectsChildren) {
  const std::string parent = add_image({"one"}, {});
  const std::string child = add_image({"one", "two"}, {"app"}, parent);
  EXPECT_EQ(removed(parent).front(), "error: conflict: unable to delete " + parent.substr(7, 12) +
                                         " (cannot be forced) - image has dependent child images");
  const auto lines = removed("app");
  ASSERT_EQ(lines.size(), 5U);
  EXPECT_EQ(lines[1], "Deleted: " + child);
  EXPECT_EQ(lines[3], "Deleted: " + parent);
  EXPECT_EQ(layer_folders(), 0U);
}

TEST_F(Store, CollectsNothingDuringAPull) {
  {
    const ImageStore::Guard guard(*store);
    add_layer("new");
    ASSERT_TRUE(store->collect().has_value());
    EXPECT_EQ(layer_folders(), 1U);
  }
  EXPECT_EQ(store->collect().value(), 3U);
  EXPECT_EQ(layer_folders(), 0U);
}

TEST_F(Store, TakesALayerTwice) {
  add_layer("same");
  add_layer("same");
  EXPECT_EQ(layer_folders(), 1U);
  EXPECT_EQ(store->layer_blobs("sha256:" + sha256_hex("same")).size(), 1U);
  EXPECT_TRUE(fs::is_empty(store->temporary_directory()));
}

}  // namespace
}  // namespace lab::engine::image
