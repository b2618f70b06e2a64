#include "engine/registry/preload.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/file.hpp"
#include "engine/layer/tar_writer.hpp"
#include "engine/registry/manifest.hpp"

namespace lab::engine::registry {
namespace {

namespace fs = std::filesystem;

std::string tar_of(const std::string& name, const std::string& content) {
  std::string tar;
  const layer::TarSink sink = [&tar](std::string_view bytes) {
    tar += bytes;
    return Result<void>{};
  };
  layer::TarWriter writer(sink);
  writer.file(name, content).value();
  writer.finish().value();
  return tar;
}

class Preload : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "the owners in a layer need root";
    store_ = image::ImageStore::open({folder_.path() / "data"}, clock_).value();
  }

  Descriptor put_blob(const std::string& content, std::string_view media_type) {
    const std::string hex = sha256_hex(content);
    write_file(layout() / "blobs/sha256" / hex, content).value();
    return {std::string(media_type), "sha256:" + hex, content.size()};
  }

  // A layout of one image with one layer; gives the layer's diff id.
  std::string make_layout() {
    make_directories(layout() / "blobs/sha256").value();
    const Descriptor layer = put_blob(tar_of("greeting", "hello"), docker_layer);
    const Descriptor config =
        put_blob(fmt::format(R"({{"rootfs":{{"type":"layers","diff_ids":["{}"]}}}})", layer.digest),
                 docker_config);
    const Descriptor manifest = put_blob(make_docker_manifest(config, {layer}), docker_manifest);
    const std::string index = fmt::format(
        R"({{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{}","size":{}}}]}})",
        manifest.media_type, manifest.digest, manifest.size_bytes);
    write_file(layout() / "index.json", index).value();
    return layer.digest;  // it is not compressed
  }

  [[nodiscard]] fs::path layout() const { return folder_.path() / "layout"; }

  TemporaryDirectory folder_{"lab-preload-test"};
  SystemClock clock_;
  std::unique_ptr<image::ImageStore> store_;
};

TEST_F(Preload, LayersWaitForAPullAndNoImageIsListed) {
  const std::string layer = make_layout();
  for (int again = 0; again < 2; ++again) {
    const auto done = preload_layers(*store_, layout());
    ASSERT_TRUE(done) << done.error().message;
  }
  EXPECT_TRUE(store_->list().empty());
  store_.reset();
  store_ = image::ImageStore::open({folder_.path() / "data"}, clock_).value();
  store_->retain_holders({}).value();
  ASSERT_TRUE(store_->has_layer(layer));
  EXPECT_EQ(read_file(store_->layer_directory(layer).value() / "greeting").value(), "hello");
  EXPECT_EQ(store_->layer_blobs(layer).size(), 1U);
}

TEST_F(Preload, ADamagedLayerIsRefusedAndLeavesNothing) {
  const std::string layer = make_layout();
  write_file(layout() / "blobs/sha256" / image::digest_hex(layer), tar_of("greeting", "hullo"))
      .value();
  const auto done = preload_layers(*store_, layout());
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("verification failed"), std::string::npos);
  EXPECT_FALSE(store_->has_layer(layer));
  EXPECT_TRUE(fs::is_empty(store_->temporary_directory()));
}

}  // namespace
}  // namespace lab::engine::registry
