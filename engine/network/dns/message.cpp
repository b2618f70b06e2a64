#include "engine/network/dns/message.hpp"

#include <algorithm>
#include <charconv>

namespace lab::engine::network::dns {

namespace {

namespace ip = boost::asio::ip;

constexpr std::size_t label_bytes_max = 63;
constexpr std::size_t name_bytes_max = 255;
constexpr std::uint16_t type_opt = 41;
// The name of an answer's record: a pointer to the question.
constexpr std::uint16_t name_pointer = 0xc000 | header_bytes;
constexpr std::uint32_t ttl_seconds = 600;

constexpr std::uint8_t response_bit = 0x80;
constexpr std::uint8_t opcode_mask = 0x78;
constexpr std::uint8_t truncated_bit = 0x02;
constexpr std::uint8_t recursion_desired_bit = 0x01;
constexpr std::uint8_t recursion_available_bit = 0x80;

std::uint8_t byte_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

std::uint16_t number_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

void put_number(std::string& bytes, std::uint16_t number) {
  bytes += static_cast<char>(number >> 8);
  bytes += static_cast<char>(number & 0xff);
}

void set_number(std::string& bytes, std::size_t at, std::uint16_t number) {
  bytes[at] = static_cast<char>(number >> 8);
  bytes[at + 1] = static_cast<char>(number & 0xff);
}

void append_label(std::string& name, std::string_view label) {
  if (!name.empty()) name += '.';
  for (char c : label) {
    auto byte = static_cast<std::uint8_t>(c);
    if (byte >= 'A' && byte <= 'Z') {
      name += static_cast<char>(byte - 'A' + 'a');
    } else if (byte > ' ' && byte < 127 && byte != '.' && byte != '\\') {
      name += c;
    } else {
      name += fmt::format("\\{:03}", byte);
    }
  }
}

// Reads an uncompressed name and moves `at` behind it.
bool read_name(std::string_view packet, std::size_t& at, std::string& name) {
  std::size_t start = at;
  while (at < packet.size()) {
    std::size_t length = byte_at(packet, at++);
    if (length == 0) return true;
    if (length > label_bytes_max || at + length > packet.size()) return false;
    append_label(name, packet.substr(at, length));
    at += length;
    if (at - start >= name_bytes_max) return false;
  }
  return false;
}

// The size of answers that an OPT record allows, when the only additional record is one.
std::size_t udp_size(std::string_view packet, std::size_t at) {
  constexpr std::size_t opt_bytes = 11;  // an empty name, type, size, flags, length
  bool single = number_at(packet, 6) == 0 && number_at(packet, 8) == 0 &&
                number_at(packet, 10) == 1 && packet.size() >= at + opt_bytes;
  if (!single || byte_at(packet, at) != 0 || number_at(packet, at + 1) != type_opt)
    return udp_bytes_default;
  return std::max<std::size_t>(number_at(packet, at + 3), udp_bytes_default);
}

Parsed refused(std::uint8_t code) {
  Parsed parsed;
  parsed.refusal = code;
  return parsed;
}

// Header and question of an answer to `query`, without records.
std::string begin_answer(std::string_view packet, const Query* query, std::uint8_t code) {
  std::string answer(packet.substr(0, query != nullptr ? query->question_end : header_bytes));
  auto kept = static_cast<std::uint8_t>(byte_at(packet, 2) & (opcode_mask | recursion_desired_bit));
  answer[2] = static_cast<char>(response_bit | kept);
  answer[3] = static_cast<char>(recursion_available_bit | code);
  set_number(answer, 4, query != nullptr ? 1 : 0);
  for (std::size_t count : {6U, 8U, 10U}) set_number(answer, count, 0);
  return answer;
}

void put_record(std::string& answer, std::uint16_t type, std::string_view data) {
  put_number(answer, name_pointer);
  put_number(answer, type);
  put_number(answer, class_internet);
  put_number(answer, ttl_seconds >> 16);
  put_number(answer, ttl_seconds & 0xffff);
  put_number(answer, static_cast<std::uint16_t>(data.size()));
  answer += data;
  set_number(answer, 6, static_cast<std::uint16_t>(number_at(answer, 6) + 1));
}

std::string address_bytes(const IpAddress& address) {
  if (address.is_v4()) {
    auto bytes = address.to_v4().to_bytes();
    return {bytes.begin(), bytes.end()};
  }
  auto bytes = address.to_v6().to_bytes();
  return {bytes.begin(), bytes.end()};
}

std::vector<std::string_view> labels_of(std::string_view name) {
  std::vector<std::string_view> labels;
  for (;;) {
    std::size_t dot = name.find('.');
    labels.push_back(name.substr(0, dot));
    if (dot == std::string_view::npos) return labels;
    name.remove_prefix(dot + 1);
  }
}

std::optional<IpAddress> ipv4_of_labels(const std::vector<std::string_view>& labels) {
  ip::address_v4::bytes_type bytes{};
  if (labels.size() != bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    std::string_view text = labels[labels.size() - 1 - i];
    auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), bytes[i]);
    if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  }
  return IpAddress(ip::address_v4(bytes));
}

