// Whether a lab's registry answers, seen from the host through a relay of the machine's emulator.
#pragma once

#include <string>

#include "base/clock.hpp"
#include "provision/labfile/labfile.hpp"
#include "provision/parallel.hpp"
#include "vm/provider.hpp"

namespace lab::provision {

struct RegistryToCheck {
  vm::MachineId machine;
  std::string address;  // of the machine: what the registry's certificate names
  std::uint16_t port = 0;
  bool tls = false;
  std::string authority_pem;  // the certificate's issuer
  bool keep_relay = false;    // somebody else uses it
};

// Looks again and again until GET /v2/ answers. Code::deadline_exceeded with the last reason.
[[nodiscard]] Task wait_for_registry(vm::Provider& provider, RegistryToCheck registry,
                                     const Clock& clock, std::chrono::seconds time);

}  // namespace lab::provision
