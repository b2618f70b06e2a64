// Regular expressions that clients send to filter names with.
#pragma once

#include <string>

namespace lab::engine {

// Whether the expression (Perl's syntax, of which Go's is a part) is found anywhere in `text`. One
// that is none, or that backtracks beyond measure, is compared with the whole text as it stands:
// whatever a client sends, an answer comes.
[[nodiscard]] bool is_found_in(const std::string& expression, const std::string& text);

}  // namespace lab::engine
