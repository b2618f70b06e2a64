// DNS messages (RFC 1035, EDNS from RFC 6891) as far as the name server of containers needs them:
// queries are parsed strictly, for they come from inside containers; answers are built; what other
// servers answer is looked at just enough to pass it on. No I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/network/address.hpp"

namespace lab::engine::network::dns {

// Response codes.
inline constexpr std::uint8_t no_error = 0;
inline constexpr std::uint8_t format_error = 1;
inline constexpr std::uint8_t server_failure = 2;
inline constexpr std::uint8_t not_implemented = 4;

inline constexpr std::uint16_t type_a = 1;
inline constexpr std::uint16_t type_ptr = 12;
inline constexpr std::uint16_t type_aaaa = 28;
inline constexpr std::uint16_t class_internet = 1;

inline constexpr std::size_t header_bytes = 12;
inline constexpr std::size_t udp_bytes_default = 512;
inline constexpr std::size_t message_bytes_max = 65535;

struct Query {
  std::uint16_t id = 0;
  // Without the final dot, letters lowered. Bytes that are no part of a host name ('.' in a label,
  // blanks, controls) stand as "\DDD", so that no two different names look the same.
  std::string name;
  std::uint16_t type = 0;
  std::uint16_t class_code = 0;
  std::size_t question_end = header_bytes;  // offset in the packet
  std::size_t udp_bytes_max = udp_bytes_default;
};

// What a packet is.
struct Parsed {
  std::optional<Query> query;
  // Without a query: the code to answer with, or nothing when no answer is due (too short for a
  // header, or itself an answer).
  std::optional<std::uint8_t> refusal;
};
// Safe for any bytes.
[[nodiscard]] Parsed parse_query(std::string_view packet);

// An answer without records: the header, and the question when the query was understood.
[[nodiscard]] std::string empty_answer(std::string_view packet, const Query* query,
                                       std::uint8_t code);
// A or AAAA records of `addresses`, which are all of one family. What exceeds bytes_max is left
// out and, if `mark_truncated`, marked.
[[nodiscard]] std::string address_answer(std::string_view packet, const Query& query,
                                         const std::vector<IpAddress>& addresses,
                                         std::size_t bytes_max, bool mark_truncated);
// One PTR record. `host` is a name of dots and labels; a label over 63 bytes makes it empty.
[[nodiscard]] std::string pointer_answer(std::string_view packet, const Query& query,
                                         std::string_view host);

// The address that a name below in-addr.arpa or ip6.arpa stands for.
[[nodiscard]] std::optional<IpAddress> address_of_pointer(std::string_view name);

// `packet` under another id; its size is at least header_bytes.
[[nodiscard]] std::string with_id(std::string_view packet, std::uint16_t id);
// An answer to what was sent as `sent`: same id, same question.
[[nodiscard]] bool answers(std::string_view packet, std::string_view sent, const Query& query);
// Response code of a message of at least header_bytes.
[[nodiscard]] std::uint8_t code_of(std::string_view packet);

}  // namespace lab::engine::network::dns
