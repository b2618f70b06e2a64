#include "engine/network/dns/message.hpp"

#include <gtest/gtest.h>

#include "base/random.hpp"

namespace lab::engine::network::dns {
namespace {

std::string labels(std::string_view name) {
  std::string bytes;
  while (!name.empty()) {
    std::size_t end = std::min(name.find('.'), name.size());
    bytes += static_cast<char>(end);
    bytes += name.substr(0, end);
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  return bytes + '\0';
}

std::string number(std::uint16_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)};
}

std::string query(std::string_view name, std::uint16_t type, std::string_view additional = {}) {
  std::string packet = number(0x1234) + std::string("\x01\x00", 2) + number(1) + number(0) +
                       number(0) + number(additional.empty() ? 0 : 1);
  return packet + labels(name) + number(type) + number(class_internet) + std::string(additional);
}

TEST(DnsMessage, QueryIsReadInLowerCase) {
  Parsed parsed = parse_query(query("Web.MyNet", type_a));
  ASSERT_TRUE(parsed.query);
  EXPECT_EQ(parsed.query->id, 0x1234);
  EXPECT_EQ(parsed.query->name, "web.mynet");
  EXPECT_EQ(parsed.query->type, type_a);
  EXPECT_EQ(parsed.query->udp_bytes_max, udp_bytes_default);
}

TEST(DnsMessage, EdnsGivesTheSizeOfAnswers) {
  std::string opt = std::string("\0", 1) + number(41) + number(1232) + std::string(6, '\0');
  EXPECT_EQ(parse_query(query("web", type_a, opt)).query->udp_bytes_max, 1232U);
  std::string small = std::string("\0", 1) + number(41) + number(100) + std::string(6, '\0');
  EXPECT_EQ(parse_query(query("web", type_a, small)).query->udp_bytes_max, udp_bytes_default);
}

TEST(DnsMessage, BytesThatNoHostNameHasCannotPassForDots) {
  std::string packet = query("a.b", type_a);
  packet[header_bytes] = 3;  // one label: 'a', then the byte 1, then 'b'
  EXPECT_EQ(parse_query(packet).query->name, "a\\001b");
  packet[header_bytes + 2] = '.';
  EXPECT_EQ(parse_query(packet).query->name, "a\\046b");
}

TEST(DnsMessage, WhatIsNoQueryIsRefusedOrLeftWithoutAnAnswer) {
  EXPECT_FALSE(parse_query("short").refusal);
  std::string answer = query("web", type_a);
  answer[2] = '\x81';
  EXPECT_FALSE(parse_query(answer).query || parse_query(answer).refusal);
  std::string update = query("web", type_a);
  update[2] = '\x28';
  EXPECT_EQ(parse_query(update).refusal, not_implemented);
  std::string two = query("web", type_a);
  two[5] = 2;
  EXPECT_EQ(parse_query(two).refusal, format_error);
  std::string pointer = query("web", type_a).substr(0, header_bytes) + "\xc0\x0c" + number(1);
  EXPECT_EQ(parse_query(pointer).refusal, format_error);
  std::string whole = query("web.mynet", type_a);
  for (std::size_t size = header_bytes; size < whole.size(); ++size)
    EXPECT_EQ(parse_query(whole.substr(0, size)).refusal, format_error) << size;
  std::string long_name;
  for (int i = 0; i < 5; ++i) long_name += std::string(60, 'x') + ".";
  EXPECT_EQ(parse_query(query(long_name + "y", type_a)).refusal, format_error);
}

TEST(DnsMessage, AnyBytesAreSafe) {
  Random random(7);
  std::string seed = query("some.name.of.a.container", type_aaaa);
  for (int round = 0; round < 20'000; ++round) {
    std::string packet = seed.substr(0, random.below(seed.size() + 1));
    for (int change = 0; change < 4 && !packet.empty(); ++change)
      packet[random.below(packet.size())] = static_cast<char>(random.below(256));
    Parsed parsed = parse_query(packet);
    if (parsed.query) {
      EXPECT_LE(parsed.query->question_end, packet.size());
      EXPECT_FALSE(empty_answer(packet, &*parsed.query, no_error).empty());
      static_cast<void>(answers(packet, packet, *parsed.query));
    } else if (parsed.refusal) {
      EXPECT_EQ(empty_answer(packet, nullptr, *parsed.refusal).size(), header_bytes);
    }
  }
}

TEST(DnsMessage, AddressAnswerHasTheQuestionAndTheRecords) {
  std::string packet = query("web", type_a);
  Query asked = *parse_query(packet).query;
  std::vector<IpAddress> addresses{*parse_address("10.0.0.2"), *parse_address("10.0.0.3")};
  std::string answer = address_answer(packet, asked, addresses, udp_bytes_default, true);
  std::string record = number(0xc00c) + number(type_a) + number(class_internet) + number(0) +
                       number(600) + number(4);
  std::string question = packet.substr(header_bytes);
  EXPECT_EQ(answer, number(0x1234) + "\x81\x80" + number(1) + number(2) + number(0) + number(0) +
                        question + record + std::string("\x0a\0\0\x02", 4) + record +
                        std::string("\x0a\0\0\x03", 4));
  EXPECT_TRUE(answers(answer, packet, asked));
  EXPECT_FALSE(answers(with_id(answer, 1), packet, asked));
}

TEST(DnsMessage, WhatDoesNotFitIsMarked) {
  std::string packet = query("web", type_aaaa);
  Query asked = *parse_query(packet).query;
  std::vector<IpAddress> many(40, *parse_address("fd00::1"));
  std::string answer = address_answer(packet, asked, many, udp_bytes_default, true);
  EXPECT_LE(answer.size(), udp_bytes_default);
  EXPECT_EQ(answer[2] & 0x02, 0x02);
  EXPECT_EQ(address_answer(packet, asked, many, message_bytes_max, false)[7], 40);
}

TEST(DnsMessage, PointersAreAddresses) {
  EXPECT_EQ(address_of_pointer("2.0.17.172.in-addr.arpa")->to_string(), "172.17.0.2");
  EXPECT_EQ(
      address_of_pointer("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa")
          ->to_string(),
      "fd00::2");
  for (const char* name : {"0.17.172.in-addr.arpa", "256.0.17.172.in-addr.arpa", "in-addr.arpa",
                           "x.0.17.172.in-addr.arpa", "2.ip6.arpa", "web"})
    EXPECT_FALSE(address_of_pointer(name)) << name;
  std::string packet = query("2.0.17.172.in-addr.arpa", type_ptr);
  std::string answer = pointer_answer(packet, *parse_query(packet).query, "web.mynet");
  EXPECT_TRUE(answer.ends_with(number(11) + labels("web.mynet")));
}

}  // namespace
}  // namespace lab::engine::network::dns
