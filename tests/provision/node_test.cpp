#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "base/x509.hpp"
#include "provision/lab/daemon.hpp"
#include "provision/lab/keys.hpp"
#include "provision/lab/state.hpp"
#include "provision/node/archive.hpp"
#include "provision/node/swarm.hpp"
#include "provision/parallel.hpp"

namespace lab::provision {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using testing::ElementsAre;
using testing::HasSubstr;

Labfile labfile_of(std::string_view text) {
  LabfileReading reading = parse_labfile(text, "/lab/labfile.toml");
  EXPECT_TRUE(reading.labfile) << format_problems(reading.problems, "labfile");
  return reading.labfile.value_or(Labfile{});
}

constexpr std::string_view cluster = R"(
name = "x"
[machines.vm1]
address = "192.168.50.4"
role = "manager"
labels = { zone = "dmz" }
[machines.vm2]
address = "192.168.50.5"
[swarm]
[[registries]]
machine = "vm1"
[[registries]]
machine = "vm1"
port = 5000
tls = false
)";

TEST(Archive, TarUnpacksWhatWasAdded) {
  TemporaryDirectory folder;
  Archive archive(1'700'000'000);
  std::string long_name = "/a/" + std::string(90, 'n') + "/" + std::string(90, 'm');
  std::string large;
  for (std::int64_t i = 0; i < 100'000; ++i) large += std::to_string(i * i);
  archive.add_file("/bin/large", large, 0755);
  archive.add_file("/secret", "", 0600);
  archive.add_file(long_name, "deep", 0644);
  archive.add_symlink("/link", "/bin/large");
  auto packed = archive.finish();
  ASSERT_TRUE(packed);
  Command unpack{{"tar", "-xzpf", "-", "-C", folder.path()}};
  unpack.input = *packed;
  auto unpacked = run_checked(unpack);
  ASSERT_TRUE(unpacked) << unpacked.error().message;
  EXPECT_TRUE(*read_file(folder.path() / "bin/large") == large);
  EXPECT_EQ(*read_file(folder.path() / long_name.substr(1)), "deep");
  EXPECT_EQ(fs::status(folder.path() / "secret").permissions(), static_cast<fs::perms>(0600));
  EXPECT_EQ(fs::read_symlink(folder.path() / "link"), "/bin/large");
  auto shown = run_checked({{"stat", "-c", "%s %Y %a %n", folder.path() / "bin/large"}});
  Manifest found = parse_stat(*shown);
  EXPECT_EQ(found.begin()->second.mtime, 1'700'000'000);
  EXPECT_EQ(found.begin()->second.size, large.size());
  EXPECT_EQ(found.begin()->second.mode, 0755U);
}

TEST(Manifest, SurvivesWritingAndReading) {
  Manifest manifest;
  manifest["/etc/with space"] = {"abc", 12, 34, 0600};
  manifest["/usr/local/bin/engined"] = {"def", 1, 2, 0755};
  Manifest again = parse_manifest(format_manifest(manifest));
  ASSERT_EQ(again.size(), 2U);
  EXPECT_EQ(again["/etc/with space"].mode, 0600U);
  EXPECT_EQ(again["/etc/with space"].size, 12U);
  EXPECT_EQ(parse_manifest("garbage\n1 2\n\nx y z w v\n").size(), 0U);
}

TEST(FilesToSend, AreThoseMissingChangedHereOrChangedThere) {
  NodeFile file = make_node_file("/f", "content", 0644);
  Manifest manifest{{"/f", {file.sha256, 7, 100, 0644}}};
  Manifest found{{"/f", {"", 7, 100, 0644}}};
  EXPECT_TRUE(files_to_send({file}, {&manifest}, found).empty());
  EXPECT_EQ(files_to_send({file}, {}, found).size(), 1U);
  EXPECT_EQ(files_to_send({file}, {&manifest}, {}).size(), 1U);
  EXPECT_EQ(files_to_send({make_node_file("/f", "other", 0644)}, {&manifest}, found).size(), 1U);
  EXPECT_EQ(files_to_send({make_node_file("/f", "content", 0600)}, {&manifest}, found).size(), 1U);
  found["/f"].mtime = 101;
  EXPECT_EQ(files_to_send({file}, {&manifest}, found).size(), 1U);
  found["/f"] = {"", 8, 100, 0644};
  EXPECT_EQ(files_to_send({file}, {&manifest}, found).size(), 1U);
  found["/f"] = {"", 7, 100, 0640};
  EXPECT_EQ(files_to_send({file}, {&manifest}, found).size(), 1U);
  found["/f"] = {"", 7, 100, 0644};
  Manifest empty;
  EXPECT_TRUE(files_to_send({file}, {&empty, &manifest}, found).empty());
}

TEST(SeedFiles, AreNotSentAgainAfterABoot) {
  NodeFile file = make_node_file("/usr/local/bin/engined", "program", 0755);
  auto seeds = seed_files({file});
  ASSERT_EQ(seeds.size(), 2U);
  Manifest manifest = parse_manifest(seeds[1].content);
  Manifest found{{file.path, {"", 7, vm::seed_file_mtime, 0755}}};
  EXPECT_TRUE(files_to_send({file}, {&manifest}, found).empty());
}

TEST(NodeFiles, CertificatesGoToEveryMachineAndTheKeyToItsOwn) {
  Labfile labfile = labfile_of(cluster);
  NodeConfig config;
  config.mirror_port = 5123;
  config.authority_pem = "CA";
  config.registry_certificates["vm1:443"] = {"CERTIFICATE", "KEY"};
  auto paths_of = [&](const char* machine) {
    std::map<std::string, std::string> files;
    for (const NodeFile& file : node_files(labfile, *labfile.find(machine), config))
      files[file.path] = *file.content;
    return files;
  };
  auto first = paths_of("vm1");
  auto second = paths_of("vm2");
  EXPECT_EQ(first["/etc/docker/certs.d/192.168.50.4:443/ca.crt"], "CA");
  EXPECT_EQ(second["/etc/docker/certs.d/192.168.50.4:443/ca.crt"], "CA");
  EXPECT_EQ(first["/vagrant/tmp/domain.key"], "KEY");
  EXPECT_FALSE(second.contains("/vagrant/tmp/domain.key"));
  EXPECT_FALSE(second.contains("/etc/docker/certs.d/192.168.50.4:5000/ca.crt"));
  json::value daemon = json::parse(second["/etc/docker/daemon.json"]);
  EXPECT_EQ(daemon.at("registry-mirrors").as_array()[0], "http://10.0.2.2:5123");
  EXPECT_EQ(daemon.at("insecure-registries").as_array()[0], "192.168.50.4:5000");
}

TEST(SwarmFacts, ComeFromInfo) {
  ApiReply info{200, R"({"Swarm":{"NodeID":"n1","LocalNodeState":"active",
                         "ControlAvailable":true,"Error":""}})"};
  SwarmFacts facts = parse_swarm_facts(info);
  EXPECT_EQ(facts.state, "active");
  EXPECT_EQ(facts.node_id, "n1");
  EXPECT_TRUE(facts.is_manager);
  EXPECT_EQ(parse_swarm_facts({200, "nonsense"}).state, "");
  EXPECT_EQ(parse_swarm_facts({200, "{\"Swarm\":3}"}).state, "");
}

json::value nodes_with(std::string_view more) {
  return json::parse(fmt::format(
      R"([{{"ID":"n1","Version":{{"Index":7}},"Spec":{{"Role":"manager","Availability":"active",
           "Labels":{{"zone":"dmz","mine":"kept"}}}},"Description":{{"Hostname":"vm1"}},
           "Status":{{"State":"ready"}}}},
          {{"ID":"n2","Version":{{"Index":9}},"Spec":{{"Role":"worker","Availability":"drain"}},
           "Description":{{"Hostname":"vm2"}},"Status":{{"State":"down"}}}}{}])",
      more));
}

