#include <gtest/gtest.h>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "engine/registry/auth.hpp"
#include "engine/registry/hosts.hpp"
#include "engine/registry/manifest.hpp"
#include "engine/registry/progress.hpp"
#include "engine/registry/pull.hpp"
#include "engine/registry/session.hpp"

namespace lab::engine::registry {
namespace {

const std::string digest_a = "sha256:" + std::string(64, 'a');
const std::string digest_b = "sha256:" + std::string(64, 'b');

TEST(Challenge, ReadsQuotedParametersAndSeveralSchemes) {
  http::Headers headers;
  headers.add("WWW-Authenticate",
              R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",)"
              R"(scope="repository:a/b:pull,push", Basic realm="x \"y\"")");
  headers.add("www-authenticate", "Negotiate");
  const std::vector<Challenge> challenges = parse_challenges(headers);
  ASSERT_EQ(challenges.size(), 3U);
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_EQ(challenges[0].parameters.at("realm"), "https://auth.docker.io/token");
  EXPECT_EQ(challenges[0].parameters.at("scope"), "repository:a/b:pull,push");
  EXPECT_EQ(challenges[1].parameters.at("realm"), "x \"y\"");
  EXPECT_EQ(challenges[2].scheme, "negotiate");
}

TEST(Challenge, SurvivesNonsense) {
  for (const std::string text :
       {"", ",,,", "=", "Bearer realm=\"open", "a=b", "\x01\x02", "Bearer ="}) {
    http::Headers headers;
    headers.add("WWW-Authenticate", text);
    EXPECT_LE(parse_challenges(headers).size(), 2U) << text;
  }
}

TEST(Credentials, ComeFromTheClientsHeader) {
  const std::string text = R"({"username":"me","password":"s\u00fc?>"})";
  const Credentials plain = parse_auth_header(base64url_encode(text)).value();
  EXPECT_EQ(plain.username, "me");
  EXPECT_EQ(plain.password, "s\xc3\xbc?>");
  EXPECT_TRUE(parse_auth_header("").value().empty());
  EXPECT_TRUE(parse_auth_header("e30=").value().empty());
  EXPECT_TRUE(parse_auth_header("%%%").has_error());
  const Credentials pair =
      parse_auth_json(R"({"auth":")" + base64_encode("u:p:q") + R"("})").value();
  EXPECT_EQ(pair.username, "u");
  EXPECT_EQ(pair.password, "p:q");
}

TEST(Manifest, ReadsBothFamilies) {
  for (const std::string_view type : {docker_manifest, oci_manifest}) {
    const std::string text =
        fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{{"digest":"{}","size":7}},)"
                    R"("layers":[{{"mediaType":"l","digest":"{}","size":9}}]}})",
                    type, digest_a, digest_b);
    const Manifest manifest = parse_manifest(text, "").value();
    EXPECT_EQ(manifest.config.digest, digest_a);
    ASSERT_EQ(manifest.layers.size(), 1U);
    EXPECT_EQ(manifest.layers[0].size_bytes, 9U);
    EXPECT_FALSE(is_manifest_list(text, "").value());
  }
}

TEST(Manifest, RefusesWhatIsNoManifest) {
  const std::string bad_digest =
      R"({"schemaVersion":2,"config":{"digest":"sha256:x","size":1},"layers":[]})";
  const std::string bad_size =
      R"({"schemaVersion":2,"config":{"digest":")" + digest_a + R"(","size":-1},"layers":[]})";
  const std::string no_layers =
      R"({"schemaVersion":2,"config":{"digest":")" + digest_a + R"(","size":1}})";
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{}"), std::string(R"({"schemaVersion":1})"),
        bad_digest, bad_size, no_layers}) {
    EXPECT_TRUE(parse_manifest(text, "").has_error()) << text;
  }
}

TEST(Manifest, ListChoosesThisMachinesPlatform) {
  const std::string entry =
      R"({{"digest":"{}","size":1,"platform":{{"os":"linux","architecture":"{}"}}}})";
  const std::string text = fmt::format(R"({{"schemaVersion":2,"manifests":[{},{}]}})",
                                       fmt::format(fmt::runtime(entry), digest_a, "arm64"),
                                       fmt::format(fmt::runtime(entry), digest_b, "amd64"));
  EXPECT_TRUE(is_manifest_list(text, "").value());
  EXPECT_EQ(parse_manifest_list(text, "").value().for_this_machine().value().digest, digest_b);
  const std::string other = fmt::format(R"({{"schemaVersion":2,"manifests":[{}]}})",
                                        fmt::format(fmt::runtime(entry), digest_a, "arm64"));
  EXPECT_EQ(parse_manifest_list(other, "").value().for_this_machine().error().message,
            "no matching manifest for linux/amd64 in the manifest list entries");
}

