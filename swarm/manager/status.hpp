// Results as they cross the wire.
#pragma once

#include "base/error.hpp"
#include "swarm/proto/wire.pb.h"

namespace lab::swarm {

[[nodiscard]] inline proto::Status ok_status() {
  proto::Status status;
  status.set_ok(true);
  return status;
}

[[nodiscard]] inline proto::Status to_status(const Error& error) {
  proto::Status status;
  status.set_code(static_cast<std::uint32_t>(error.code));
  status.set_message(error.message);
  return status;
}

[[nodiscard]] inline Error to_error(const proto::Status& status) {
  const bool known = status.code() <= static_cast<std::uint32_t>(Code::unsupported);
  return Error{known ? static_cast<Code>(status.code()) : Code::internal, status.message()};
}

}  // namespace lab::swarm
