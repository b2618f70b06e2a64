#include "provision/node/api.hpp"

#include <boost/json.hpp>

#include "base/random.hpp"

namespace lab::provision {

namespace json = boost::json;

namespace {

// A quoted word of curl's configuration format.
std::string config_word(std::string_view text) {
  std::string word = "\"";
  for (char c : text) {
    switch (c) {
      case '"': word += "\\\""; break;
      case '\\': word += "\\\\"; break;
      case '\n': word += "\\n"; break;
      case '\r': word += "\\r"; break;
      case '\t': word += "\\t"; break;
      default: word += c;
    }
  }
  return word + "\"";
}

}  // namespace

json::value ApiReply::json() const {
  boost::system::error_code error;
  json::value parsed = json::parse(body, error);
  return error ? json::value() : parsed;
}

std::string ApiReply::message() const {
  json::value parsed = json();
  if (const json::object* object = parsed.if_object()) {
    if (const json::value* text = object->if_contains("message");
        text != nullptr && text->is_string()) {
      return std::string(text->as_string());
    }
  }
  return body.substr(0, 500);
}

std::string curl_config(const std::vector<ApiRequest>& requests, std::string_view mark) {
  std::string config;
  for (const ApiRequest& request : requests) {
    if (!config.empty()) config += "next\n";
    // "--silent" counts up to the next "next" only.
    config += "silent\nunix-socket = " + config_word(request.socket) + "\n";
    config += "url = " + config_word("http://localhost/v1.41" + request.target) + "\n";
    config += fmt::format("max-time = {}\n", request.timeout.count());
    config += "request = " + config_word(request.method) + "\n";
    if (!request.body.empty()) {
      config += "header = \"Content-Type: application/json\"\n";
      config += "data-binary = " + config_word(request.body) + "\n";
    } else if (request.method == "POST") {
      config += "data-binary = \"\"\n";
    }
    config += "write-out = " + config_word(fmt::format("\n{} %{{http_code}}\n", mark)) + "\n";
  }
  return config;
}

Result<std::vector<ApiReply>> parse_curl_output(std::string_view output, std::string_view mark,
                                                std::size_t count) {
  std::vector<ApiReply> replies;
  std::string separator = fmt::format("\n{} ", mark);
  while (replies.size() < count) {
    std::size_t at = output.find(separator);
    if (at == std::string_view::npos) {
      return make_error(Code::unavailable, "curl gave {} answers of {}: {}", replies.size(), count,
                        output.substr(0, 300));
    }
    std::string_view rest = output.substr(at + separator.size());
    std::size_t end = std::min(rest.find('\n'), rest.size());
    ApiReply reply;
    reply.body = std::string(output.substr(0, at));
    for (char c : rest.substr(0, end))
      if (c >= '0' && c <= '9') reply.status = reply.status * 10 + (c - '0');
    replies.push_back(std::move(reply));
    output = rest.substr(std::min(end + 1, rest.size()));
  }
  return replies;
}

Result<std::vector<ApiReply>> call_api(SshSession& session,
                                       const std::vector<ApiRequest>& requests) {
  std::string mark = "lab-" + secure_random_hex(8);
  SshCommand command{"curl --config -"};
  command.input = curl_config(requests, mark);
  command.timeout = std::chrono::seconds(10);
  for (const ApiRequest& request : requests) command.timeout += request.timeout;
  LAB_TRY(SshResult result, session.exec(command));
  auto replies = parse_curl_output(result.output, mark, requests.size());
  if (!replies) {
    return replies.error().wrap("{}: curl exited with status {} ({})", session.target().name,
                                result.status, result.errors);
  }
  return replies;
}

Error api_error(std::string_view machine, const ApiRequest& request, const ApiReply& reply) {
  if (reply.status == 0) {
    return make_error(Code::unavailable, "{}: {} {}: nothing answered at {} within {} s", machine,
                      request.method, request.target, request.socket, request.timeout.count());
  }
  return make_error(code_from_http_status(reply.status), "{}: {} {}: status {}: {}", machine,
                    request.method, request.target, reply.status, reply.message());
}

Result<ApiReply> call_api_checked(SshSession& session, const ApiRequest& request) {
  LAB_TRY(std::vector<ApiReply> replies, call_api(session, {request}));
  ApiReply& reply = replies.front();
  if (!reply.ok() && reply.status != 304) return api_error(session.target().name, request, reply);
  return std::move(reply);
}

}  // namespace lab::provision
