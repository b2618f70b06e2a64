#include "base/x509.hpp"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "base/digest.hpp"
#include "base/random.hpp"

namespace lab::x509 {

namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using KeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using CertificatePtr = std::unique_ptr<X509, Deleter<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, Deleter<X509_REQ_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;
using BignumPtr = std::unique_ptr<BIGNUM, Deleter<BN_free>>;
using StorePtr = std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;

std::string openssl_reason() {
  unsigned long number = ERR_get_error();
  ERR_clear_error();
  if (number == 0) return "unknown reason";
  char text[256];
  ERR_error_string_n(number, text, sizeof text);
  return text;
}

Error openssl_error(std::string_view what) {
  return make_error(Code::internal, "{}: {}", what, openssl_reason());
}

Error parse_error(std::string_view what) {
  ERR_clear_error();
  return make_error(Code::invalid_argument, "not a PEM {}", what);
}

BioPtr reading(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

// Never asks on a terminal for the passphrase of an encrypted key.
int no_passphrase(char*, int, int, void*) { return 0; }

Result<KeyPtr> read_key(std::string_view pem) {
  BioPtr bio = reading(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) return parse_error("private key");
  return key;
}

Result<CertificatePtr> read_certificate(std::string_view pem) {
  BioPtr bio = reading(pem);
  CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
  if (!certificate) return parse_error("certificate");
  return certificate;
}

Result<RequestPtr> read_request(std::string_view pem) {
  BioPtr bio = reading(pem);
  RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, no_passphrase, nullptr));
  if (!request) return parse_error("certificate request");
  return request;
}

Result<std::string> write_certificate(X509* certificate) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate) != 1)
    return openssl_error("writing a certificate");
  return text_of(bio.get());
}

template <typename T>
std::string der_of(T* object, int (*encode)(const T*, unsigned char**)) {
  unsigned char* bytes = nullptr;
  int size = encode(object, &bytes);
  if (size <= 0) return {};
  std::string der(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

std::string entry_of(const X509_NAME* name, int nid) {
  int index = X509_NAME_get_index_by_NID(name, nid, -1);
  if (index < 0) return {};
  unsigned char* bytes = nullptr;
  int size =
      ASN1_STRING_to_UTF8(&bytes, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
  if (size < 0) return {};
  std::string text(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return text;
}

Name name_of(const X509_NAME* name) {
  return Name{.common_name = entry_of(name, NID_commonName),
              .organization = entry_of(name, NID_organizationName),
              .organizational_unit = entry_of(name, NID_organizationalUnitName)};
}

bool add_entry(X509_NAME* name, const char* field, const std::string& value) {
  if (value.empty()) return true;
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(value.data()),
                                    static_cast<int>(value.size()), -1, 0) == 1;
}

// The order O, OU, CN is that of Go's crypto/x509, so of Docker.
Result<void> fill_name(X509_NAME* name, const Name& subject) {
  if (add_entry(name, "O", subject.organization) &&
      add_entry(name, "OU", subject.organizational_unit) &&
      add_entry(name, "CN", subject.common_name)) {
    return {};
  }
  return make_error(Code::invalid_argument, "certificate subject \"{}\": {}", subject.common_name,
                    openssl_reason());
}

std::time_t seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

Result<void> set_validity(X509* certificate, const Validity& validity) {
  if (validity.not_after <= validity.not_before)
    return make_error(Code::invalid_argument, "a certificate must end after it begins");
  if (ASN1_TIME_set(X509_getm_notBefore(certificate), seconds(validity.not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), seconds(validity.not_after)) == nullptr) {
    return openssl_error("setting the validity of a certificate");
  }
  return {};
}

Result<void> add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1)
    return openssl_error(fmt::format("certificate extension {}", value));
  return {};
}

// Built as objects rather than from configuration text, in which a comma in a name would start
// another entry.
Result<void> add_alternative_names(X509* certificate, const LeafOptions& options) {
  NamesPtr names(GENERAL_NAMES_new());
  for (const std::string& dns : options.dns_names) {
    GENERAL_NAME* name = a2i_GENERAL_NAME(nullptr, nullptr, nullptr, GEN_DNS, dns.c_str(), 0);
    if (name == nullptr) return openssl_error(fmt::format("DNS name {}", dns));
    sk_GENERAL_NAME_push(names.get(), name);
  }
  for (const std::string& address : options.ip_addresses) {
    GENERAL_NAME* name = a2i_GENERAL_NAME(nullptr, nullptr, nullptr, GEN_IPADD, address.c_str(), 0);
    if (name == nullptr) {
      ERR_clear_error();
      return make_error(Code::invalid_argument, "\"{}\" is not an IP address", address);
    }
    sk_GENERAL_NAME_push(names.get(), name);
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return {};
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, 0) != 1)
    return openssl_error("subject alternative names");
  return {};
}