std::optional<IpAddress> ipv6_of_labels(const std::vector<std::string_view>& labels) {
  ip::address_v6::bytes_type bytes{};
  if (labels.size() != bytes.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    std::string_view text = labels[labels.size() - 1 - i];
    std::uint8_t nibble = 0;
    if (text.size() != 1 ||
        std::from_chars(text.data(), text.data() + 1, nibble, 16).ptr != text.data() + 1)
      return std::nullopt;
    bytes[i / 2] = static_cast<std::uint8_t>(bytes[i / 2] << 4 | nibble);
  }
  return IpAddress(ip::address_v6(bytes));
}

}  // namespace

Parsed parse_query(std::string_view packet) {
  if (packet.size() < header_bytes || (byte_at(packet, 2) & response_bit) != 0) return {};
  if ((byte_at(packet, 2) & opcode_mask) != 0) return refused(not_implemented);
  if (packet.size() > message_bytes_max || number_at(packet, 4) != 1) return refused(format_error);
  Query query;
  query.id = number_at(packet, 0);
  std::size_t at = header_bytes;
  if (!read_name(packet, at, query.name) || at + 4 > packet.size()) return refused(format_error);
  query.type = number_at(packet, at);
  query.class_code = number_at(packet, at + 2);
  query.question_end = at + 4;
  query.udp_bytes_max = udp_size(packet, query.question_end);
  Parsed parsed;
  parsed.query = std::move(query);
  return parsed;
}

std::string empty_answer(std::string_view packet, const Query* query, std::uint8_t code) {
  return begin_answer(packet, query, code);
}

std::string address_answer(std::string_view packet, const Query& query,
                           const std::vector<IpAddress>& addresses, std::size_t bytes_max,
                           bool mark_truncated) {
  std::string answer = begin_answer(packet, &query, no_error);
  for (const IpAddress& address : addresses) {
    std::string data = address_bytes(address);
    constexpr std::size_t record_bytes = 12;
    if (answer.size() + record_bytes + data.size() > bytes_max) {
      if (mark_truncated) answer[2] = static_cast<char>(byte_at(answer, 2) | truncated_bit);
      break;
    }
    put_record(answer, address.is_v4() ? type_a : type_aaaa, data);
  }
  return answer;
}

std::string pointer_answer(std::string_view packet, const Query& query, std::string_view host) {
  std::string answer = begin_answer(packet, &query, no_error);
  std::string data;
  for (std::string_view label : labels_of(host)) {
    if (label.empty() || label.size() > label_bytes_max) return answer;
    data += static_cast<char>(label.size());
    data += label;
  }
  data += '\0';
  if (data.size() <= name_bytes_max) put_record(answer, type_ptr, data);
  return answer;
}

std::optional<IpAddress> address_of_pointer(std::string_view name) {
  constexpr std::string_view ipv4_domain = ".in-addr.arpa";
  constexpr std::string_view ipv6_domain = ".ip6.arpa";
  if (name.ends_with(ipv4_domain))
    return ipv4_of_labels(labels_of(name.substr(0, name.size() - ipv4_domain.size())));
  if (name.ends_with(ipv6_domain))
    return ipv6_of_labels(labels_of(name.substr(0, name.size() - ipv6_domain.size())));
  return std::nullopt;
}

std::string with_id(std::string_view packet, std::uint16_t id) {
  std::string copy(packet);
  set_number(copy, 0, id);
  return copy;
}

bool answers(std::string_view packet, std::string_view sent, const Query& query) {
  if (packet.size() < header_bytes || number_at(packet, 0) != number_at(sent, 0)) return false;
  if ((byte_at(packet, 2) & response_bit) == 0) return false;
  // A server that could not read the question leaves it out.
  if (number_at(packet, 4) == 0) return code_of(packet) != no_error;
  Query echoed;
  std::size_t at = header_bytes;
  return read_name(packet, at, echoed.name) && at + 4 <= packet.size() &&
         echoed.name == query.name && number_at(packet, at) == query.type &&
         number_at(packet, at + 2) == query.class_code;
}

std::uint8_t code_of(std::string_view packet) { return byte_at(packet, 3) & 0x0f; }

}  // namespace lab::engine::network::dns