TEST(NodeCorrections, NothingWhenAllIsAsWanted) {
  Labfile labfile = labfile_of(cluster);
  std::vector<Member> members{{labfile.find("vm1"), "n1"}, {labfile.find("vm2"), "n2"}};
  EXPECT_TRUE(node_corrections(nodes_with(""), members).empty());
  EXPECT_EQ(not_ready(nodes_with(""), members), "vm2 (down)");
}

TEST(NodeCorrections, AddLabelsAndKeepTheRestOfTheSpec) {
  Labfile labfile = labfile_of(cluster);
  labfile.machines[0].labels["zone"] = "core";
  labfile.machines[1].labels["type"] = "storage";
  labfile.machines[1].role = Role::manager;
  std::vector<Member> members{{labfile.find("vm1"), "n1"}, {labfile.find("vm2"), "n2"}};
  auto requests = node_corrections(nodes_with(""), members);
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].target, "/nodes/n1/update?version=7");
  json::value first = json::parse(requests[0].body);
  EXPECT_EQ(first.at("Labels").at("zone"), "core");
  EXPECT_EQ(first.at("Labels").at("mine"), "kept");
  json::value second = json::parse(requests[1].body);
  EXPECT_EQ(second.at("Role"), "manager");
  EXPECT_EQ(second.at("Availability"), "drain");
  EXPECT_EQ(second.at("Labels").at("type"), "storage");
}

