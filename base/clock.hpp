// Time as an injected dependency. Production reads the system's clocks (SystemClock, the one place
// that may); simulation and unit tests hand in a clock that they move themselves.
#pragma once

#include <chrono>
#include <string>

namespace lab {

using Duration = std::chrono::nanoseconds;
// Monotonic: for deadlines and intervals. Its zero has no meaning.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// Calendar time, UTC.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;
  [[nodiscard]] virtual WallTime wall_now() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override;
  [[nodiscard]] WallTime wall_now() const override;
};

// "2026-11-24T07:08:03.123456789Z" (RFC 3339 with nanoseconds, as Docker prints it).
[[nodiscard]] std::string format_rfc3339(WallTime time);
// Docker's zero time "0001-01-01T00:00:00Z", for things that did not happen.
inline constexpr const char* zero_rfc3339 = "0001-01-01T00:00:00Z";

}  // namespace lab
