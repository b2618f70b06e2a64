// libarchive turns the UTF-8 names of pax headers into the thread's character set; in the "C"
// locale they would be lost. While an object of this class lives, the calling thread's locale is
// UTF-8.
#pragma once

#include <locale.h>

namespace lab::engine::layer {

class Utf8Locale {
 public:
  Utf8Locale()
      : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)),
        previous_(locale_ == nullptr ? nullptr : ::uselocale(locale_)) {}
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;
  ~Utf8Locale() {
    if (locale_ == nullptr) return;
    ::uselocale(previous_);
    ::freelocale(locale_);
  }

 private:
  locale_t locale_;
  locale_t previous_;
};

}  // namespace lab::engine::layer
