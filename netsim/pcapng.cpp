#include "netsim/pcapng.hpp"

#include <bit>
#include <cstring>

namespace lab::netsim::pcapng {

namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

constexpr std::uint32_t section_header_block = 0x0a0d0d0a;
constexpr std::uint32_t interface_description_block = 1;
constexpr std::uint32_t interface_statistics_block = 5;
constexpr std::uint32_t enhanced_packet_block = 6;
constexpr std::uint32_t byte_order_magic = 0x1a2b3c4d;
constexpr std::uint64_t length_unknown = ~std::uint64_t{0};
constexpr std::uint16_t linktype_ethernet = 1;
constexpr std::uint8_t nanoseconds = 9;  // the time stamps' unit is 10 to the power of minus this

// Codes of options; each kind of block has its own.
constexpr std::uint16_t opt_comment = 1;
constexpr std::uint16_t shb_userappl = 4;
constexpr std::uint16_t if_name = 2;
constexpr std::uint16_t if_tsresol = 9;
constexpr std::uint16_t isb_ifdrop = 5;

template <typename T>
void number(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void padded(std::string& out, std::string_view bytes) {
  out += bytes;
  out.append((4 - bytes.size() % 4) % 4, '\0');
}

void option(std::string& out, std::uint16_t code, std::string_view value) {
  number(out, code);
  number(out, static_cast<std::uint16_t>(value.size()));
  padded(out, value);
}

void end_of_options(std::string& out) { number(out, std::uint32_t{0}); }

// The high half comes first.
void time_stamp(std::string& out, WallTime time) {
  const auto since_1970 = static_cast<std::uint64_t>(time.time_since_epoch().count());
  number(out, static_cast<std::uint32_t>(since_1970 >> 32));
  number(out, static_cast<std::uint32_t>(since_1970));
}

// A block between its type and its length, which stands at both ends.
class Block {
 public:
  Block(std::string& out, std::uint32_t type) : out_(out), begin_(out.size()) {
    number(out_, type);
    number(out_, std::uint32_t{0});
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() {
    const auto length = static_cast<std::uint32_t>(out_.size() - begin_ + sizeof(std::uint32_t));
    number(out_, length);
    std::memcpy(&out_[begin_ + sizeof(std::uint32_t)], &length, sizeof length);
  }

 private:
  std::string& out_;
  std::size_t begin_;
};

}  // namespace

void section(std::string& out, std::string_view application) {
  const Block block(out, section_header_block);
  number(out, byte_order_magic);
  number(out, std::uint16_t{1});  // version 1.0
  number(out, std::uint16_t{0});
  number(out, length_unknown);
  option(out, shb_userappl, application);
  end_of_options(out);
}

void interface(std::string& out, std::string_view name, std::uint32_t frame_bytes_max) {
  const Block block(out, interface_description_block);
  number(out, linktype_ethernet);
  number(out, std::uint16_t{0});
  number(out, frame_bytes_max);
  option(out, if_name, name);
  option(out, if_tsresol, std::string_view(reinterpret_cast<const char*>(&nanoseconds), 1));
  end_of_options(out);
}

void packet(std::string& out, std::uint32_t interface, WallTime time,
            std::span<const unsigned char> frame, std::string_view comment) {
  const Block block(out, enhanced_packet_block);
  number(out, interface);
  time_stamp(out, time);
  number(out, static_cast<std::uint32_t>(frame.size()));  // as captured, and as it was
  number(out, static_cast<std::uint32_t>(frame.size()));
  padded(out, {reinterpret_cast<const char*>(frame.data()), frame.size()});
  if (comment.empty()) return;
  option(out, opt_comment, comment);
  end_of_options(out);
}

void statistics(std::string& out, std::uint32_t interface, WallTime time, std::uint64_t lost) {
  const Block block(out, interface_statistics_block);
  number(out, interface);
  time_stamp(out, time);
  char bytes[sizeof lost];
  std::memcpy(bytes, &lost, sizeof lost);
  option(out, isb_ifdrop, {bytes, sizeof bytes});
  end_of_options(out);
}

}  // namespace lab::netsim::pcapng
