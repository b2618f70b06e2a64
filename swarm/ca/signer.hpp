// What the manager core needs of the certificate authority: the decision who gets a certificate is
// the core's; making one is the signer's.
#pragma once

#include <chrono>
#include <string>

#include "base/error.hpp"
#include "swarm/types.hpp"

namespace lab::swarm::ca {

struct IssuedCertificate {
  std::string certificate_pem;
  std::int64_t expires_at_ns = 0;  // Unix time
};

class Signer {
 public:
  virtual ~Signer() = default;
  // Signs the key of csr_pem for (CN node_id, OU of the role, O cluster_id); whatever subject the
  // request names is ignored. `invalid_argument` for a request that is malformed or not signed by
  // its own key. Called on the leader only, so that the result need not be the same twice.
  [[nodiscard]] virtual Result<IssuedCertificate> issue(const proto::Cluster& cluster,
                                                        const std::string& csr_pem,
                                                        const std::string& node_id,
                                                        proto::Role role, WallTime now) = 0;
};

}  // namespace lab::swarm::ca
