#include "engine/container/config.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <boost/json/parse.hpp>

#include "engine/container/limits.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::container {
namespace {

namespace json = boost::json;

json::object object(std::string_view text) { return json::parse(text).as_object(); }

TEST(ContainerConfig, FillsDefaultsInDockersOrder) {
  Result<json::object> config = complete_config(object(R"({"Image": "busybox", "Tty": true})"));
  ASSERT_TRUE(config);
  EXPECT_EQ(config->begin()->key(), "Hostname");
  EXPECT_TRUE(flag_of(*config, "Tty"));
  EXPECT_TRUE(config->at("Env").is_null());
  EXPECT_FALSE(config->contains("StopSignal"));
  EXPECT_FALSE(config->contains("ExposedPorts"));
}

TEST(ContainerConfig, TakesNamesWithoutCaseAndLeavesUnknownOnesOut) {
  Result<json::object> config = complete_config(object(R"({"image": "a", "Nonsense": 1})"));
  ASSERT_TRUE(config);
  EXPECT_EQ(text_of(*config, "Image"), "a");
  EXPECT_FALSE(config->contains("Nonsense"));
}

TEST(ContainerConfig, RefusesAMemberOfTheWrongKind) {
  Result<json::object> config = complete_config(object(R"({"Tty": "yes"})"));
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Code::invalid_argument);
}

TEST(ContainerConfig, MergesTheImagesConfiguration) {
  json::object config = *complete_config(object(
      R"({"Image": "i", "Env": ["A=own"], "Labels": {"x": "own"}, "Volumes": {"/own": {}}})"));
  json::object image = object(
      R"({"Env": ["A=image", "B=image"], "Cmd": ["run"], "Entrypoint": ["/e"], "User": "web",
          "WorkingDir": "/w", "Labels": {"x": "image", "y": "image"}, "Volumes": {"/image": {}},
          "StopSignal": "SIGINT"})");
  ASSERT_TRUE(merge_image_config(config, image));
  EXPECT_EQ(texts_of(config, "Env"), (std::vector<std::string>{"A=own", "B=image"}));
  EXPECT_EQ(command_line(config), (std::vector<std::string>{"/e", "run"}));
  EXPECT_EQ(text_of(object_of(config, "Labels"), "x"), "own");
  EXPECT_EQ(text_of(object_of(config, "Labels"), "y"), "image");
  EXPECT_EQ(object_of(config, "Volumes").size(), 2U);
  EXPECT_EQ(text_of(config, "User"), "web");
  EXPECT_EQ(text_of(config, "StopSignal"), "SIGINT");
}

TEST(ContainerConfig, AnEntrypointOfTheUsersDropsTheImagesCommand) {
  json::object config = *complete_config(object(R"({"Entrypoint": ["/mine"]})"));
  ASSERT_TRUE(merge_image_config(config, object(R"({"Cmd": ["run"], "Entrypoint": ["/e"]})")));
  EXPECT_EQ(command_line(config), (std::vector<std::string>{"/mine"}));
}

TEST(ContainerConfig, AnEmptyEntrypointTakesTheImagesAway) {
  json::object config = *complete_config(object(R"({"Entrypoint": [""], "Cmd": ["ls"]})"));
  ASSERT_TRUE(merge_image_config(config, object(R"({"Entrypoint": ["/e"]})")));
  EXPECT_EQ(command_line(config), (std::vector<std::string>{"ls"}));
}

TEST(ContainerConfig, WithoutACommandTheRequestIsRefused) {
  json::object config = *complete_config({});
  Result<void> merged = merge_image_config(config, {});
  ASSERT_FALSE(merged);
  EXPECT_EQ(merged.error().message, "No command specified");
}

TEST(ContainerConfig, HostConfigOfAPrivilegedContainerMasksNothing) {
  json::object host = *complete_host_config(object(R"({"Privileged": true})"));
  EXPECT_TRUE(host.at("MaskedPaths").is_null());
  EXPECT_EQ(array_of(*complete_host_config({}), "MaskedPaths").size(), 10U);
}

TEST(ContainerConfig, ChecksRestartPolicies) {
  auto check = [](std::string_view text) {
    json::object host_config = *complete_host_config(object(text));
    Result<std::vector<std::string>> warnings = check_limits(host_config, false);
    return warnings ? std::string() : warnings.error().message;
  };
  EXPECT_EQ(check(R"({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}})"), "");
  EXPECT_EQ(check(R"({"RestartPolicy": {"Name": "sometimes"}})"),
            "invalid restart policy 'sometimes'");
  EXPECT_EQ(check(R"({"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}})"),
            "maximum retry count cannot be used with restart policy 'always'");
  EXPECT_EQ(check(R"({"RestartPolicy": {"Name": "always"}, "AutoRemove": true})"),
            "can't create 'AutoRemove' container with restart policy");
  EXPECT_EQ(check(R"({"Memory": 1000})"), "Minimum memory limit allowed is 6MB");
}

TEST(Signals, AreKnownByNumberAndNameWithOrWithoutPrefix) {
  EXPECT_EQ(*parse_signal("9"), SIGKILL);
  EXPECT_EQ(*parse_signal("TERM"), SIGTERM);
  EXPECT_EQ(*parse_signal("SIGUSR1"), SIGUSR1);
  EXPECT_EQ(*parse_signal("sigwinch"), SIGWINCH);
  EXPECT_EQ(*parse_signal("RTMIN+3"), SIGRTMIN + 3);
  for (const char* bad : {"FOO", "0", "", "SIG"}) {
    Result<int> signal = parse_signal(bad);
    ASSERT_FALSE(signal) << bad;
    EXPECT_EQ(signal.error().message, std::string("Invalid signal: ") + bad);
  }
}

}  // namespace
}  // namespace lab::engine::container
