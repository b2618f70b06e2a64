#include "cli/lab/labd_client.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "provision/lab_paths.hpp"
#include "provision/labfile/labfile.hpp"

namespace lab::cli {

namespace json = boost::json;

http::Endpoint labd_endpoint(const Globals& globals) {
  const auto labfile = value_or_fail(provision::load_labfile(globals.labfile));
  const auto paths = provision::lab_paths(provision::cache_root(), labfile.name, labfile.path);
  if (std::error_code ignored; !std::filesystem::exists(paths.labd_socket(), ignored)) {
    fail(make_error(Code::unavailable, "lab \"{}\" is not up: `lab up` starts it", labfile.name));
  }
  return {.unix_path = paths.labd_socket().string()};
}

Error labd_error(int status, const std::string& body) {
  boost::system::error_code failure;
  const json::value answer = json::parse(body, failure);
  const auto* message =
      !failure && answer.is_object() ? answer.get_object().if_contains("message") : nullptr;
  return Error{code_from_http_status(status), message != nullptr && message->is_string()
                                                  ? std::string(message->get_string())
                                                  : body};
}

json::value call_labd(const Globals& globals, const std::string& method, const std::string& target,
                      const json::value& body) {
  http::ClientRequest request;
  request.method = method;
  request.target = target;
  if (!body.is_null()) request.body = json::serialize(body);
  auto response = http::fetch_blocking(labd_endpoint(globals), std::move(request));
  if (!response) {
    fail(make_error(Code::unavailable, "labd does not answer: {}; `lab up` starts it",
                    response.error().message));
  }
  if (response->status != 200) fail(labd_error(response->status, response->body));
  boost::system::error_code failure;
  json::value answer = json::parse(response->body, failure);
  if (failure || !answer.is_object()) {
    fail(make_error(Code::internal, "labd answered {} {} with no JSON object", method, target));
  }
  return answer;
}

}  // namespace lab::cli