TEST(Manifest, IsWrittenInDockersBytes) {
  const Descriptor config{std::string(docker_config), digest_a, 7};
  const std::vector<Descriptor> layers{{std::string(docker_layer), digest_b, 9}};
  const std::string text = make_docker_manifest(config, layers);
  EXPECT_TRUE(text.starts_with("{\n   \"schemaVersion\": 2,\n   \"mediaType\": "));
  EXPECT_TRUE(text.ends_with("\n      }\n   ]\n}"));
  EXPECT_EQ(parse_manifest(text, "").value().layers[0].digest, digest_b);
}

TEST(Hosts, PutsMirrorsBeforeTheHubOnly) {
  Options options;
  options.mirrors = {"http://10.0.2.2:5000/"};
  const auto hub = hosts_for("docker.io", options, true).value();
  ASSERT_EQ(hub.size(), 2U);
  EXPECT_EQ(hub[0].url.origin(), "http://10.0.2.2:5000");
  EXPECT_TRUE(hub[0].mirror);
  EXPECT_EQ(hub[1].url.origin(), "https://registry-1.docker.io");
  EXPECT_EQ(hosts_for("docker.io", options, false).value().size(), 1U);
  const auto other = hosts_for("192.168.50.4:5000", options, true).value();
  ASSERT_EQ(other.size(), 1U);
  EXPECT_EQ(other[0].url.origin(), "https://192.168.50.4:5000");
  EXPECT_TRUE(other[0].verify);
}

TEST(Hosts, SpeaksPlainHttpToInsecureRegistriesOnly) {
  Options options;
  options.insecure_registries = {"10.0.0.0/8", "reg.example:5000"};
  for (const std::string name :
       {"127.0.0.1:5000", "127.9.9.9", "localhost:5000", "10.1.2.3:5000", "reg.example:5000"}) {
    const auto hosts = hosts_for(name, options, true).value();
    ASSERT_EQ(hosts.size(), 2U) << name;
    EXPECT_EQ(hosts[0].url.scheme, "https");
    EXPECT_FALSE(hosts[0].verify);
    EXPECT_EQ(hosts[1].url.scheme, "http");
  }
  for (const std::string name : {"11.1.2.3:5000", "reg.example:5001", "example.com"}) {
    EXPECT_EQ(hosts_for(name, options, true).value().size(), 1U) << name;
  }
}

TEST(Url, IsParsedAndResolved) {
  const Url url = parse_url("https://user@[::1]:8443/a?b=c#d").value();
  EXPECT_EQ(url.host, "::1");
  EXPECT_EQ(url.port, 8443);
  EXPECT_EQ(url.target, "/a?b=c");
  EXPECT_EQ(url.origin(), "https://[::1]:8443");
  EXPECT_EQ(resolve_location(url, "/x").value().origin(), url.origin());
  EXPECT_EQ(resolve_location(url, "http://h/x").value().origin(), "http://h");
  for (const std::string text : {"", "ftp://x/", "http://", "http://h:99999/", "x"}) {
    EXPECT_TRUE(parse_url(text).has_error()) << text;
  }
}

TEST(RegistryError, HasDockersWords) {
  const image::Reference hub = image::parse_reference("app:1").value();
  const auto told = [&](int status, const std::string& body) {
    return pull_error(error_of_body(status, body), hub).message;
  };
  EXPECT_EQ(told(404, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"),
            "manifest for app:1 not found: manifest unknown: manifest unknown");
  EXPECT_EQ(told(401, R"({"errors":[{"code":"DENIED","message":)"
                      R"("requested access to the resource is denied"}]})"),
            "pull access denied for app, repository does not exist or may require 'docker login': "
            "denied: requested access to the resource is denied");
  EXPECT_EQ(told(404, R"({"errors":[{"code":"NAME_UNKNOWN","message":"unknown"}]})"),
            "repository app not found: name unknown: unknown");
  EXPECT_EQ(told(500, "<html>"), "received unexpected HTTP status: 500 Internal Server Error");
}

TEST(Progress, DrawsDockersBar) {
  EXPECT_EQ(progress_bar(3679, 32588),
            "[=====>                                             ]  3.679kB/32.59kB");
  EXPECT_EQ(progress_bar(10, 10), "[" + std::string(50, '=') + ">]      10B/10B");
  EXPECT_EQ(progress_bar(61440, 50000), "[" + std::string(50, '=') + ">]  61.44kB");
  EXPECT_EQ(progress_bar(0, 0), "");
  EXPECT_EQ(human_size(1'234'567), "1.235MB");
}

}  // namespace
}  // namespace lab::engine::registry
