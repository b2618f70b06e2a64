#include "swarm/ca/certificates.hpp"

#include "base/x509.hpp"
#include "swarm/ca/join_token.hpp"

namespace lab::swarm::ca {

namespace {

constexpr std::string_view certificate_begin = "-----BEGIN CERTIFICATE-----";

}  // namespace

std::string_view role_word(proto::Role role) {
  return role == proto::ROLE_MANAGER ? "swarm-manager" : "swarm-worker";
}

Result<proto::RootCa> make_root(WallTime now) {
  proto::RootCa root;
  LAB_TRY(std::string key, x509::generate_key());
  x509::Name subject{.common_name = "swarm-ca"};
  LAB_TRY(std::string certificate,
          x509::self_signed_authority(key, subject, {now - backdating, now + root_lifetime}));
  *root.mutable_join_tokens() = make_join_tokens(certificate);
  root.set_certificate_pem(std::move(certificate));
  root.set_key_pem(std::move(key));
  return root;
}

Result<NodeCertificate> parse_node_certificate(std::string_view pem) {
  LAB_TRY(x509::Fields fields, x509::parse_certificate(pem));
  NodeCertificate certificate{.node_id = fields.subject.common_name,
                              .role = proto::ROLE_WORKER,
                              .cluster_id = fields.subject.organization,
                              .not_before = fields.not_before,
                              .not_after = fields.not_after};
  if (fields.subject.organizational_unit == role_word(proto::ROLE_MANAGER)) {
    certificate.role = proto::ROLE_MANAGER;
  } else if (fields.subject.organizational_unit != role_word(proto::ROLE_WORKER)) {
    return make_error(Code::invalid_argument,
                      "certificate \"{}\" has the role \"{}\", not a node's",
                      fields.subject.common_name, fields.subject.organizational_unit);
  }
  if (certificate.node_id.empty() || certificate.cluster_id.empty() || fields.authority)
    return make_error(Code::invalid_argument, "certificate \"{}\" is not a node's",
                      fields.subject.common_name);
  return certificate;
}

WallTime renewal_time(const NodeCertificate& certificate, Random& random) {
  Duration life = certificate.not_after - certificate.not_before;
  return certificate.not_before + Duration(random.between(life.count() / 2, life.count() / 10 * 8));
}

std::string encode_identity(const Identity& identity) {
  return identity.key_pem + identity.certificate_pem + identity.root_certificate_pem;
}

Result<Identity> decode_identity(std::string_view text) {
  Identity identity;
  std::size_t certificates = text.find(certificate_begin);
  if (certificates == std::string_view::npos)
    return make_error(Code::invalid_argument, "no certificate beside the key");
  identity.key_pem = std::string(text.substr(0, certificates));
  LAB_TRY(std::vector<std::string> chain, x509::split_chain(text.substr(certificates)));
  if (chain.size() != 2)
    return make_error(Code::invalid_argument, "{} certificates where a node has 2", chain.size());
  identity.certificate_pem = chain[0];
  identity.root_certificate_pem = chain[1];
  LAB_CHECK(x509::check_key(identity.certificate_pem, identity.key_pem));
  LAB_TRY(NodeCertificate certificate, parse_node_certificate(identity.certificate_pem));
  LAB_CHECK(x509::verify_chain(identity.certificate_pem, {identity.root_certificate_pem},
                               certificate.not_before + std::chrono::seconds(1)));
  return identity;
}

Result<IssuedCertificate> CertificateSigner::issue(const proto::Cluster& cluster,
                                                   const std::string& csr_pem,
                                                   const std::string& node_id, proto::Role role,
                                                   WallTime now) {
  Duration lifetime = node_lifetime;
  if (std::int64_t wanted = cluster.spec().node_certificate_expiry_ns(); wanted > 0)
    lifetime = std::max<Duration>(Duration(wanted), node_lifetime_min);
  x509::LeafOptions options;
  options.subject = {.common_name = node_id,
                     .organization = cluster.id(),
                     .organizational_unit = std::string(role_word(role))};
  options.dns_names = {std::string(role_word(role)), node_id};
  if (role == proto::ROLE_MANAGER) options.dns_names.emplace_back("swarm-ca");
  options.validity = {now - backdating, now + lifetime};
  IssuedCertificate issued;
  LAB_TRY(issued.certificate_pem,
          x509::sign_request(csr_pem, options, cluster.root_ca().certificate_pem(),
                             cluster.root_ca().key_pem()));
  issued.expires_at_ns = to_unix_ns(options.validity.not_after);
  return issued;
}

}  // namespace lab::swarm::ca
