// A capture of the lab's network while it runs: frames of chosen links that a filter lets through,
// as pcapng, with an interface for each direction between two machines. What a link did to a frame
// is a comment at the frame: "dropped: loss", "corrupted", "duplicate". The reader may be slow:
// what does not fit the buffer is counted, and the count written into the capture.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "netsim/switch.hpp"

namespace lab::netsim {

// One direction, or several: "*" is any machine.
struct CaptureLink {
  std::string from;
  std::string to;
};

struct CaptureOptions {
  std::vector<CaptureLink> links;  // none: all
  std::string filter;              // in tcpdump's language; empty: everything
  std::uint64_t frames_max = 0;    // ends after so many; 0: never
};

class Capture final : public FrameTap {
 public:
  // `directions` are those there are now, and come first; others follow when they have a frame.
  // `wake` is called in the switch's thread when there is something to take after there was
  // nothing. Code::invalid_argument with libpcap's words for a filter that does not compile.
  [[nodiscard]] static Result<std::shared_ptr<Capture>> make(
      CaptureOptions options, const std::vector<std::pair<std::string, std::string>>& directions,
      std::function<void()> wake);
  ~Capture() override;

  void seen(const SeenFrame& frame) override;

  struct Piece {
    std::string bytes;  // whole blocks; may be empty
    bool last = false;  // frames_max were taken
  };
  [[nodiscard]] Piece take();

 private:
  struct Filter;
  Capture(CaptureOptions options, std::function<void()> wake);
  [[nodiscard]] bool wanted(const std::string& from, const std::string& to) const;
  std::uint32_t interface_of(const std::string& from, const std::string& to);

  CaptureOptions options_;
  std::function<void()> wake_;
  std::unique_ptr<Filter> filter_;  // none: everything
  std::mutex mutex_;                // guards what follows
  std::string buffer_;
  std::map<std::pair<std::string, std::string>, std::uint32_t> interfaces_;
  std::map<std::uint32_t, std::uint64_t> lost_;  // by interface, not reported yet
  std::uint64_t frames_ = 0;
};

}  // namespace lab::netsim
