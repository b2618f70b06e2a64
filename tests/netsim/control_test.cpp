#include "netsim/control.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/asio/io_context.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <functional>
#include <future>
#include <thread>

#include "base/file.hpp"
#include "base/http_client.hpp"
#include "tests/netsim/fake_nic.hpp"

namespace lab::netsim {
namespace {

namespace json = boost::json;

class ControlTest : public ::testing::Test {
 protected:
  ControlTest() {
    EXPECT_TRUE(control_.configure(config_));
    EXPECT_TRUE(switch_.start());
    control_.add_routes(router_);
    server_.emplace(io_.get_executor(), std::ref(router_));
    EXPECT_TRUE(server_->listen_unix(socket(), 0600));
    loop_ = std::thread([this] { io_.run(); });
  }
  ~ControlTest() override {
    io_.stop();
    loop_.join();
  }

  DaemonConfig make_config() const {
    DaemonConfig config;
    config.lab = "demo";
    config.control_socket = socket();
    config.subnet = "192.168.50.0/24";
    for (const FakeNic* nic : {&vm1_, &vm2_, &vm3_}) {
      config.ports.push_back({nic->machine(), "52:54:00:00:00:01", "192.168.50.4",
                              nic->switch_port(), nic->nic_port()});
    }
    config.links.push_back({"vm1", "vm3", json::object{{"delay", "1ms"}}});
    return config;
  }
  std::string socket() const { return (directory_.path() / "labd.sock").string(); }

  http::Response request(const std::string& method, const std::string& target,
                         const std::string& body = {}) {
    http::ClientRequest call;
    call.method = method;
    call.target = target;
    call.body = body;
    auto response = http::fetch_blocking({.unix_path = socket()}, std::move(call));
    EXPECT_TRUE(response) << (response ? "" : response.error().message);
    return response ? *response : http::Response{};
  }
  json::object link(const http::Response& response, std::string_view from, std::string_view to) {
    const json::value body = json::parse(response.body);
    for (const json::value& entry : body.at("links").as_array()) {
      if (entry.at("from").as_string() == from && entry.at("to").as_string() == to) {
        return entry.as_object();
      }
    }
    return {};
  }

