// Expected failures are values. A function that can fail returns Result<T>; the Error in it says
// what to do about it (the code) and tells a person what happened (the message: object, value,
// limit, next step).
#pragma once

#include <fmt/core.h>
#include <fmt/format.h>
#include <boost/system/result.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace lab {

// One code for each reaction that some caller has. http_status() and exit_status() are the only
// tables over it.
enum class Code : std::uint8_t {
  internal,          // a bug or an unexpected failure of the system
  invalid_argument,  // the caller's input is wrong
  not_found,
  conflict,      // the object is in a state that does not allow it, or exists already
  not_modified,  // nothing to do: already in the state asked for
  unauthorized,  // no or wrong credentials
  forbidden,
  unavailable,  // try again later: no leader, peer unreachable, no quorum
  deadline_exceeded,
  cancelled,
  unsupported,
};

struct Error {
  Code code = Code::internal;
  std::string message;

  // The same error with context before its message: "CONTEXT: MESSAGE".
  template <typename... Args>
  [[nodiscard]] Error wrap(fmt::format_string<Args...> format, Args&&... args) const {
    return Error{code, fmt::format(format, std::forward<Args>(args)...) + ": " + message};
  }
};

// value() on a failed Result is a bug in the caller; it surfaces as this exception.
[[noreturn]] inline void throw_exception_from_error(const Error& error,
                                                    const boost::source_location&) {
  throw std::logic_error("value() of a failed Result: " + error.message);
}

template <typename T>
using Result = boost::system::result<T, Error>;

template <typename... Args>
[[nodiscard]] Error make_error(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...)};
}

// "CONTEXT: strerror(number)", with the code that fits the number (ENOENT -> not_found, EEXIST ->
// conflict, EACCES/EPERM -> forbidden, ETIMEDOUT -> deadline_exceeded, ECONNREFUSED... ->
// unavailable, else internal).
[[nodiscard]] Error errno_error(int number, std::string_view context);

// The code's word, as in logs and JSON: "not_found".
[[nodiscard]] std::string_view to_string(Code code);
[[nodiscard]] int http_status(Code code);
[[nodiscard]] int exit_status(Code code);
[[nodiscard]] Code code_from_http_status(int status);

}  // namespace lab

#define LAB_CONCAT_(a, b) a##b
#define LAB_CONCAT(a, b) LAB_CONCAT_(a, b)

#define LAB_TRY_(result, declaration, expression, return_keyword) \
  auto result = (expression);                                     \
  if (result.has_error()) [[unlikely]]                            \
    return_keyword std::move(result).error();                     \
  declaration = std::move(result).value()
#define LAB_CHECK_(expression, return_keyword)                                           \
  do {                                                                                   \
    if (auto lab_check_result = (expression); lab_check_result.has_error()) [[unlikely]] \
      return_keyword std::move(lab_check_result).error();                                \
  } while (false)

// LAB_TRY(auto x, f()): declares x from the value of f(), or returns its error. LAB_CHECK(f())
// ignores the value. LAB_CO_TRY and LAB_CO_CHECK are the same inside a coroutine: LAB_CO_TRY(auto
// x, co_await f()).
#define LAB_TRY(declaration, expression) \
  LAB_TRY_(LAB_CONCAT(lab_try_result_, __COUNTER__), declaration, expression, return )
#define LAB_CO_TRY(declaration, expression) \
  LAB_TRY_(LAB_CONCAT(lab_try_result_, __COUNTER__), declaration, expression, co_return )
#define LAB_CHECK(expression) LAB_CHECK_(expression, return )
#define LAB_CO_CHECK(expression) LAB_CHECK_(expression, co_return )
