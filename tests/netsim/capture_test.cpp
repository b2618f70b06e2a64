#include "netsim/capture.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "netsim/pcapng.hpp"
#include "tests/netsim/fake_nic.hpp"

namespace lab::netsim {
namespace {

std::uint32_t word_at(const std::string& bytes, std::size_t offset) {
  std::uint32_t word = 0;
  std::memcpy(&word, &bytes.at(offset), sizeof word);
  return word;
}

struct Packet {
  std::uint32_t interface = 0;
  std::string frame;
  std::string comment;
};

// The packets of a capture, with every block's structure checked.
std::vector<Packet> packets_of(const std::string& capture) {
  std::vector<Packet> packets;
  std::size_t at = 0;
  while (at < capture.size()) {
    const std::uint32_t length = word_at(capture, at + 4);
    EXPECT_EQ(length % 4, 0U);
    EXPECT_EQ(word_at(capture, at + length - 4), length);
    if (word_at(capture, at) == 6) {
      Packet packet;
      packet.interface = word_at(capture, at + 8);
      const std::uint32_t size = word_at(capture, at + 20);
      packet.frame = capture.substr(at + 28, size);
      const std::size_t options = at + 28 + (size + 3) / 4 * 4;
      if (options < at + length - 4) {
        const std::uint32_t head = word_at(capture, options);
        EXPECT_EQ(head & 0xffff, 1U);  // opt_comment
        packet.comment = capture.substr(options + 4, head >> 16);
      }
      packets.push_back(std::move(packet));
    }
    at += length;
  }
  EXPECT_EQ(at, capture.size());
  return packets;
}

class CaptureTest : public ::testing::Test {
 protected:
  CaptureTest() { EXPECT_TRUE(switch_.set_ports({vm1_.port(), vm2_.port(), vm3_.port()})); }
  ~CaptureTest() override {
    if (capture_) switch_.detach(capture_.get());
  }

  void begin(CaptureOptions options) {
    auto made =
        Capture::make(std::move(options), {{"vm1", "vm2"}, {"vm2", "vm1"}}, [this] { ++wakes_; });
    ASSERT_TRUE(made) << made.error().message;
    capture_ = *made;
    switch_.attach(capture_);
  }
  void set_link(const LinkQuality& quality, bool reachable = true) {
    switch_.set_links([&](const std::string& from, const std::string&) {
      return from == "vm1" ? LinkSetting{quality, reachable} : LinkSetting{};
    });
  }
  // vm2's address is learnt, so that vm1's frames go to it alone.
  void teach() {
    vm2_.send(nullptr, "here");
    pump();
    (void)capture_->take();
  }
  void pump() {
    for (int i = 0; i < 5; ++i) switch_.run_once(std::chrono::milliseconds(1));
  }
  std::vector<Packet> captured() { return packets_of(capture_->take().bytes); }

  FakeNic vm1_{"vm1", 1};
  FakeNic vm2_{"vm2", 2};
  FakeNic vm3_{"vm3", 3};
  SystemClock clock_;
  Switch switch_{clock_, Random(1)};
  std::shared_ptr<Capture> capture_;
  int wakes_ = 0;
};

TEST_F(CaptureTest, FramesComeOnTheInterfaceOfTheirDirection) {
  begin({});
  teach();
  vm1_.send(&vm2_, "one");
  pump();
  const auto packets = captured();
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].interface, 0U);
  EXPECT_TRUE(packets[0].frame.find("one") != std::string::npos);
  EXPECT_EQ(packets[0].comment, "");
  EXPECT_GT(wakes_, 0);
}

TEST_F(CaptureTest, WhatTheLinkDidIsAComment) {
  begin({});
  teach();
  LinkQuality quality;
  quality.loss = 1;
  set_link(quality);
  vm1_.send(&vm2_, "one");
  pump();
  set_link({}, false);
  vm1_.send(&vm2_, "two");
  pump();
  quality = {};
  quality.corrupt = 1;
  quality.duplicate = 1;
  set_link(quality);
  vm1_.send(&vm2_, "three");
  pump();
  std::vector<std::string> comments;
  for (const Packet& packet : captured()) comments.push_back(packet.comment);
  EXPECT_EQ(comments, (std::vector<std::string>{"dropped: loss", "dropped: partition", "corrupted",
                                                "corrupted, duplicate"}));
}

