// OpenSSL's own random generators, from which keys and nonces come.
#pragma once

namespace lab {

// They take fresh randomness from the kernel: for a process that goes on in a copy of a machine's
// memory, where its sisters would draw the same keys.
void reseed_openssl();

}  // namespace lab
