#include "base/error.hpp"

#include <cerrno>
#include <cstring>

namespace lab {

namespace {

struct CodeRow {
  Code code;
  std::string_view word;
  int http;
  int exit;
};

constexpr CodeRow code_table[] = {
    {Code::internal, "internal", 500, 1},
    {Code::invalid_argument, "invalid_argument", 400, 2},
    {Code::not_found, "not_found", 404, 3},
    {Code::conflict, "conflict", 409, 4},
    {Code::not_modified, "not_modified", 304, 0},
    {Code::unauthorized, "unauthorized", 401, 5},
    {Code::forbidden, "forbidden", 403, 5},
    {Code::unavailable, "unavailable", 503, 6},
    {Code::deadline_exceeded, "deadline_exceeded", 504, 7},
    {Code::cancelled, "cancelled", 499, 130},
    {Code::unsupported, "unsupported", 501, 8},
};

const CodeRow& row_of(Code code) {
  for (const CodeRow& row : code_table) {
    if (row.code == code) return row;
  }
  return code_table[0];
}

}  // namespace

Error errno_error(int number, std::string_view context) {
  Code code = Code::internal;
  switch (number) {
    case ENOENT:
    case ESRCH: code = Code::not_found; break;
    case EEXIST:
    case EBUSY: code = Code::conflict; break;
    case EACCES:
    case EPERM: code = Code::forbidden; break;
    case ETIMEDOUT: code = Code::deadline_exceeded; break;
    case ECANCELED: code = Code::cancelled; break;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH: code = Code::unavailable; break;
    default: break;
  }
  return make_error(code, "{}: {}", context, strerror(number));
}

std::string_view to_string(Code code) { return row_of(code).word; }
int http_status(Code code) { return row_of(code).http; }
int exit_status(Code code) { return row_of(code).exit; }

Code code_from_http_status(int status) {
  for (const CodeRow& row : code_table) {
    if (row.http == status) return row.code;
  }
  return status >= 400 && status < 500 ? Code::invalid_argument : Code::internal;
}

}  // namespace lab
