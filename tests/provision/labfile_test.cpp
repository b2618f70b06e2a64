#include "provision/labfile/labfile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.hpp"
#include "base/random.hpp"
#include "provision/labfile/suggest.hpp"

namespace lab::provision {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The messages of all problems, with their places, for a file called lab.toml.
std::vector<std::string> problems_of(std::string_view text) {
  LabfileReading reading = parse_labfile(text, "/lab/lab.toml");
  EXPECT_NE(reading.labfile.has_value(), !reading.problems.empty());
  std::vector<std::string> lines;
  for (const LabfileProblem& problem : reading.problems)
    lines.push_back(format_problems({problem}, "lab.toml"));
  return lines;
}

Labfile read(std::string_view text) {
  LabfileReading reading = parse_labfile(text, "/lab/lab.toml");
  EXPECT_TRUE(reading.labfile) << format_problems(reading.problems, "lab.toml");
  return reading.labfile.value_or(Labfile{});
}

TEST(Labfile, DefaultOneIsTheTutorialsCluster) {
  auto labfile = load_labfile(LAB_SOURCE_DIR "/labfile.toml");
  ASSERT_TRUE(labfile) << labfile.error().message;
  ASSERT_EQ(labfile->machines.size(), 3U);
  EXPECT_EQ(labfile->machines[0].address, "192.168.50.4");
  EXPECT_EQ(labfile->machines[1].address, "192.168.50.5");
  EXPECT_EQ(labfile->machines[2].address, "192.168.50.6");
  EXPECT_EQ(labfile->machines[0].role, Role::manager);
  EXPECT_EQ(labfile->machines[1].role, Role::worker);
  EXPECT_EQ(labfile->machines[1].labels,
            (std::map<std::string, std::string>{{"zone", "lan"}, {"type", "storage"}}));
  ASSERT_EQ(labfile->registries.size(), 1U);
  EXPECT_EQ(labfile->registries[0].machine, "vm1");
  EXPECT_EQ(labfile->registries[0].port, 443);
  EXPECT_TRUE(labfile->registries[0].tls);
  EXPECT_TRUE(labfile->swarm);
  EXPECT_EQ(labfile->swarm_leader, "vm1");
}

TEST(Labfile, TemplateIsValid) {
  Labfile labfile = read(labfile_template());
  EXPECT_EQ(labfile.machines.size(), 3U);
}

TEST(Labfile, DefaultsFillWhatIsLeftOut) {
  Labfile labfile = read("name = 'x'\n[machines.b]\n[machines.a]\n");
  ASSERT_EQ(labfile.machines.size(), 2U);
  EXPECT_EQ(labfile.machines[0].name, "b");
  EXPECT_EQ(labfile.machines[0].address, "192.168.50.2");
  EXPECT_EQ(labfile.machines[1].address, "192.168.50.3");
  EXPECT_EQ(labfile.machines[0].memory_mib, 768U);
  EXPECT_EQ(labfile.image.recipe, "debian-12");
  EXPECT_EQ(labfile.libvirt_uri, "qemu:///session");
  EXPECT_FALSE(labfile.swarm);
  EXPECT_EQ(labfile.prefix_length(), 24U);
}

TEST(Labfile, MachineOverridesDefaultsAndAddsToThem) {
  Labfile labfile = read(R"(
name = "x"
[defaults]
memory = "1GiB"
cpus = 2
commands = ["one"]
[machines.a]
memory = "512MiB"
commands = ["two"]
[[machines.a.files]]
content = "hello"
target = "/etc/hello"
mode = "0600"
)");
  EXPECT_EQ(labfile.machines[0].memory_mib, 512U);
  EXPECT_EQ(labfile.machines[0].cpus, 2U);
  EXPECT_THAT(labfile.machines[0].commands, ElementsAre("one", "two"));
  ASSERT_EQ(labfile.machines[0].files.size(), 1U);
  EXPECT_EQ(labfile.machines[0].files[0].mode, 0600U);
}

TEST(Labfile, AMachinesSharedFoldersTakeThePlaceOfTheDefaultsForTheSameTarget) {
  Labfile labfile = read(R"(
name = "x"
[defaults]
sync = [{ from = "/usr", to = "/vagrant", exclude = [".git"] }, { from = "/etc", to = "/e" }]
[machines.a]
sync = [{ from = "/var", to = "/v" }, { from = "/bin", to = "/vagrant" }]
[machines.b]
)");
  const std::vector<SyncConfig>& own = labfile.machines[0].sync;
  ASSERT_EQ(own.size(), 3U);
  EXPECT_EQ(own[0], (SyncConfig{"/bin", "/vagrant", {}}));
  EXPECT_EQ(own[1], (SyncConfig{"/etc", "/e", {}}));
  EXPECT_EQ(own[2], (SyncConfig{"/var", "/v", {}}));
  ASSERT_EQ(labfile.machines[1].sync.size(), 2U);
  EXPECT_EQ(labfile.machines[1].sync[0], (SyncConfig{"/usr", "/vagrant", {".git"}}));
}

TEST(Labfile, ProcessorsThatCanBePluggedAreAtLeastThoseThereAre) {
  Labfile labfile = read("name = 'x'\n[defaults]\ncpus_max = 4\n[machines.a]\ncpus = 2\n");
  EXPECT_EQ(labfile.machines[0].cpus_max, 4U);
  EXPECT_EQ(read("name = 'x'\n[machines.a]\ncpus = 2\n").machines[0].cpus_max, 2U);
}

TEST(Labfile, LinksOfPairsAndMachinesAreBothDirections) {
  Labfile labfile = read(R"(
name = "x"
[[network.links]]
between = ["a", "b"]
delay = "10ms"
loss = "1%"
[[network.links]]
machine = "c"
rate = "1mbit"
limit = 50
[[network.links]]
from = "a"
to = "*"
delay = "1s"
[machines.a]
[machines.b]
[machines.c]
)");
  ASSERT_EQ(labfile.links.size(), 5U);
  EXPECT_EQ(labfile.links[1].from, "b");
  EXPECT_EQ(labfile.links[1].to, "a");
  EXPECT_EQ(labfile.links[1].quality.delay, std::chrono::milliseconds(10));
  EXPECT_EQ(labfile.links[3].from, "*");
  EXPECT_EQ(labfile.links[3].to, "c");
  EXPECT_EQ(labfile.links[3].quality.limit_frames, 50U);
  EXPECT_EQ(labfile.links[4].to, "*");
}

TEST(Labfile, AllProblemsComeInOnePassInTheOrderOfTheFile) {
  EXPECT_THAT(
      problems_of(R"(name = "x"
[network]
subnet = "192.168.50.0/24"
[machines.vm1]
adress = "192.168.50.4"
memory = "64MiB"
cpus = "two"
[machines.vm2]
address = "10.0.0.1"
role = "manger"
[[registries]]
machine = "vm9"
)"),
      ElementsAre(
          "lab.toml:5:1: unknown key machines.vm1.adress; did you mean \"address\"?",
          "lab.toml:6:10: machines.vm1.memory is \"64MiB\"; at least 256MiB is needed",
          "lab.toml:7:8: machines.vm1.cpus is a string; an integer is needed",
          "lab.toml:9:11: machines.vm2.address 10.0.0.1 is not in the subnet 192.168.50.0/24",
          "lab.toml:10:8: machines.vm2.role is \"manger\"; it must be one of \"manager\", "
          "\"worker\", \"none\" (did you mean \"manager\"?)",
          "lab.toml:12:11: registries[0].machine is \"vm9\"; there is no such machine (did you "
          "mean \"vm1\"?)"));
}

struct BadInput {
  const char* text;
  const char* message;
};

class BadLabfile : public testing::TestWithParam<BadInput> {};

TEST_P(BadLabfile, IsReported) {
  std::vector<std::string> lines = problems_of(GetParam().text);
  EXPECT_THAT(lines, testing::Contains(HasSubstr(GetParam().message)));
}

#define MACHINE "[machines.a]\n"
#define HEAD "name = 'x'\n"

INSTANTIATE_TEST_SUITE_P(
    Inputs, BadLabfile,
    testing::Values(
        BadInput{"", "name is missing"}, BadInput{"", "there are no machines"},
        BadInput{"name = ", "1:8: not TOML:"}, BadInput{"name = 'x'\nname = 'y'\n", "not TOML:"},
        BadInput{"\xff\xfe", "not TOML:"}, BadInput{"name = 'X y'\n" MACHINE, "name is \"X y\""},
        BadInput{"name = 'a\\tb'\n", "name is"}, BadInput{"name = 3\n", "name is an integer"},
        BadInput{HEAD "machines = 3\n", "machines is an integer; a table is needed: [machines]"},
        BadInput{HEAD "[machines]\n", "there are no machines"},
        BadInput{HEAD "[machines]\na = 3\n", "machines.a is an integer"},
        BadInput{HEAD "[machines.A_b]\n", "machine name \"A_b\""},
        BadInput{HEAD "[machines.localhost]\n", "cannot be called localhost"},
        BadInput{HEAD "machine = 1\n" MACHINE, "2:1: unknown key machine; did you mean"},
        BadInput{HEAD "zzzzzzzzzz = 1\n" MACHINE, "unknown key zzzzzzzzzz; known here: "},
        BadInput{HEAD MACHINE "memory = 512\n", "machines.a.memory is an integer; a string"},
        BadInput{HEAD MACHINE "memory = '512'\n", "a size is needed"},
        BadInput{HEAD MACHINE "memory = '-1GiB'\n", "a size is needed"},
        BadInput{HEAD MACHINE "memory = 'nanGiB'\n", "a size is needed"},
        BadInput{HEAD MACHINE "memory = '1e300GiB'\n", "a size is needed"},
        BadInput{HEAD MACHINE "memory = '9TiB'\n", "at most 1TiB is allowed"},
        BadInput{HEAD MACHINE "disk = '1MiB'\n", "at least 1GiB is needed"},
        BadInput{HEAD MACHINE "cpus = 0\n", "it must be 1 to 64"},
        BadInput{HEAD MACHINE "cpus = 1.5\n", "a floating-point number; an integer"},
        BadInput{HEAD MACHINE "labels = ['a']\n", "machines.a.labels is an array; a table"},
        BadInput{HEAD MACHINE "labels = { a = 1 }\n", "labels.a is an integer; a string"},
        BadInput{HEAD MACHINE "labels = { '' = 'x' }\n", "label name \"\""},
        BadInput{HEAD MACHINE "address = 'here'\n", "an IPv4 address is needed"},
        BadInput{HEAD MACHINE "address = '192.168.50.0'\n", "is the network address"},
        BadInput{HEAD MACHINE "address = '192.168.50.255'\n", "is the broadcast address"},
        BadInput{HEAD MACHINE "address = '192.168.50.9'\n[machines.b]\naddress = '192.168.50.9'\n",
                 "5:11: machines.b.address 192.168.50.9 is that of a already"},
        BadInput{HEAD "[network]\nsubnet = '192.168.50.4/24'\n" MACHINE, "an IPv4 network is"},
        BadInput{HEAD "[network]\nsubnet = '192.168.50.0'\n" MACHINE, "an IPv4 network is"},
        BadInput{HEAD "[network]\nsubnet = '192.168.50.0/31'\n" MACHINE, "prefix of 8 to 29"},
        BadInput{HEAD "[network]\nsubnet = '192.168.50.0/99999999999'\n" MACHINE, "IPv4 network"},
        BadInput{HEAD "[network]\nsubnet = '10.0.0.0/8'\n" MACHINE, "management network"},
        BadInput{HEAD "[network]\nsubnet = '192.168.50.0/29'\n[machines]\na={}\nb={}\nc={}\nd={}\n"
                      "e={}\nf={}\n",
                 "has no address left for f"},
        BadInput{HEAD MACHINE "commands = 'ls'\n", "an array of strings is needed"},
        BadInput{HEAD MACHINE "commands = ['ls', 3]\n", "commands[1] is an integer"},
        BadInput{HEAD MACHINE "files = [1]\n", "files[0] is an integer; a table"},
        BadInput{HEAD MACHINE "[[machines.a.files]]\n", "target is missing"},
        BadInput{HEAD MACHINE "[[machines.a.files]]\ntarget='/x'\n", "needs either source or"},
        BadInput{HEAD MACHINE "[[machines.a.files]]\ntarget='x'\ncontent=''\n", "absolute path"},
        BadInput{HEAD MACHINE "[[machines.a.files]]\ntarget='/'\ncontent=''\n", "absolute path"},
        BadInput{HEAD MACHINE "[[machines.a.files]]\ntarget='/x'\nsource='none'\n",
                 "there is no file /lab/none"},
        BadInput{HEAD MACHINE "[[machines.a.files]]\ntarget='/x'\ncontent=''\nmode='rw'\n",
                 "octal digits"},
        BadInput{HEAD MACHINE "cpus = 3\ncpus_max = 2\n", "below the 3 processors of a"},
        BadInput{HEAD MACHINE "sync = '.'\n", "tables in an array are needed"},
        BadInput{HEAD MACHINE "sync = [{ to = '/v' }]\n", "machines.a.sync[0].from is missing"},
        BadInput{HEAD MACHINE "sync = [{ from = '/usr' }]\n", "machines.a.sync[0].to is missing"},
        BadInput{HEAD MACHINE "sync = [{ from = 'none', to = '/v' }]\n",
                 "there is no folder /lab/none"},
        BadInput{HEAD MACHINE "sync = [{ from = '/usr', to = 'v' }]\n", "an absolute path"},
        BadInput{HEAD MACHINE "sync = [{ from = '/usr', to = '/' }]\n", "an absolute path"},
        BadInput{HEAD MACHINE "sync = [{ from = '/usr', to = '/v', exlude = ['x'] }]\n",
                 "did you mean \"exclude\"?"},
        BadInput{HEAD MACHINE "sync = [{from='/usr', to='/v'}, {from='/usr', to='/x/../v'}]\n",
                 "which is the target of another entry already"},
        BadInput{HEAD "[image]\n" MACHINE, "needs either recipe or cloud"},
        BadInput{HEAD "[image]\nrecipe='debian-13'\n" MACHINE, "did you mean \"debian-12\"?"},
        BadInput{HEAD "[image]\nrecipe='debian-12'\ncloud='x'\n" MACHINE, "not both"},
        BadInput{HEAD "[image]\ncloud='https://h/x.qcow2'\n" MACHINE, "image.sha256 must say"},
        BadInput{HEAD "[image]\ncloud='x.qcow2'\n" MACHINE, "there is no file /lab/x.qcow2"},
        BadInput{HEAD "[image]\ncloud='https://h/x'\nsha256='12'\n" MACHINE, "64 hexadecimal"},
        BadInput{HEAD "[libvirt]\nuri='qemu+ssh://other/system'\n" MACHINE, "on this host"},
        BadInput{HEAD "[swarm]\n" MACHINE, "the swarm has no manager"},
        BadInput{HEAD "[swarm]\nleader='a'\n" MACHINE, "swarm.leader is a, whose role is not"},
        BadInput{HEAD "[swarm]\nform='yes'\n" MACHINE, "true or false is needed"},
        BadInput{HEAD MACHINE "[[registries]]\nport=5000\n", "registries[0].machine is missing"},
        BadInput{HEAD MACHINE "[[registries]]\nmachine='a'\nport=0\n", "it must be 1 to 65535"},
        BadInput{HEAD MACHINE "[[registries]]\nmachine='a'\nport=22\n", "the port of SSH"},
        BadInput{HEAD MACHINE "[[registries]]\nmachine='a'\n[[registries]]\nmachine='a'\n",
                 "there is a registry on a port 443 already"},
        BadInput{HEAD MACHINE "[registries]\nmachine='a'\n", "[[registries]]"},
        BadInput{HEAD MACHINE "[[network.links]]\ndelay='1ms'\n", "exactly one of them"},
        BadInput{HEAD MACHINE "[[network.links]]\nfrom='a'\ndelay='1ms'\n", "needs to"},
        BadInput{HEAD MACHINE "[[network.links]]\nmachine='a'\ndelay='10'\n",
                 "network.links[0].delay"},
        BadInput{HEAD MACHINE "[[network.links]]\nmachine='a'\nloss='101%'\n",
                 "network.links[0].loss"},
        BadInput{HEAD MACHINE "[[network.links]]\nmachine='a'\njitter='1ms'\n", "delay"},
        BadInput{HEAD MACHINE "[[network.links]]\nbetween=['a']\n", "needs two machines"},
        BadInput{HEAD MACHINE "[[network.links]]\nbetween=['a','a']\n", "names a twice"},
        BadInput{HEAD MACHINE "[[network.links]]\nmachine='a'\n[[network.links]]\nfrom='a'\nto='*'",
                 "the link from a to * is there already"},
        BadInput{HEAD MACHINE "[[forward]]\nhost=1\nport=2\nmachine='b'\n", "no such machine"},
        BadInput{HEAD MACHINE "[[forward]]\nhost=1\nport=2\nmachine='a'\n[[forward]]\nhost=1\n",
                 "port 1 of the host is forwarded already"},
        BadInput{HEAD "scenarios = ['x.md']\n" MACHINE, "there is no file /lab/x.md"}));

// Each prefix of a valid file, and the file with single bytes changed: never a crash, and a place
// that is in the file.
TEST(Labfile, DamagedFilesNeverCrash) {
  std::string whole(labfile_template());
  auto lines = static_cast<std::uint32_t>(std::count(whole.begin(), whole.end(), '\n'));
  Random random(1);
  for (std::size_t i = 0; i < 1500; ++i) {
    std::string text = whole;
    if (i % 2 == 0) {
      text.resize(random.below(whole.size()));
    } else {
      for (int n = 0; n < 3; ++n)
        text[random.below(whole.size())] = static_cast<char>(random.below(256));
    }
    LabfileReading reading = parse_labfile(text, "/lab/lab.toml");
    ASSERT_NE(reading.labfile.has_value(), !reading.problems.empty());
    for (const LabfileProblem& problem : reading.problems) EXPECT_LE(problem.line, lines + 4);
  }
}

TEST(Labfile, DeepNestingAndLongWordsAreErrors) {
  EXPECT_FALSE(parse_labfile("x = " + std::string(100'000, '['), "/l").labfile);
  EXPECT_FALSE(parse_labfile("name = '" + std::string(1'000'000, 'a') + "'", "/l").labfile);
  EXPECT_FALSE(parse_labfile(std::string(200'000, 'k') + " = 1", "/l").labfile);
}

TEST(Labfile, MissingFileSaysWhatToDo) {
  auto labfile = load_labfile("/no/such/labfile.toml");
  ASSERT_FALSE(labfile);
  EXPECT_EQ(labfile.error().code, Code::not_found);
  EXPECT_THAT(labfile.error().message, HasSubstr("`lab init` writes one"));
}

TEST(EditDistance, CountsSwapsAsOne) {
  EXPECT_EQ(edit_distance("adress", "address"), 1U);
  EXPECT_EQ(edit_distance("labesl", "labels"), 1U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(nearest_word("memroy", {"memory", "cpus"}), "memory");
  EXPECT_EQ(nearest_word("qqqq", {"memory", "cpus"}), "");
}

}  // namespace
}  // namespace lab::provision
