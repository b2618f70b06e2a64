#include "cli/lab/labd_client.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/http_client.hpp"
#include "provision/lab_paths.hpp"
#include "provision/labfile/labfile.hpp"

namespace lab::cli {

namespace json = boost::json;

json::value call_labd(const Globals& globals, const std::string& method, const std::string& target,
                      const json::value& body) {
  const auto labfile = value_or_fail(provision::load_labfile(globals.labfile));
  const auto paths = provision::lab_paths(provision::cache_root(), labfile.name, labfile.path);
  http::ClientRequest request;
  request.method = method;
  request.target = target;
  if (!body.is_null()) request.body = json::serialize(body);
  auto response =
      http::fetch_blocking({.unix_path = paths.labd_socket().string()}, std::move(request));
  if (!response) {
    fail(make_error(Code::unavailable, "lab \"{}\" is not up: {}; `lab up` starts it", labfile.name,
                    response.error().message));
  }
  boost::system::error_code failure;
  json::value answer = json::parse(response->body, failure);
  if (failure || !answer.is_object()) {
    fail(make_error(Code::internal, "labd answered {} {} with status {} and no JSON object", method,
                    target, response->status));
  }
  if (response->status == 200) return answer;
  const auto* message = answer.get_object().if_contains("message");
  fail(Error{code_from_http_status(response->status), message != nullptr && message->is_string()
                                                          ? std::string(message->get_string())
                                                          : response->body});
}

}  // namespace lab::cli
