// Owned handles of libvirt's C API, and its errors as values. For the provider's own files.
#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <memory>
#include <string_view>

#include "base/error.hpp"

namespace lab::vm {

struct ConnectionCloser {
  void operator()(virConnectPtr connection) const { virConnectClose(connection); }
};
struct DomainCloser {
  void operator()(virDomainPtr domain) const { virDomainFree(domain); }
};
using Connection = std::unique_ptr<virConnect, ConnectionCloser>;
using Domain = std::unique_ptr<virDomain, DomainCloser>;

// The calling thread's last libvirt error.
[[nodiscard]] inline Error libvirt_error(Code code, std::string_view context) {
  const virErrorPtr last = virGetLastError();
  return make_error(code, "{}: {}", context, last && last->message ? last->message : "unknown");
}

}  // namespace lab::vm
