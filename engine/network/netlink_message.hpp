// A netlink request under construction: header, family header, nested attributes. Shared by the
// rtnetlink and the nf_tables side.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace lab::engine::network {

class NetlinkMessage {
 public:
  NetlinkMessage(std::uint16_t type, std::uint16_t flags) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    append(&header, sizeof header);
  }

  template <typename T>
  void body(const T& value) {
    append(&value, sizeof value);
  }
  void attribute(std::uint16_t type, const void* data, std::size_t size) {
    nlattr header{static_cast<std::uint16_t>(sizeof(nlattr) + size), type};
    append(&header, sizeof header);
    append(data, size);
  }
  void attribute(std::uint16_t type, std::string_view text) {
    std::string terminated(text);
    attribute(type, terminated.c_str(), terminated.size() + 1);
  }
  template <typename T>
  void number(std::uint16_t type, T value) {
    attribute(type, &value, sizeof value);
  }
  // Attributes until the matching end() are inside this one.
  [[nodiscard]] std::size_t begin(std::uint16_t type) {
    std::size_t start = bytes_.size();
    nlattr header{0, type};
    append(&header, sizeof header);
    return start;
  }
  void end(std::size_t start) {
    auto length = static_cast<std::uint16_t>(bytes_.size() - start);
    std::memcpy(bytes_.data() + start, &length, sizeof length);
  }
  void add_flags(std::uint16_t flags) {
    std::uint16_t all = 0;
    std::memcpy(&all, bytes_.data() + offsetof(nlmsghdr, nlmsg_flags), sizeof all);
    all = static_cast<std::uint16_t>(all | flags);
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_flags), &all, sizeof all);
  }
  // The whole message, to be sent under this sequence number.
  const std::string& finish(std::uint32_t sequence) {
    auto length = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
    return bytes_;
  }

 private:
  void append(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()), '\0');
  }
  std::string bytes_;
};

}  // namespace lab::engine::network
