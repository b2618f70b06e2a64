#include "provision/node/api.hpp"

#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/json.hpp>

namespace lab::provision {

namespace json = boost::json;

namespace {

namespace beast_http = boost::beast::http;

std::string request_text(const ApiRequest& request) {
  std::string text = fmt::format(
      "{} /v1.41{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
      request.method, request.target, request.body.size());
  if (!request.body.empty()) text += "Content-Type: application/json\r\n";
  return text + "\r\n" + request.body;
}

// A response, put together from pieces.
class ResponseReader {
 public:
  ResponseReader() {
    parser_.eager(true);
    parser_.body_limit(boost::none);
  }

  // True while more has to come; an empty piece is the end of the stream.
  Result<bool> take(std::string_view piece) {
    boost::beast::error_code error;
    unread_ += piece;
    if (piece.empty()) {
      parser_.put_eof(error);
    } else {
      unread_.erase(0, parser_.put(boost::asio::buffer(unread_), error));
    }
    if (error && error != beast_http::error::need_more)
      return make_error(Code::invalid_argument, "bad HTTP response: {}", error.message());
    return !parser_.is_done();
  }

  // Status 0 when it is not whole.
  [[nodiscard]] ApiReply reply() {
    if (!parser_.is_done()) return {};
    return {static_cast<int>(parser_.get().result_int()), std::move(parser_.get().body())};
  }

 private:
  beast_http::response_parser<beast_http::string_body> parser_;
  std::string unread_;
};

Result<ApiReply> call_one(SshSession& session, const ApiRequest& request) {
  ResponseReader reader;
  auto done = session.converse(
      std::string(request.socket), request_text(request),
      [&reader](std::string_view piece) { return reader.take(piece); }, request.timeout);
  if (!done && done.error().code == Code::unavailable) return done.error();
  return reader.reply();
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

Result<std::vector<ApiReply>> call_api(SshSession& session,
                                       const std::vector<ApiRequest>& requests) {
  std::vector<ApiReply> replies;
  for (const ApiRequest& request : requests) {
    LAB_TRY(ApiReply reply, call_one(session, request));
    replies.push_back(std::move(reply));
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