// Version, random serial (RFC 5280: positive, at most 20 bytes), validity, names, public key.
Result<CertificatePtr> new_certificate(const Name& subject, const X509_NAME* issuer,
                                       const Validity& validity, EVP_PKEY* key) {
  CertificatePtr certificate(X509_new());
  std::string bytes = secure_random_bytes(19);
  BignumPtr serial(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                             static_cast<int>(bytes.size()), nullptr));
  if (X509_set_version(certificate.get(), 2) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) == nullptr ||
      X509_set_pubkey(certificate.get(), key) != 1) {
    return openssl_error("making a certificate");
  }
  LAB_CHECK(set_validity(certificate.get(), validity));
  LAB_CHECK(fill_name(X509_get_subject_name(certificate.get()), subject));
  if (issuer == nullptr) issuer = X509_get_subject_name(certificate.get());
  if (X509_set_issuer_name(certificate.get(), issuer) != 1)
    return openssl_error("setting the issuer of a certificate");
  return certificate;
}

Result<std::string> sign_leaf(EVP_PKEY* key, const LeafOptions& options,
                              std::string_view authority_pem, std::string_view authority_key_pem) {
  LAB_TRY(CertificatePtr authority, read_certificate(authority_pem));
  LAB_TRY(KeyPtr authority_key, read_key(authority_key_pem));
  if (X509_check_private_key(authority.get(), authority_key.get()) != 1) {
    ERR_clear_error();
    return make_error(Code::invalid_argument, "the key is not that of the authority \"{}\"",
                      name_of(X509_get_subject_name(authority.get())).common_name);
  }
  LAB_TRY(CertificatePtr leaf,
          new_certificate(options.subject, X509_get_subject_name(authority.get()), options.validity,
                          key));
  X509* raw = leaf.get();
  LAB_CHECK(add_extension(raw, authority.get(), NID_basic_constraints, "critical,CA:FALSE"));
  LAB_CHECK(add_extension(raw, authority.get(), NID_key_usage,
                          "critical,digitalSignature,keyEncipherment"));
  LAB_CHECK(add_extension(raw, authority.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  LAB_CHECK(add_extension(raw, authority.get(), NID_subject_key_identifier, "hash"));
  LAB_CHECK(add_extension(raw, authority.get(), NID_authority_key_identifier, "keyid"));
  LAB_CHECK(add_alternative_names(raw, options));
  if (X509_sign(raw, authority_key.get(), EVP_sha256()) == 0)
    return openssl_error("signing a certificate");
  return write_certificate(raw);
}

WallTime wall_time(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return WallTime(std::chrono::seconds(timegm(&parts)));
}

std::string address_text(const ASN1_OCTET_STRING* bytes) {
  char text[INET6_ADDRSTRLEN] = {};
  int family = ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(bytes) != 16) return {};
  inet_ntop(family, ASN1_STRING_get0_data(bytes), text, sizeof text);
  return text;
}

void read_alternative_names(const X509* certificate, Fields& fields) {
  NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      fields.dns_names.emplace_back(
          reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
          static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      fields.ip_addresses.push_back(address_text(name->d.iPAddress));
    }
  }
}

}  // namespace

Result<std::string> generate_key() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("generating an EC key");
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
      1) {
    return openssl_error("writing a private key");
  }
  return text_of(bio.get());
}

Result<std::string> self_signed_authority(std::string_view key_pem, const Name& subject,
                                          const Validity& validity) {
  LAB_TRY(KeyPtr key, read_key(key_pem));
  LAB_TRY(CertificatePtr certificate, new_certificate(subject, nullptr, validity, key.get()));
  X509* raw = certificate.get();
  LAB_CHECK(add_extension(raw, raw, NID_basic_constraints, "critical,CA:TRUE"));
  LAB_CHECK(add_extension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign"));
  LAB_CHECK(add_extension(raw, raw, NID_subject_key_identifier, "hash"));
  if (X509_sign(raw, key.get(), EVP_sha256()) == 0)
    return openssl_error("signing an authority's certificate");
  return write_certificate(raw);
}

Result<std::string> create_request(std::string_view key_pem, const Name& subject) {
  LAB_TRY(KeyPtr key, read_key(key_pem));
  RequestPtr request(X509_REQ_new());
  LAB_CHECK(fill_name(X509_REQ_get_subject_name(request.get()), subject));
  if (X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0) {
    return openssl_error("signing a certificate request");
  }
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1)
    return openssl_error("writing a certificate request");
  return text_of(bio.get());
}

