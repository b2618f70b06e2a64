// X.509 certificates with EC P-256 keys: a lab's authority, the certificates of its registries and
// those of swarm nodes. Keys, requests and certificates are PEM text, in and out; where a function
// takes "a certificate", text after the first certificate (a chain) is ignored.
//
// Errors: Code::invalid_argument for text that does not parse or does not fit together,
// Code::unauthorized for a certificate that does not verify, Code::internal for OpenSSL itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace lab::x509 {

// An empty part is left out of the certificate.
struct Name {
  std::string common_name;          // CN
  std::string organization;         // O
  std::string organizational_unit;  // OU
  [[nodiscard]] bool operator==(const Name&) const = default;
};

// Certificates carry whole seconds; the rest is cut off.
struct Validity {
  WallTime not_before;
  WallTime not_after;
};

struct LeafOptions {
  Name subject;
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;  // IPv4 or IPv6 text
  Validity validity;
};

struct Fields {
  Name subject;
  Name issuer;
  std::string serial;       // hexadecimal, lower case
  std::string fingerprint;  // SHA-256 of the DER form, 64 hexadecimal digits
  WallTime not_before;
  WallTime not_after;
  bool authority = false;  // basic constraint CA
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  std::string subject_der;     // the subject as Docker's TLSInfo.CertIssuerSubject holds it (DER)
  std::string public_key_der;  // SubjectPublicKeyInfo, DER
};

// A new private key, PKCS#8. A secret: keep it in files of mode 0600.
[[nodiscard]] Result<std::string> generate_key();

// A certificate authority that signs itself (path length unlimited, for certificates and CRLs).
[[nodiscard]] Result<std::string> self_signed_authority(std::string_view key_pem,
                                                        const Name& subject,
                                                        const Validity& validity);

// A certificate signing request that proves possession of the key.
[[nodiscard]] Result<std::string> create_request(std::string_view key_pem, const Name& subject);

struct RequestFields {
  Name subject;
  std::string public_key_der;
};
// Checks the request's signature as well.
[[nodiscard]] Result<RequestFields> parse_request(std::string_view request_pem);

// A leaf for the key that signed the request; subject, names and validity are the caller's, not the
// request's. Extended key usage: server and client authentication.
[[nodiscard]] Result<std::string> sign_request(std::string_view request_pem,
                                               const LeafOptions& options,
                                               std::string_view authority_pem,
                                               std::string_view authority_key_pem);

// The same for a private key that we hold.
[[nodiscard]] Result<std::string> issue(std::string_view key_pem, const LeafOptions& options,
                                        std::string_view authority_pem,
                                        std::string_view authority_key_pem);

[[nodiscard]] Result<Fields> parse_certificate(std::string_view certificate_pem);

// Whether the private key belongs to the certificate.
[[nodiscard]] Result<void> check_key(std::string_view certificate_pem, std::string_view key_pem);

// The certificates of a PEM text one by one, each normalised (no text around it).
[[nodiscard]] Result<std::vector<std::string>> split_chain(std::string_view pem);

// Verifies the first certificate of `chain_pem`, through the others, up to one of `authorities_pem`
// at the time `at`. The error names the subject and OpenSSL's reason.
[[nodiscard]] Result<void> verify_chain(std::string_view chain_pem,
                                        const std::vector<std::string>& authorities_pem,
                                        WallTime at);

}  // namespace lab::x509
