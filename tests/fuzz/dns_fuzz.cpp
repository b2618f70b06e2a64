#include <cstdlib>

#include "engine/network/dns/message.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {

namespace {

using namespace engine::network;

// What is sent to a container has to be an answer to its question, and to fit.
void check(std::string_view packet, const dns::Query& query, const std::string& answer,
           std::size_t bytes_max) {
  if (!dns::answers(answer, packet, query) || answer.size() > std::max(bytes_max, packet.size()))
    std::abort();
}

void answer(std::string_view packet, const dns::Query& query) {
  if (query.question_end > packet.size()) std::abort();
  const std::string empty = dns::empty_answer(packet, &query, dns::no_error);
  check(packet, query, empty, query.udp_bytes_max);
  const std::vector<IpAddress> addresses(40, *parse_address("fd00::1"));
  const std::string full = dns::address_answer(packet, query, addresses, query.udp_bytes_max, true);
  check(packet, query, full, query.udp_bytes_max);
  check(packet, query, dns::pointer_answer(packet, query, query.name), dns::message_bytes_max);
  static_cast<void>(dns::address_of_pointer(query.name));
  // As the answer of a name server to what we forwarded.
  const std::string forwarded = dns::with_id(packet, 7);
  if (dns::answers(packet, forwarded, query)) std::abort();
}

}  // namespace

void dns(std::string_view bytes) {
  const dns::Parsed parsed = dns::parse_query(bytes);
  if (parsed.query && parsed.refusal) std::abort();
  if (parsed.query) answer(bytes, *parsed.query);
  if (parsed.refusal &&
      dns::empty_answer(bytes, nullptr, *parsed.refusal).size() != dns::header_bytes)
    std::abort();
  dns::Query asked;
  asked.name = "web";
  asked.type = dns::type_a;
  asked.class_code = dns::class_internet;
  if (bytes.size() >= dns::header_bytes) static_cast<void>(dns::answers(bytes, bytes, asked));
}

}  // namespace lab::fuzz
