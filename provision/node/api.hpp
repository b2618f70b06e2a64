// The Docker API of a machine, over SSH: its SSH server connects to the API's socket for us. No
// program is started on the machine, which is what a request costs most where that is emulated.
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
  int status = 0;  // 0: no answer (nothing listens, it took too long, or was no HTTP)
  std::string body;
  // The body as JSON; null when it is none.
  [[nodiscard]] boost::json::value json() const;
  // "message" of an error answer, else the body.
  [[nodiscard]] std::string message() const;
  [[nodiscard]] bool ok() const { return status >= 200 && status < 300; }
};

// One reply for each request, in order, whatever their statuses. Fails only when the machine cannot
// be reached.
[[nodiscard]] Result<std::vector<ApiReply>> call_api(SshSession& session,
                                                     const std::vector<ApiRequest>& requests);
// One request that must succeed (2xx, 304 too): its reply. The error names machine, request, status
// and message.
[[nodiscard]] Result<ApiReply> call_api_checked(SshSession& session, const ApiRequest& request);
[[nodiscard]] Error api_error(std::string_view machine, const ApiRequest& request,
                              const ApiReply& reply);

}  // namespace lab::provision