TEST(NodeCorrections, RemoveTheDownNodeOfAnEarlierMachineOfTheName) {
  Labfile labfile = labfile_of(cluster);
  std::vector<Member> members{{labfile.find("vm1"), "n1"}, {labfile.find("vm2"), "n2"}};
  json::value nodes = nodes_with(
      R"(,{"ID":"old","Description":{"Hostname":"vm2"},"Status":{"State":"down"}},
          {"ID":"alien","Description":{"Hostname":"other"},"Status":{"State":"down"}})");
  auto requests = node_corrections(nodes, members);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].method, "DELETE");
  EXPECT_EQ(requests[0].target, "/nodes/old?force=true");
}

TEST(JoinInfo, NeedsBothTokens) {
  ApiReply swarm{200, R"({"JoinTokens":{"Worker":"w","Manager":"m"}})"};
  auto info = parse_join_info(swarm, "192.168.50.4");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->address, "192.168.50.4:2377");
  EXPECT_FALSE(parse_join_info({503, swarm.body}, "a"));
  EXPECT_FALSE(parse_join_info({200, "{}"}, "a"));
}

TEST(RegistryContainer, IsNamedAsInTheTutorial) {
  Labfile labfile = labfile_of(cluster);
  EXPECT_EQ(registry_container(labfile, labfile.registries[0]), "registry");
  EXPECT_EQ(registry_container(labfile, labfile.registries[1]), "registry-5000");
  EXPECT_EQ(registry_folder(labfile, labfile.registries[0]), "/vagrant/tmp");
}

class LabFolder : public testing::Test {
 protected:
  TemporaryDirectory directory_;
  LabPaths paths_{directory_.path() / "labs" / "x-000000"};
  SystemClock clock_;
};

TEST_F(LabFolder, StateSurvivesWritingAndReading) {
  EXPECT_EQ(load_state(paths_).error().code, Code::not_found);
  ASSERT_TRUE(make_directories(paths_.directory));
  LabState state;
  state.name = "x";
  state.id = "x-000000";
  state.mirror_port = 21000;
  state.machines["vm1"] = {"52:54:00:aa:bb:cc", 20001, 20002, 65535, 2, "hash", "image"};
  ASSERT_TRUE(save_state(paths_, state));
  auto again = load_state(paths_);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->machines["vm1"].nic_port, 65535);
  EXPECT_EQ(again->machines["vm1"].mac, "52:54:00:aa:bb:cc");
  EXPECT_EQ(again->machines["vm1"].cpus, 2U);
  EXPECT_EQ(again->machines["vm1"].image_id, "image");
  EXPECT_EQ(again->mirror_port, 21000);
  ASSERT_TRUE(write_file(paths_.state(), "{damaged"));
  EXPECT_THAT(load_state(paths_).error().message, HasSubstr("does not parse"));
}

TEST_F(LabFolder, LockNamesItsHolder) {
  auto first = lock_lab(paths_);
  ASSERT_TRUE(first);
  auto second = lock_lab(paths_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::conflict);
  EXPECT_THAT(second.error().message, HasSubstr(std::to_string(getpid())));
}

TEST_F(LabFolder, KeysAreMadeOnceAndPrivate) {
  auto first = ensure_host_key(paths_, "vm1");
  ASSERT_TRUE(first);
  auto second = ensure_host_key(paths_, "vm1");
  EXPECT_EQ(first->private_key, second->private_key);
  EXPECT_NE(first->public_key, ensure_host_key(paths_, "vm2")->public_key);
  EXPECT_EQ(fs::status(paths_.keys() / "vm1_host_ed25519").permissions(),
            static_cast<fs::perms>(0600));
  EXPECT_EQ(fs::status(paths_.keys()).permissions(), static_cast<fs::perms>(0700));
}

TEST_F(LabFolder, OpenSshTakesOurConfiguration) {
  LabState state;
  state.id = "x-000000";
  state.machines["vm1"].ssh_port = 20001;
  ASSERT_TRUE(write_ssh_files(paths_, state));
  auto shown = run_checked({{"ssh", "-F", paths_.ssh_config(), "-G", "vm1"}});
  ASSERT_TRUE(shown) << shown.error().message;
  EXPECT_THAT(*shown, HasSubstr("port 20001\n"));
  EXPECT_THAT(*shown, HasSubstr("stricthostkeychecking true\n"));
  auto found = run_checked({{"ssh-keygen", "-F", "vm1.x-000000", "-f", paths_.known_hosts()}});
  EXPECT_TRUE(found) << found.error().message;
}

