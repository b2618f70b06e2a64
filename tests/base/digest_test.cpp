#include "base/digest.hpp"

#include <gtest/gtest.h>

namespace lab {
namespace {

TEST(Digest, Sha256MatchesTheStandardsVector) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, Base64RoundTripsEveryLength) {
  std::string bytes;
  for (int i = 0; i < 70; ++i) {
    EXPECT_EQ(base64_decode(base64_encode(bytes)).value(), bytes);
    EXPECT_EQ(base64url_decode(base64url_encode(bytes, false)).value(), bytes);
    bytes += static_cast<char>(i * 37);
  }
  EXPECT_EQ(base64_encode("any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
  EXPECT_FALSE(base64_decode("a*b="));
}

TEST(Digest, Base36IsPaddedToItsWidth) {
  EXPECT_EQ(base36_encode(std::string("\x00\x24", 2), 5), "00010");
  EXPECT_EQ(base36_encode(std::string(32, '\xff'), 50).size(), 50U);
}

}  // namespace
}  // namespace lab