Result<RequestFields> parse_request(std::string_view request_pem) {
  LAB_TRY(RequestPtr request, read_request(request_pem));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    ERR_clear_error();
    return make_error(Code::invalid_argument,
                      "the certificate request is not signed by the key it names");
  }
  return RequestFields{.subject = name_of(X509_REQ_get_subject_name(request.get())),
                       .public_key_der = der_of<EVP_PKEY>(key, i2d_PUBKEY)};
}

Result<std::string> sign_request(std::string_view request_pem, const LeafOptions& options,
                                 std::string_view authority_pem,
                                 std::string_view authority_key_pem) {
  LAB_CHECK(parse_request(request_pem));
  LAB_TRY(RequestPtr request, read_request(request_pem));
  return sign_leaf(X509_REQ_get0_pubkey(request.get()), options, authority_pem, authority_key_pem);
}

Result<std::string> issue(std::string_view key_pem, const LeafOptions& options,
                          std::string_view authority_pem, std::string_view authority_key_pem) {
  LAB_TRY(KeyPtr key, read_key(key_pem));
  return sign_leaf(key.get(), options, authority_pem, authority_key_pem);
}

Result<Fields> parse_certificate(std::string_view certificate_pem) {
  LAB_TRY(CertificatePtr certificate, read_certificate(certificate_pem));
  X509* raw = certificate.get();
  Fields fields;
  fields.subject = name_of(X509_get_subject_name(raw));
  fields.issuer = name_of(X509_get_issuer_name(raw));
  BignumPtr serial(ASN1_INTEGER_to_BN(X509_get0_serialNumber(raw), nullptr));
  std::string serial_bytes(static_cast<std::size_t>(BN_num_bytes(serial.get())), '\0');
  BN_bn2bin(serial.get(), reinterpret_cast<unsigned char*>(serial_bytes.data()));
  fields.serial = to_hex(serial_bytes);
  fields.fingerprint = sha256_hex(der_of<X509>(raw, i2d_X509));
  fields.not_before = wall_time(X509_get0_notBefore(raw));
  fields.not_after = wall_time(X509_get0_notAfter(raw));
  fields.authority = X509_check_ca(raw) == 1;
  read_alternative_names(raw, fields);
  fields.subject_der = der_of<X509_NAME>(X509_get_subject_name(raw), i2d_X509_NAME);
  fields.public_key_der = der_of<EVP_PKEY>(X509_get0_pubkey(raw), i2d_PUBKEY);
  return fields;
}

Result<void> check_key(std::string_view certificate_pem, std::string_view key_pem) {
  LAB_TRY(CertificatePtr certificate, read_certificate(certificate_pem));
  LAB_TRY(KeyPtr key, read_key(key_pem));
  if (X509_check_private_key(certificate.get(), key.get()) == 1) return {};
  ERR_clear_error();
  return make_error(Code::invalid_argument, "the key is not that of the certificate \"{}\"",
                    name_of(X509_get_subject_name(certificate.get())).common_name);
}

Result<std::vector<std::string>> split_chain(std::string_view pem) {
  std::vector<std::string> chain;
  BioPtr bio = reading(pem);
  for (;;) {
    CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!certificate) {
      bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
      if (chain.empty() || !at_end) return parse_error("certificate chain");
      ERR_clear_error();
      return chain;
    }
    LAB_TRY(std::string text, write_certificate(certificate.get()));
    chain.push_back(std::move(text));
  }
}

Result<void> verify_chain(std::string_view chain_pem,
                          const std::vector<std::string>& authorities_pem, WallTime at) {
  LAB_TRY(std::vector<std::string> chain, split_chain(chain_pem));
  StorePtr store(X509_STORE_new());
  for (const std::string& authority : authorities_pem) {
    LAB_TRY(std::vector<std::string> roots, split_chain(authority));
    for (const std::string& root : roots) {
      LAB_TRY(CertificatePtr certificate, read_certificate(root));
      X509_STORE_add_cert(store.get(), certificate.get());
    }
  }
  std::vector<CertificatePtr> owned;
  std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * s) { sk_X509_free(s); })>
      intermediates(sk_X509_new_null());
  for (const std::string& link : chain) {
    LAB_TRY(CertificatePtr certificate, read_certificate(link));
    if (!owned.empty()) sk_X509_push(intermediates.get(), certificate.get());
    owned.push_back(std::move(certificate));
  }
  StoreContextPtr context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), store.get(), owned[0].get(), intermediates.get()) != 1)
    return openssl_error("verifying a certificate");
  X509_STORE_CTX_set_time(context.get(), 0, seconds(at));
  if (X509_verify_cert(context.get()) == 1) return {};
  ERR_clear_error();
  return make_error(Code::unauthorized, "certificate \"{}\" refused: {}",
                    name_of(X509_get_subject_name(owned[0].get())).common_name,
                    X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
}

}  // namespace lab::x509
