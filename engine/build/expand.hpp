// Variables and quotes in a Dockerfile's words: $name, ${name}, ${name:-word}, ${name:+word},
// ${name:?word} and the forms without the colon; quotes and escapes are removed on the way.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace lab::engine::build {

using Variables = std::map<std::string, std::string, std::less<>>;

// The word with its variables put in; blanks stay. Code::invalid_argument with Docker's text on bad
// syntax.
[[nodiscard]] Result<std::string> expand_word(std::string_view word, const Variables& variables,
                                              char escape);

// As above, then split at the blanks that no quote protects (EXPOSE, and the sources of COPY and
// ADD).
[[nodiscard]] Result<std::vector<std::string>> expand_words(std::string_view word,
                                                            const Variables& variables,
                                                            char escape);

}  // namespace lab::engine::build
