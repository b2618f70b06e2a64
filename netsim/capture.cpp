#include "netsim/capture.hpp"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include "netsim/pcapng.hpp"

namespace lab::netsim {

namespace {

constexpr std::size_t buffer_bytes_max = std::size_t{16} << 20;

std::string comment_on(const SeenFrame& frame) {
  std::string comment;
  const auto add = [&comment](std::string_view words) {
    if (!comment.empty()) comment += ", ";
    comment += words;
  };
  if (frame.drop != Drop::none) add(fmt::format("dropped: {}", to_string(frame.drop)));
  if (frame.corrupted) add("corrupted");
  if (frame.duplicate) add("duplicate");
  return comment;
}

bool names(const std::string& pattern, const std::string& machine) {
  return pattern == "*" || pattern == machine;
}

}  // namespace

// A compiled filter of libpcap.
struct Capture::Filter {
  Filter() = default;
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  ~Filter() { pcap_freecode(&program); }

  static Result<std::unique_ptr<Filter>> compile(const std::string& text) {
    const std::unique_ptr<pcap_t, decltype(&pcap_close)> handle(
        pcap_open_dead(DLT_EN10MB, static_cast<int>(frame_bytes_max)), &pcap_close);
    if (!handle) return make_error(Code::internal, "libpcap does not start");
    auto filter = std::make_unique<Filter>();
    constexpr int optimise = 1;
    if (pcap_compile(handle.get(), &filter->program, text.c_str(), optimise,
                     PCAP_NETMASK_UNKNOWN) != 0) {
      return make_error(Code::invalid_argument, "the filter \"{}\": {}", text,
                        pcap_geterr(handle.get()));
    }
    return filter;
  }

  [[nodiscard]] bool passes(std::span<const unsigned char> frame) const {
    pcap_pkthdr header{};
    header.caplen = static_cast<bpf_u_int32>(frame.size());
    header.len = header.caplen;
    return pcap_offline_filter(&program, &header, frame.data()) != 0;
  }

  bpf_program program{};
};

Capture::Capture(CaptureOptions options, std::function<void()> wake)
    : options_(std::move(options)), wake_(std::move(wake)) {}

Capture::~Capture() = default;

Result<std::shared_ptr<Capture>> Capture::make(
    CaptureOptions options, const std::vector<std::pair<std::string, std::string>>& directions,
    std::function<void()> wake) {
  const std::shared_ptr<Capture> capture(new Capture(std::move(options), std::move(wake)));
  if (!capture->options_.filter.empty()) {
    LAB_TRY(capture->filter_, Filter::compile(capture->options_.filter));
  }
  pcapng::section(capture->buffer_, "swarmlab " LAB_VERSION);
  for (const auto& [from, to] : directions)
    if (capture->wanted(from, to)) (void)capture->interface_of(from, to);
  return capture;
}

bool Capture::wanted(const std::string& from, const std::string& to) const {
  if (options_.links.empty()) return true;
  return std::any_of(options_.links.begin(), options_.links.end(), [&](const CaptureLink& link) {
    return names(link.from, from) && names(link.to, to);
  });
}

std::uint32_t Capture::interface_of(const std::string& from, const std::string& to) {
  const auto number = static_cast<std::uint32_t>(interfaces_.size());
  const auto [found, is_new] = interfaces_.try_emplace({from, to}, number);
  if (is_new) pcapng::interface(buffer_, fmt::format("{}->{}", from, to), frame_bytes_max);
  return found->second;
}

void Capture::seen(const SeenFrame& frame) {
  if (!wanted(frame.from, frame.to)) return;
  if (filter_ && !filter_->passes(frame.bytes)) return;
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    if (options_.frames_max != 0 && frames_ == options_.frames_max) return;
    was_empty = buffer_.empty();
    const std::uint32_t interface = interface_of(frame.from, frame.to);
    if (buffer_.size() + frame.bytes.size() > buffer_bytes_max) {
      ++lost_[interface];
      return;
    }
    if (const auto lost = lost_.find(interface); lost != lost_.end()) {
      pcapng::statistics(buffer_, interface, frame.time, lost->second);
      lost_.erase(lost);
    }
    pcapng::packet(buffer_, interface, frame.time, frame.bytes, comment_on(frame));
    ++frames_;
  }
  if (was_empty) wake_();
}

Capture::Piece Capture::take() {
  const std::lock_guard lock(mutex_);
  return {std::exchange(buffer_, {}), options_.frames_max != 0 && frames_ == options_.frames_max};
}

}  // namespace lab::netsim
