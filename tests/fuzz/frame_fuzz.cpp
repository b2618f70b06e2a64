#include <cstdlib>
#include <cstring>

#include "netsim/bridge.hpp"
#include "netsim/capture.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {

namespace {

// Every block says its length at both ends, and together they are the whole.
void check_blocks(const std::string& capture) {
  std::size_t at = 0;
  while (at < capture.size()) {
    std::uint32_t length = 0;
    std::uint32_t again = 0;
    if (capture.size() - at < 12) std::abort();
    std::memcpy(&length, &capture[at + 4], sizeof length);
    if (length < 12 || length % 4 != 0 || length > capture.size() - at) std::abort();
    std::memcpy(&again, &capture[at + length - 4], sizeof again);
    if (again != length) std::abort();
    at += length;
  }
}

// A link that does everything that links do.
netsim::LinkQuality bad_link() {
  netsim::LinkQuality quality;
  quality.loss = quality.corrupt = quality.duplicate = 0.3;
  quality.delay = std::chrono::milliseconds(1);
  quality.jitter = std::chrono::milliseconds(1);
  quality.limit_frames = 4;
  return quality;
}

}  // namespace

// Frames from a machine, each with its length in two bytes before it: through the bridge, and
// through captures with filters that look deep into them.
void frame(std::string_view bytes) {
  const std::string machines[] = {"vm1", "vm2", "vm3"};
  netsim::Bridge bridge{Random(1)};
  bridge.grow(3);
  for (netsim::PortIndex port = 0; port < 3; ++port) bridge.set_used(port, true);
  bridge.set_quality(0, 2, bad_link());
  std::vector<std::shared_ptr<netsim::Capture>> captures;
  for (const char* filter : {"", "ip and tcp[13] & 2 != 0", "ip6 protochain 6", "vlan and arp",
                             "udp port 4789 and udp[8:4] > 3", "len > 9000 or less 14"}) {
    netsim::CaptureOptions options;
    options.filter = filter;
    auto capture = netsim::Capture::make(std::move(options), {{"vm1", "vm2"}}, [] {});
    if (!capture) std::abort();
    captures.push_back(*capture);
  }
  std::vector<netsim::Bridge::Output> outputs;
  while (bytes.size() > 2) {
    const std::size_t size =
        static_cast<unsigned char>(bytes[0]) * 256U + static_cast<unsigned char>(bytes[1]);
    bytes.remove_prefix(2);
    const std::string_view one = bytes.substr(0, size);
    bytes.remove_prefix(one.size());
    const std::span frame(reinterpret_cast<const unsigned char*>(one.data()), one.size());
    outputs.clear();
    bridge.forward(TimePoint{}, 0, frame, outputs);
    for (const netsim::Bridge::Output& output : outputs) {
      if (output.corrupted && output.corrupt_bit >= frame.size() * 8) std::abort();
      for (const auto& capture : captures)
        capture->seen({WallTime{}, machines[0], machines[output.to], frame,
                       output.delayed ? netsim::Drop::loss : netsim::Drop::none, output.corrupted,
                       output.duplicate});
    }
  }
  for (const auto& capture : captures) check_blocks(capture->take().bytes);
}

}  // namespace lab::fuzz