  TemporaryDirectory directory_;
  FakeNic vm1_{"vm1", 1};
  FakeNic vm2_{"vm2", 2};
  FakeNic vm3_{"vm3", 3};
  DaemonConfig config_ = make_config();
  SystemClock clock_;
  Switch switch_{clock_, Random(1)};
  std::promise<void> shut_down_;
  int changes_ = 0;
  Control control_{switch_,
                   clock_,
                   {.read_config = [this]() -> Result<DaemonConfig> { return config_; },
                    .shutdown = [this] { shut_down_.set_value(); },
                    .changed = [this](const NetState&) { ++changes_; }}};
  boost::asio::io_context io_{1};
  http::Router router_;
  std::optional<http::Server> server_;
  std::thread loop_;
};

TEST_F(ControlTest, OnlyItsUserCanOpenTheSocket) {
  struct stat info {};
  ASSERT_EQ(stat(socket().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(ControlTest, StatusNamesLabPortsAndTraffic) {
  vm1_.send(nullptr, "hello");
  EXPECT_EQ(vm2_.receive(), "hello");
  const auto response = request("GET", "/status");
  EXPECT_EQ(response.status, 200);
  const json::value status = json::parse(response.body);
  EXPECT_EQ(status.at("lab").as_string(), "demo");
  EXPECT_TRUE(status.at("mirror").is_null());
  EXPECT_EQ(status.at("ports").at(0).at("machine").as_string(), "vm1");
  EXPECT_EQ(status.at("ports").at(0).at("frames").as_int64(), 1);
}

TEST_F(ControlTest, SetShowsInTheAnswerAndActsOnFrames) {
  const auto response =
      request("POST", "/net/set", R"({"links":[{"from":"vm1","to":"*","loss":"100%"}]})");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(link(response, "vm1", "vm3")["quality"],
            (json::object{{"delay", "1ms"}, {"loss", "100%"}}));
  EXPECT_EQ(link(response, "vm1", "vm3")["labfile"], (json::object{{"delay", "1ms"}}));
  vm1_.send(nullptr, "lost");
  vm2_.send(nullptr, "first to arrive");
  EXPECT_EQ(vm3_.receive(), "first to arrive");
  EXPECT_EQ(link(request("GET", "/net"), "vm1", "vm3")["counters"].at("dropped").at("loss"), 1);
  EXPECT_EQ(link(request("POST", "/net/reset"), "vm1", "vm2")["quality"], json::object{});
  EXPECT_EQ(changes_, 2);
}

TEST_F(ControlTest, PartitionAndHealAreSeenByFrames) {
  const auto response = request("POST", "/net/partition", R"({"groups":[["vm1"],["vm2","vm3"]]})");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(json::serialize(json::parse(response.body).at("partition")),
            R"([["vm1"],["vm2","vm3"]])");
  vm1_.send(nullptr, "cut");
  vm2_.send(nullptr, "within");
  EXPECT_EQ(vm3_.receive(), "within");
  ASSERT_EQ(request("POST", "/net/heal").status, 200);
  vm1_.send(nullptr, "healed");
  EXPECT_EQ(vm2_.receive(), "healed");
}

TEST_F(ControlTest, ReloadTakesPortsAndDefaultsAndRefusesWhatNeedsARestart) {
  config_.ports.pop_back();
  config_.links = {{"vm1", "vm2", json::object{{"rate", "1mbit"}}}};
  auto response = request("POST", "/reload");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(json::parse(response.body).at("machines"), (json::array{"vm1", "vm2"}));
  EXPECT_EQ(link(response, "vm1", "vm2")["quality"], (json::object{{"rate", "1mbit"}}));
  config_.mirror = MirrorConfig{"127.0.0.1", 1234, "/nowhere"};
  response = request("POST", "/reload");
  EXPECT_EQ(response.status, http_status(Code::unsupported));
  EXPECT_NE(response.body.find("mirror.port"), std::string::npos) << response.body;
}

TEST_F(ControlTest, ShutdownIsAnsweredBeforeItHappens) {
  EXPECT_EQ(request("POST", "/shutdown").status, 200);
  EXPECT_EQ(shut_down_.get_future().wait_for(std::chrono::seconds{5}), std::future_status::ready);
}

TEST_F(ControlTest, BadRequestsSayWhatIsWrongAndChangeNothing) {
  const std::vector<std::array<std::string, 3>> cases{
      {"/net/set", "nonsense", "the body is not JSON"},
      {"/net/set", "[]", "the body is [], not an object"},
      {"/net/set", "{}", "links is missing or empty"},
      {"/net/set", R"({"links":3})", "links is 3, not an array"},
      {"/net/set", R"({"links":[3]})", "links[0] is 3, not an object"},
      {"/net/set", R"({"links":[{"to":"vm1","delay":"1ms"}]})", "links[0].from is missing"},
      {"/net/set", R"({"links":[{"from":"vm1","to":"vm2"}]})", "links[0] sets nothing"},
      {"/net/set", R"({"links":[{"from":"vm1","to":"vm2","delay":"1"}]})", "delay: \\\"1\\\""},
      {"/net/set", R"({"link":[]})", "link is not a known key (its value is [])"},
      {"/net/reset", R"({"links":[{"from":"vm1","to":"vm2","delay":"1ms"}]})",
       "links[0].delay is not a known key"},
      {"/net/partition", "{}", "groups is missing"},
      {"/net/partition", R"({"groups":[[1]]})", "groups[0][0] is 1, not a string"},
      {"/net/partition", R"({"groups":["vm1"]})", "groups[0] is \\\"vm1\\\", not an array"},
  };
  const std::string before = json::serialize(control_.net());
  for (const auto& [path, body, message] : cases) {
    const auto response = request("POST", path, body);
    EXPECT_EQ(response.status, 400) << path << " " << body;
    EXPECT_NE(response.body.find(message), std::string::npos) << response.body;
  }
  EXPECT_EQ(request("POST", "/net/partition", R"({"groups":[["vm7"]]})").status, 404);
  EXPECT_EQ(request("GET", "/nowhere").status, 404);
  EXPECT_EQ(changes_, 0);
  EXPECT_EQ(json::serialize(control_.net()), before);
}

TEST_F(ControlTest, RandomDamageToRequestsNeverBreaksTheDaemon) {
  const std::vector<std::pair<std::string, std::string>> seeds{
      {"/net/set",
       R"({"links":[{"from":"vm1","to":"*","delay":"10ms","jitter":"1ms","loss":"1%","limit":9}]})"},
      {"/net/partition", R"({"groups":[["vm1"],["vm2","vm3"]]})"},
      {"/net/reset", R"({"links":[{"from":"*","to":"vm2"}]})"}};
  const std::string spice = "{}[]\":,0189.-+e%\\nulltrue\x01\x7f\xc3*vm";
  Random random(11);
  for (int i = 0; i < 600; ++i) {
    const auto& [path, seed] = seeds[random.below(seeds.size())];
    std::string body = seed;
    for (std::uint64_t edits = 1 + random.below(4); edits > 0 && !body.empty(); --edits) {
      const std::size_t at = random.below(body.size());
      switch (random.below(3)) {
        case 0: body[at] = spice[random.below(spice.size())]; break;
        case 1: body.erase(at, 1 + random.below(5)); break;
        default: body.insert(at, 1, spice[random.below(spice.size())]); break;
      }
    }
    const int status = request("POST", path, body).status;
    EXPECT_TRUE(status == 200 || status == 400 || status == 404) << status << " " << body;
  }
  ASSERT_EQ(request("POST", "/net/heal").status, 200);
  ASSERT_EQ(request("POST", "/net/reset").status, 200);
  vm1_.send(nullptr, "alive");
  EXPECT_EQ(vm2_.receive(), "alive");
}

}  // namespace
}  // namespace lab::netsim
