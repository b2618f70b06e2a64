#include "base/openssl_random.hpp"

#include <openssl/rand.h>

#include <cstdlib>

namespace lab {

// Seeds the root of OpenSSL's generators; those of each thread see that and seed themselves from it
// before they give out more (EVP_RAND(7)).
void reseed_openssl() {
  if (RAND_poll() != 1) std::abort();
}

}  // namespace lab
