// The swarm's certificates: the root that signs all, and one per node whose subject says who it is:
// CN the node's id, OU its role (swarm-manager, swarm-worker), O the swarm's id.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/random.hpp"
#include "swarm/ca/signer.hpp"

namespace lab::swarm::ca {

inline constexpr std::chrono::hours root_lifetime{24 * 365 * 20};
inline constexpr std::chrono::hours node_lifetime{24 * 90};
inline constexpr std::chrono::hours node_lifetime_min{1};
// Certificates begin this long ago, so that nodes whose clocks are behind accept them.
inline constexpr std::chrono::hours backdating{1};

[[nodiscard]] std::string_view role_word(proto::Role role);  // "swarm-manager", "swarm-worker"

// A root certificate with its key, and join tokens.
[[nodiscard]] Result<proto::RootCa> make_root(WallTime now);

struct NodeCertificate {
  std::string node_id;
  proto::Role role = proto::ROLE_WORKER;
  std::string cluster_id;
  WallTime not_before;
  WallTime not_after;
};
// `invalid_argument` for a certificate that is not a node's.
[[nodiscard]] Result<NodeCertificate> parse_node_certificate(std::string_view pem);

// A moment between 50 % and 80 % of its life, drawn so that the nodes of a swarm don't all come at
// the same time.
[[nodiscard]] WallTime renewal_time(const NodeCertificate& certificate, Random& random);

// All that a node is: what it shows and whom it believes. A secret, for it holds the private key.
struct Identity {
  std::string key_pem;
  std::string certificate_pem;
  std::string root_certificate_pem;
};
// One text (one file, so that the parts are replaced together): key, certificate, root.
[[nodiscard]] std::string encode_identity(const Identity& identity);
// Checks that the parts belong together; expiry is not checked.
[[nodiscard]] Result<Identity> decode_identity(std::string_view text);

class CertificateSigner final : public Signer {
 public:
  [[nodiscard]] Result<IssuedCertificate> issue(const proto::Cluster& cluster,
                                                const std::string& csr_pem,
                                                const std::string& node_id, proto::Role role,
                                                WallTime now) override;
};

}  // namespace lab::swarm::ca