TEST_F(LabFolder, RegistryCertificateHoldsTheAddressAndIsRenewedWithIt) {
  Labfile labfile = labfile_of(cluster);
  MachineConfig machine = *labfile.find("vm1");
  auto authority = ensure_authority(paths_, clock_);
  ASSERT_TRUE(authority) << authority.error().message;
  EXPECT_EQ(ensure_authority(paths_, clock_)->certificate_pem, authority->certificate_pem);
  auto made =
      ensure_registry_certificate(paths_, clock_, *authority, machine, labfile.registries[0]);
  ASSERT_TRUE(made) << made.error().message;
  auto fields = x509::parse_certificate(made->certificate_pem);
  EXPECT_THAT(fields->ip_addresses, testing::Contains("192.168.50.4"));
  EXPECT_TRUE(
      x509::verify_chain(made->certificate_pem, {authority->certificate_pem}, clock_.wall_now()));
  auto same =
      ensure_registry_certificate(paths_, clock_, *authority, machine, labfile.registries[0]);
  EXPECT_EQ(same->certificate_pem, made->certificate_pem);
  machine.address = "192.168.50.77";
  auto moved =
      ensure_registry_certificate(paths_, clock_, *authority, machine, labfile.registries[0]);
  EXPECT_THAT(x509::parse_certificate(moved->certificate_pem)->ip_addresses,
              testing::Contains("192.168.50.77"));
}

TEST_F(LabFolder, LabdConfigHasPortsAndDirectedLinks) {
  Labfile labfile = labfile_of(R"(
name = "x"
[machines.a]
[machines.b]
[[network.links]]
between = ["a", "b"]
delay = "10ms"
)");
  LabState state;
  state.mirror_port = 20500;
  state.machines["a"] = {"m1", 1, 2, 3, 1, "", ""};
  state.machines["b"] = {"m2", 4, 5, 6, 1, "", ""};
  json::value config = json::parse(labd_config(paths_, labfile, state, "/cache"));
  EXPECT_EQ(config.at("ports").as_array().size(), 2U);
  EXPECT_EQ(config.at("ports").as_array()[1].at("switch_port"), 5);
  EXPECT_EQ(config.at("links").as_array().size(), 2U);
  EXPECT_EQ(config.at("links").as_array()[1].at("from"), "b");
  EXPECT_EQ(config.at("links").as_array()[1].at("delay"), "10ms");
  EXPECT_EQ(config.at("mirror").at("catalogue"), "/cache/catalogue");
}

TEST(Ports, ChosenOnesAreFreeAndNotTaken) {
  auto first = choose_port(Transport::tcp, {});
  ASSERT_TRUE(first);
  EXPECT_TRUE(port_is_free(Transport::tcp, *first));
  auto second = choose_port(Transport::tcp, {*first});
  EXPECT_NE(*first, *second);
}

TEST(LabId, DependsOnTheFoldersPath) {
  EXPECT_EQ(lab_id("x", "/a/labfile.toml"), lab_id("x", "/a/./labfile.toml"));
  EXPECT_NE(lab_id("x", "/a/labfile.toml"), lab_id("x", "/b/labfile.toml"));
  EXPECT_EQ(lab_id("x", "/a/labfile.toml").size(), 8U);
}

TEST(RunAll, CollectsEveryResult) {
  boost::asio::io_context loop;
  auto good = []() -> Task { co_return Result<void>{}; };
  auto bad = [](const char* text) -> Task { co_return make_error(Code::conflict, "{}", text); };
  std::vector<Result<void>> results;
  std::vector<Task> tasks;
  tasks.push_back(good());
  tasks.push_back(bad("one"));
  tasks.push_back(bad("two"));
  auto all = [](std::vector<Task> list, std::vector<Result<void>>& out) -> Task {
    out = co_await run_all(std::move(list));
    co_return Result<void>{};
  };
  boost::asio::co_spawn(loop, all(std::move(tasks), results),
                        [](std::exception_ptr error, Result<void>) { EXPECT_FALSE(error); });
  loop.run();
  ASSERT_EQ(results.size(), 3U);
  EXPECT_TRUE(results[0]);
  EXPECT_EQ(joined_errors(results).error().message, "one\ntwo");
  EXPECT_EQ(joined_errors(results).error().code, Code::conflict);
}

}  // namespace
}  // namespace lab::provision
