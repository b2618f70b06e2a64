#include "engine/util/expression.hpp"

#include <boost/regex.hpp>

namespace lab::engine {

// Boost's does not recurse, and gives up where the standard library's would go on for years or
// overflow the stack.
bool is_found_in(const std::string& expression, const std::string& text) {
  try {
    return boost::regex_search(text, boost::regex(expression, boost::regex::perl));
  } catch (const std::runtime_error&) {
    return text == expression;
  }
}

}  // namespace lab::engine
