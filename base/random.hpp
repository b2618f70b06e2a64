// Randomness as an injected dependency. One seed replays a run; named sub-streams keep one
// consumer's draws from shifting another's. Not for secrets: those come from secure_random_bytes().
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace lab {

// xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64. A UniformRandomBitGenerator.
class Random {
 public:
  using result_type = std::uint64_t;

  explicit Random(std::uint64_t seed);

  // An independent generator that depends only on this one's seed and the name ("loss/vm1").
  [[nodiscard]] Random stream(std::string_view name) const;

  result_type operator()();
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }

  // Uniform in [0, bound); bound > 0. The same on every platform, unlike
  // std::uniform_int_distribution.
  std::uint64_t below(std::uint64_t bound);
  // Uniform in [low, high], both included.
  std::int64_t between(std::int64_t low, std::int64_t high);
  // Uniform in [0, 1).
  double uniform();
  bool chance(double probability) { return uniform() < probability; }

  [[nodiscard]] std::uint64_t seed() const { return seed_; }

 private:
  std::uint64_t seed_;
  std::uint64_t state_[4];
};

// From the kernel, for keys, tokens and ids. Aborts the process if the kernel has none to give.
[[nodiscard]] std::string secure_random_bytes(std::size_t count);
// `bytes` random bytes as lower-case hexadecimal (a container id: 32 bytes, 64 digits).
[[nodiscard]] std::string secure_random_hex(std::size_t bytes);
[[nodiscard]] std::uint64_t secure_random_seed();

}  // namespace lab
