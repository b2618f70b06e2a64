// The Docker API of a machine, over SSH: one `curl` on the machine, told everything through its
// standard input (so that no token is ever on a command line), makes several requests in one round
// trip.
#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "provision/ssh.hpp"

namespace lab::provision {

inline constexpr std::string_view engine_socket = "/var/run/docker.sock";
inline constexpr std::string_view swarm_socket = "/run/swarmd/api.sock";

struct ApiRequest {
  std::string method = "GET";
  std::string target;  // "/swarm/init", without the version
  std::string body;    // JSON, or empty
  std::string_view socket = engine_socket;
  std::chrono::seconds timeout{20};
};

struct ApiReply {
  int status = 0;  // 0: no answer (nothing listens, or it took too long)
  std::string body;
  // The body as JSON; null when it is none.
  [[nodiscard]] boost::json::value json() const;
  // "message" of an error answer, else the body.
  [[nodiscard]] std::string message() const;
  [[nodiscard]] bool ok() const { return status >= 200 && status < 300; }
};

// What `curl --silent --config -` is fed; `mark` separates the answers.
[[nodiscard]] std::string curl_config(const std::vector<ApiRequest>& requests,
                                      std::string_view mark);
// One reply for each request.
[[nodiscard]] Result<std::vector<ApiReply>> parse_curl_output(std::string_view output,
                                                              std::string_view mark,
                                                              std::size_t count);

// In order, whatever their statuses. Fails only when the machine cannot be reached or has no curl.
[[nodiscard]] Result<std::vector<ApiReply>> call_api(SshSession& session,
                                                     const std::vector<ApiRequest>& requests);
// One request that must succeed (2xx, 304 too): its reply. The error names machine, request, status
// and message.
[[nodiscard]] Result<ApiReply> call_api_checked(SshSession& session, const ApiRequest& request);
[[nodiscard]] Error api_error(std::string_view machine, const ApiRequest& request,
                              const ApiReply& reply);

}  // namespace lab::provision
