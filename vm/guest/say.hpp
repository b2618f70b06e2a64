// Words for the console, whose tail explains a machine that does not come up.
#pragma once

#include <cstdarg>
#include <cstdio>

namespace lab::guest {

[[gnu::format(printf, 1, 2)]] inline void say(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::fputs("lab: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
}

}  // namespace lab::guest
