#include "engine/container/mounts.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "engine/util/json.hpp"

namespace lab::engine::container {
namespace {

namespace json = boost::json;

Result<std::vector<MountPoint>> mounts(std::string_view host_config,
                                       std::string_view config = "{}") {
  return requested_mounts(json::parse(config).as_object(), json::parse(host_config).as_object());
}

std::string failure(std::string_view host_config) {
  Result<std::vector<MountPoint>> result = mounts(host_config);
  return result ? std::string() : result.error().message;
}

TEST(Mounts, BindsAreToldFromVolumesByTheirSlash) {
  auto result = mounts(R"({"Binds": ["/host/dir:/a", "name:/b:ro", "/c"]})");
  ASSERT_TRUE(result);
  ASSERT_EQ(result->size(), 3U);
  EXPECT_EQ((*result)[0].type, "bind");
  EXPECT_EQ((*result)[0].source, "/host/dir");
  EXPECT_EQ((*result)[0].propagation, "rprivate");
  EXPECT_TRUE((*result)[0].make_source);
  EXPECT_EQ((*result)[1].type, "volume");
  EXPECT_EQ((*result)[1].name, "name");
  EXPECT_FALSE((*result)[1].writable);
  EXPECT_EQ((*result)[1].mode, "ro");
  EXPECT_TRUE((*result)[2].anonymous);
}

TEST(Mounts, BadSpecificationsHaveDockersTexts) {
  EXPECT_EQ(failure(R"({"Binds": ["a:b:c:d"]})"), "invalid volume specification: 'a:b:c:d'");
  EXPECT_EQ(failure(R"({"Binds": ["/a:/b:sideways"]})"), "invalid mode: sideways");
  EXPECT_EQ(failure(R"({"Binds": ["/a:/b", "/c:/b/"]})"), "Duplicate mount point: /b");
  EXPECT_NE(failure(R"({"Binds": ["/a:relative"]})").find("mount path must be absolute"),
            std::string::npos);
  EXPECT_NE(failure(R"({"Binds": ["/a:/"]})").find("destination can't be '/'"), std::string::npos);
  EXPECT_EQ(failure(R"({"Mounts": [{"Type": "bind", "Target": "/x"}]})"),
            "invalid mount config for type \"bind\": field Source must not be empty");
}

TEST(Mounts, TheMountsFormKnowsBindVolumeAndTmpfs) {
  auto result = mounts(R"({"Mounts": [
      {"Type": "bind", "Source": "/s", "Target": "/a", "ReadOnly": true},
      {"Type": "volume", "Target": "/b"},
      {"Type": "tmpfs", "Target": "/c", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 448}}]})");
  ASSERT_TRUE(result);
  EXPECT_FALSE((*result)[0].make_source);
  EXPECT_FALSE((*result)[0].writable);
  EXPECT_TRUE((*result)[1].anonymous);
  EXPECT_EQ((*result)[2].options, "size=4096,mode=700");
}

TEST(Mounts, AVolumeOfTheImageYieldsToAMountOfTheUsers) {
  auto result = mounts(R"({"Binds": ["/host:/data"]})", R"({"Volumes": {"/data": {}, "/x": {}}})");
  ASSERT_TRUE(result);
  ASSERT_EQ(result->size(), 2U);
  EXPECT_EQ((*result)[0].type, "bind");
  EXPECT_EQ((*result)[1].destination, "/x");
}

TEST(Mounts, SurviveTheirDocument) {
  MountPoint mount;
  mount.type = "volume";
  mount.name = "n";
  mount.destination = "/d";
  mount.writable = false;
  mount.anonymous = true;
  mount.copy_from_image = false;
  MountPoint back = mount_from_json(to_json(mount));
  EXPECT_EQ(to_json(back), to_json(mount));
}

TEST(Mounts, PathsAreCleanedAsInGo) {
  EXPECT_EQ(clean_path("/a//b/../c/./"), "/a/c");
  EXPECT_EQ(clean_path("/../.."), "/");
  EXPECT_EQ(clean_path("/"), "/");
}

}  // namespace
}  // namespace lab::engine::container