TEST_F(CaptureTest, ADelayedFrameThatIsCutOffIsSaid) {
  begin({});
  teach();
  LinkQuality quality;
  quality.delay = std::chrono::milliseconds(20);
  set_link(quality);
  vm1_.send(&vm2_, "one");
  switch_.run_once(std::chrono::milliseconds(1));
  EXPECT_TRUE(captured().empty());
  set_link(quality, false);
  std::vector<Packet> packets;
  for (int i = 0; i < 200 && packets.empty(); ++i) {
    switch_.run_once(std::chrono::milliseconds(10));
    packets = captured();
  }
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_EQ(packets[0].comment, "dropped: partition");
}

TEST_F(CaptureTest, OnlyTheChosenLinksAndWhatTheFilterLetsThrough) {
  CaptureOptions options;
  options.links = {{"vm1", "*"}};
  options.filter = "ether[14:2] = 0x7965";  // "ye"
  options.frames_max = 1;
  begin(std::move(options));
  vm2_.send(nullptr, "yes, but of another machine");
  vm1_.send(nullptr, "no");
  pump();
  EXPECT_TRUE(captured().empty());
  vm1_.send(nullptr, "yes");
  pump();
  const Capture::Piece piece = capture_->take();
  EXPECT_EQ(packets_of(piece.bytes).size(), 1U);  // of the two copies of the broadcast
  EXPECT_TRUE(piece.last);
}

TEST_F(CaptureTest, MalformedFramesAreCountedAndTheNetworkGoesOn) {
  CaptureOptions options;
  options.filter = "ip6 protochain 6 or tcp port 80 or vlan 5 or ether[60:4] > 3 or len > 0";
  begin(std::move(options));
  teach();
  Random random(7);
  constexpr std::size_t longest = 65'000;
  std::uint64_t malformed = 0;
  for (const std::size_t size : {std::size_t{1}, std::size_t{6}, std::size_t{13},
                                 frame_bytes_max + 1, std::size_t{20'000}, longest}) {
    vm1_.send_raw(std::string(size, '\x02'));
    ++malformed;
    pump();
  }
  vm1_.send_raw(std::string(6, '\x02') + std::string(8, '\xff'));  // from a group
  ++malformed;
  // Whole headers, and behind them whatever there may be.
  for (std::size_t size = 0; size < 400; size += 3) {
    const std::uint16_t types[] = {0x0800, 0x86dd, 0x8100, 0x0806, 0x0003};
    std::string frame = vm2_.mac() + vm1_.mac();
    const std::uint16_t type = types[size % 5];
    frame += {static_cast<char>(type >> 8), static_cast<char>(type & 0xff)};
    for (std::size_t i = 0; i < size; ++i) frame += static_cast<char>(random.between(0, 255));
    vm1_.send_raw(frame);
    pump();
  }
  vm1_.send(&vm2_, std::string(100, ' ') + "and now in earnest");
  pump();
  const auto packets = captured();
  ASSERT_GT(packets.size(), 100U);  // a filter that looks beyond a frame's end does not match it
  EXPECT_NE(packets.back().frame.find("in earnest"), std::string::npos);
  EXPECT_EQ(switch_.ports().front().counters.malformed, malformed);
}

TEST(Capture, AFilterThatDoesNotCompileIsAnError) {
  const auto made = Capture::make({{}, "tcp prot 80", 0}, {}, [] {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::invalid_argument);
  EXPECT_TRUE(made.error().message.starts_with("the filter \"tcp prot 80\": "))
      << made.error().message;
}

}  // namespace
}  // namespace lab::netsim
