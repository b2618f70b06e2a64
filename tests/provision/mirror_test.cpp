#include "provision/mirror.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/json.hpp>
#include <thread>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/http_client.hpp"
#include "provision/image_layout.hpp"

namespace lab::provision {
namespace {

// A mirror on a free port of loopback over a layout with one image, shop:12 = shop:latest.
class MirrorTest : public testing::Test {
 protected:
  MirrorTest() : layout_(folder_.path() / "layout"), mirror_(layout_.folder()) {
    mirror_.add_routes(router_);
    server_.emplace(context_.get_executor(),
                    [this](http::Exchange& exchange) { return router_(exchange); });
    port_ = server_->listen_tcp("127.0.0.1", 0).value();
    thread_ = std::thread([this] { context_.run(); });
  }
  ~MirrorTest() override {
    boost::asio::post(context_, [this] { server_->stop(); });
    thread_.join();
  }

  void fill() {
    ASSERT_TRUE(layout_.create());
    layer_ = layout_.put(std::string(1'500'000, 'x') + "end").value();
    manifest_ = layout_.put(R"({"schemaVersion":2})").value();
    const std::string type(manifest_media_type);
    ASSERT_TRUE(layout_.replace_repository(
        "shop", {{"shop", "12", manifest_, type, ""}, {"shop", "latest", manifest_, type, ""}}));
  }

  http::Response ask(std::string target, std::string method = "GET", http::Headers headers = {}) {
    http::Endpoint endpoint;
    endpoint.host = "127.0.0.1";
    endpoint.port = port_;
    http::ClientRequest request;
    request.method = std::move(method);
    request.target = std::move(target);
    request.headers = std::move(headers);
    Result<http::Response> response = http::fetch_blocking(endpoint, std::move(request));
    if (!response) {
      ADD_FAILURE() << response.error().message;
      return {};
    }
    return std::move(*response);
  }

  static std::string error_code(const http::Response& response) {
    boost::json::value value = boost::json::parse(response.body);
    return std::string(value.at("errors").at(0).at("code").as_string());
  }

  TemporaryDirectory folder_;
  ImageLayout layout_;
  Mirror mirror_;
  http::Router router_;
  boost::asio::io_context context_;
  std::optional<http::Server> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
  Blob layer_;
  Blob manifest_;
};

TEST_F(MirrorTest, TellsItsProtocol) {
  http::Response response = ask("/v2/");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.get("Docker-Distribution-Api-Version"), "registry/2.0");
}

TEST_F(MirrorTest, BuildsAnImageOfTheCatalogueWhenItIsFirstAskedFor) {
  ASSERT_EQ(ask("/v2/library/hello-world/manifests/latest").status, 200);
  EXPECT_EQ(ask("/v2/library/hello-world/manifests/another").status, 404);
}

TEST_F(MirrorTest, BuildsNoImageOnceItWasStopped) {
  mirror_.stop();
  const http::Response response = ask("/v2/library/hello-world/manifests/latest");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(error_code(response), "NAME_UNKNOWN");
}

TEST_F(MirrorTest, SeesImagesThatAppearLater) {
  http::Response before = ask("/v2/library/shop/manifests/12");
  EXPECT_EQ(before.status, 404);
  EXPECT_EQ(error_code(before), "NAME_UNKNOWN");
  fill();
  EXPECT_EQ(ask("/v2/library/shop/manifests/12").status, 200);
}

TEST_F(MirrorTest, ServesManifestsByTagAndDigestWithAndWithoutLibrary) {
  fill();
  for (const std::string name : {"shop", "library/shop"}) {
    for (const std::string& reference : std::vector<std::string>{"latest", manifest_.digest}) {
      http::Response response = ask("/v2/" + name + "/manifests/" + reference + "?ns=docker.io");
      EXPECT_EQ(response.status, 200) << name << " " << reference;
      EXPECT_EQ(response.headers.get("Content-Type"), manifest_media_type);
      EXPECT_EQ(response.headers.get("Docker-Content-Digest"), manifest_.digest);
      EXPECT_EQ("sha256:" + sha256_hex(response.body), manifest_.digest);
    }
  }
}

TEST_F(MirrorTest, AnswersHeadWithTheLengthAndNoBody) {
  fill();
  http::Response manifest = ask("/v2/shop/manifests/12", "HEAD");
  EXPECT_EQ(manifest.status, 200);
  EXPECT_EQ(manifest.headers.get("Content-Length"), std::to_string(manifest_.size_bytes));
  EXPECT_TRUE(manifest.body.empty());
  http::Response layer = ask("/v2/shop/blobs/" + layer_.digest, "HEAD");
  EXPECT_EQ(layer.headers.get("Content-Length"), std::to_string(layer_.size_bytes));
  EXPECT_TRUE(layer.body.empty());
}

TEST_F(MirrorTest, ServesBlobsWhole) {
  fill();
  http::Response response = ask("/v2/library/shop/blobs/" + layer_.digest);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ("sha256:" + sha256_hex(response.body), layer_.digest);
}

TEST_F(MirrorTest, ServesRangesOfBlobs) {
  fill();
  const std::string blob = "/v2/shop/blobs/" + layer_.digest;
  http::Response tail = ask(blob, "GET", {{"Range", "bytes=1500000-"}});
  EXPECT_EQ(tail.status, 206);
  EXPECT_EQ(tail.body, "end");
  EXPECT_EQ(tail.headers.get("Content-Range"), "bytes 1500000-1500002/1500003");
  EXPECT_EQ(ask(blob, "GET", {{"Range", "bytes=-2"}}).body, "nd");
  EXPECT_EQ(ask(blob, "GET", {{"Range", "bytes=0-1"}}).body, "xx");
  EXPECT_EQ(ask(blob, "GET", {{"Range", "bytes=1500003-"}}).status, 416);
  EXPECT_EQ(ask(blob, "GET", {{"Range", "bytes=5-4"}}).status, 200);
  EXPECT_EQ(ask(blob, "GET", {{"Range", "lines=1-2"}}).status, 200);
}

TEST_F(MirrorTest, ListsTagsAndRepositories) {
  fill();
  EXPECT_EQ(ask("/v2/library/shop/tags/list").body,
            R"({"name":"library/shop","tags":["12","latest"]})");
  EXPECT_EQ(ask("/v2/_catalog").body, R"({"repositories":["shop"]})");
}

TEST_F(MirrorTest, RefusesWhatItLacksInTheProtocolsForm) {
  fill();
  EXPECT_EQ(error_code(ask("/v2/shop/manifests/13")), "MANIFEST_UNKNOWN");
  EXPECT_EQ(error_code(ask("/v2/ubuntu/manifests/12")), "NAME_UNKNOWN");
  EXPECT_EQ(error_code(ask("/v2/ubuntu/tags/list")), "NAME_UNKNOWN");
  const std::string none = "sha256:" + std::string(64, '0');
  EXPECT_EQ(error_code(ask("/v2/shop/blobs/" + none)), "BLOB_UNKNOWN");
  EXPECT_EQ(error_code(ask("/v2/shop/blobs/sha256:..")), "BLOB_UNKNOWN");
  EXPECT_EQ(ask("/v2/shop/blobs/sha256:..%2f..%2f..%2findex.json").status, 404);
  EXPECT_EQ(ask("/v2/shop/blobs/" + none, "HEAD").status, 404);
}

}  // namespace
}  // namespace lab::provision
