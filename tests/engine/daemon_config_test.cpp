#include "engine/daemon_config.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "engine/events/events.hpp"

namespace lab::engine {
namespace {

TEST(DaemonConfig, TakesDockerdsKeys) {
  DaemonConfig config;
  ASSERT_TRUE(apply_config_file(
      config,
      R"({"data-root": "/d", "registry-mirrors": ["http://m"], "debug": true, "live-restore": true,
          "hosts": ["unix:///x"], "max-concurrent-downloads": 7, "bip": "10.1.0.1/24"})",
      {}));
  EXPECT_EQ(config.data_root, "/d");
  EXPECT_EQ(config.registry.mirrors, (std::vector<std::string>{"http://m"}));
  EXPECT_TRUE(config.debug);
  EXPECT_EQ(config.hosts, (std::vector<std::string>{"unix:///x"}));
  EXPECT_EQ(config.registry.downloads_max, 7U);
  EXPECT_EQ(config.bip, "10.1.0.1/24");
}

TEST(DaemonConfig, NamesWhatIsWrong) {
  DaemonConfig config;
  EXPECT_EQ(apply_config_file(config, R"({"data-rot": "/d"})", {}).error().message,
            "the following directives don't match any configuration option: data-rot");
  EXPECT_EQ(apply_config_file(config, R"({"debug": "yes"})", {}).error().message,
            "the value of \"debug\" has the wrong type");
  EXPECT_EQ(apply_config_file(config, R"({"debug": true})", {"debug"}).error().message,
            "the following directives are specified both as a flag and in the configuration file: "
            "debug");
  EXPECT_TRUE(apply_config_file(config, "\n", {}));
}

TEST(Events, MatchDockersFilters) {
  boost::asio::io_context context;
  SystemClock clock;
  EventBus bus(context.get_executor(), clock);
  bus.emit("container", "exec_create: ls", "abcdef", {{"image", "web:1"}, {"name", "server"}});
  Event event = bus.since(0).front();
  EXPECT_TRUE(matches(event, {{"type", {"container"}}, {"event", {"exec_create"}}}));
  EXPECT_FALSE(matches(event, {{"type", {"container"}}, {"event", {"start"}}}));
  EXPECT_TRUE(matches(event, {{"event", {"start", "exec_create"}}}));
  EXPECT_TRUE(matches(event, {{"container", {"server"}}}));
  EXPECT_TRUE(matches(event, {{"container", {"abc"}}}));
  EXPECT_TRUE(matches(event, {{"image", {"web"}}}));
  EXPECT_FALSE(matches(event, {{"container", {"other"}}}));
  EXPECT_EQ(bus.since(bus.last_sequence()).size(), 0U);
}

}  // namespace
}  // namespace lab::engine
