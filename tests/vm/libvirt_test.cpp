// The libvirt provider against the real libvirt and QEMU, with machines that have nothing to boot:
// their firmware finds an empty disk, which is enough to be started, killed and destroyed.
#include <gtest/gtest.h>
#include <libvirt/libvirt.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "vm/domain_xml.hpp"
#include "vm/libvirt_session.hpp"
#include "vm/provider.hpp"

namespace lab::vm {
namespace {

template <typename T>
T run(boost::asio::awaitable<T> work) {
  boost::asio::io_context context;
  std::optional<T> result;
  boost::asio::co_spawn(context, std::move(work), [&result](std::exception_ptr error, T value) {
    if (error) std::rethrow_exception(error);
    result.emplace(std::move(value));
  });
  context.run();
  return std::move(*result);
}

class Libvirt : public testing::Test {
 protected:
  Libvirt() {
    Command command;
    base_ = folder_.path() / "base.qcow2";
    command.argv = {"qemu-img", "create", "-q", "-f", "qcow2", base_.string(), "1M"};
    EXPECT_TRUE(run_checked(command));
  }
  ~Libvirt() override {
    for (const char* suffix : {"a", "b"})
      for (const char* name : {"vm1", "vm2"})
        EXPECT_TRUE(run(provider_->destroy({lab(suffix), name})));
  }

  static std::string lab(const std::string& suffix) {
    return fmt::format("test{}-{}", getpid(), suffix);
  }

  MachineSpec spec(const std::string& lab_suffix, const std::string& name) {
    MachineSpec spec;
    spec.id = {lab(lab_suffix), name};
    spec.directory = folder_.path() / lab_suffix / name;
    spec.memory_mib = 32;
    spec.disk_mib = 1;
    spec.image.base_disk = base_;
    spec.image.base_format = "qcow2";
    spec.image.base_mib = 1;
    spec.identity.hostname = name;
    const auto port = static_cast<std::uint16_t>(20000 + getpid() % 20000 + 3 * next_port_++);
    spec.lab_nic = {fmt::format("52:54:00:00:00:{:02x}", next_port_), port,
                    static_cast<std::uint16_t>(port + 1)};
    spec.ssh_port = static_cast<std::uint16_t>(port + 2);
    return spec;
  }

  MachineState state(const MachineSpec& spec) { return *run(provider_->state(spec.id)); }

  // QEMU's process; libvirt tells it to nobody, but its command line has the machine's name.
  static pid_t emulator_of(const MachineSpec& spec) {
    const std::string wanted = "guest=" + domain_name(spec.id) + ",";
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const auto text = read_file(entry.path() / "cmdline");
      if (text && text->find(wanted) != std::string::npos && text->starts_with("/usr/bin/qemu"))
        return std::stoi(entry.path().filename());
    }
    return 0;
  }

  TemporaryDirectory folder_;
  std::filesystem::path base_;
  std::unique_ptr<Provider> provider_ = make_libvirt_provider();
  int next_port_ = 0;
};

TEST_F(Libvirt, MachineIsDefinedStartedStoppedAndDestroyedAndEachStepMayBeRepeated) {
  const MachineSpec machine = spec("a", "vm1");
  EXPECT_EQ(state(machine), MachineState::absent);
  EXPECT_EQ(run(provider_->start(machine.id)).error().code, Code::not_found);
  for (int i = 0; i < 2; ++i) {
    const auto defined = run(provider_->define(machine));
    ASSERT_TRUE(defined) << defined.error().message;
    EXPECT_EQ(state(machine), MachineState::off);
  }
  for (int i = 0; i < 2; ++i) {
    const auto started = run(provider_->start(machine.id));
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_EQ(state(machine), MachineState::running);
  }
  EXPECT_TRUE(run(provider_->define(machine)));  // running: for its next start
  EXPECT_EQ(state(machine), MachineState::running);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(run(provider_->stop(machine.id, std::chrono::milliseconds(0))));
    EXPECT_EQ(state(machine), MachineState::off);
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(run(provider_->destroy(machine.id)));
    EXPECT_EQ(state(machine), MachineState::absent);
  }
  EXPECT_FALSE(std::filesystem::exists(machine.directory));
}

TEST_F(Libvirt, MachineWhoseEmulatorWasKilledIsCrashedAndStartsAgain) {
  const MachineSpec machine = spec("a", "vm1");
  ASSERT_TRUE(run(provider_->define(machine)));
  ASSERT_TRUE(run(provider_->start(machine.id)));
  const pid_t emulator = emulator_of(machine);
  ASSERT_GT(emulator, 0);
  kill(emulator, SIGKILL);
  for (int i = 0; i < 500 && state(machine) == MachineState::running; ++i) poll(nullptr, 0, 20);
  EXPECT_EQ(state(machine), MachineState::crashed);
  EXPECT_TRUE(run(provider_->start(machine.id)));
  EXPECT_EQ(state(machine), MachineState::running);
}

TEST_F(Libvirt, LabsSideBySideSeeOnlyTheirOwnMachines) {
  const MachineSpec first = spec("a", "vm1");
  const MachineSpec second = spec("a", "vm2");
  const MachineSpec other = spec("b", "vm1");
  for (const MachineSpec* machine : {&second, &first, &other})
    ASSERT_TRUE(run(provider_->define(*machine)));
  const auto machines = run(provider_->list(lab("a")));
  ASSERT_TRUE(machines);
  ASSERT_EQ(machines->size(), 2U);
  EXPECT_EQ(machines->at(0).id, first.id);
  EXPECT_EQ(machines->at(1).id, second.id);
  EXPECT_EQ(machines->at(0).directory, first.directory);
  EXPECT_EQ(machines->at(0).ssh_port, first.ssh_port);
  EXPECT_TRUE(run(provider_->destroy(first.id)));
  EXPECT_EQ(state(other), MachineState::off);
  EXPECT_GE(run(provider_->list(""))->size(), 2U);
}

TEST_F(Libvirt, DomainOfSomebodyElseIsAConflictAndLeftAlone) {
  const MachineSpec machine = spec("a", "vm1");
  const std::string uri = settle_session_uri("qemu:///session");
  virConnectPtr connection = virConnectOpen(uri.c_str());
  ASSERT_NE(connection, nullptr);
  const std::string xml = fmt::format(
      "<domain type='qemu'><name>{}</name><memory unit='MiB'>32</memory>"
      "<os><type arch='x86_64'>hvm</type></os></domain>",
      domain_name(machine.id));
  virDomainPtr foreign = virDomainDefineXML(connection, xml.c_str());
  ASSERT_NE(foreign, nullptr);
  EXPECT_EQ(run(provider_->define(machine)).error().code, Code::conflict);
  EXPECT_EQ(run(provider_->start(machine.id)).error().code, Code::conflict);
  EXPECT_EQ(run(provider_->destroy(machine.id)).error().code, Code::conflict);
  EXPECT_TRUE(run(provider_->list(lab("a")))->empty());
  EXPECT_EQ(virDomainUndefine(foreign), 0);  // it is still there
  virDomainFree(foreign);
  virConnectClose(connection);
}

TEST_F(Libvirt, SameLabInAnotherFolderIsAConflict) {
  MachineSpec machine = spec("a", "vm1");
  ASSERT_TRUE(run(provider_->define(machine)));
  machine.directory = folder_.path() / "elsewhere";
  const auto again = run(provider_->define(machine));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::conflict);
}

TEST_F(Libvirt, StartOnATakenPortSaysSo) {
  const MachineSpec first = spec("a", "vm1");
  MachineSpec second = spec("a", "vm2");
  second.ssh_port = first.ssh_port;
  ASSERT_TRUE(run(provider_->define(first)));
  ASSERT_TRUE(run(provider_->define(second)));
  ASSERT_TRUE(run(provider_->start(first.id)));
  const auto started = run(provider_->start(second.id));
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find("vm2"), std::string::npos);
  EXPECT_NE(started.error().message.find(std::to_string(first.ssh_port)), std::string::npos)
      << started.error().message;
}

// The definition must not have become one that waits for a state.
TEST_F(Libvirt, MachineGoesOnFromItsSavedStateAndBootsTheNextTime) {
  const MachineSpec machine = spec("a", "vm1");
  const SavedState saved{folder_.path() / "state", {}};
  ASSERT_TRUE(run(provider_->define(machine)));
  EXPECT_EQ(run(provider_->save(machine.id, saved)).error().code, Code::unavailable);
  ASSERT_TRUE(run(provider_->start(machine.id)));
  const auto written = run(provider_->save(machine.id, saved));
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(state(machine), MachineState::paused);
  EXPECT_EQ(run(provider_->start_saved(machine.id, saved)).error().code, Code::conflict);
  ASSERT_TRUE(run(provider_->start(machine.id)));
  EXPECT_EQ(state(machine), MachineState::running);
  ASSERT_TRUE(run(provider_->stop(machine.id, std::chrono::milliseconds(0))));
  const auto started = run(provider_->start_saved(machine.id, saved));
  ASSERT_TRUE(started) << started.error().message;
  EXPECT_EQ(state(machine), MachineState::paused);
  ASSERT_TRUE(run(provider_->start(machine.id)));
  EXPECT_EQ(state(machine), MachineState::running);
  ASSERT_TRUE(run(provider_->stop(machine.id, std::chrono::milliseconds(0))));
  EXPECT_EQ(state(machine), MachineState::off);
  ASSERT_TRUE(run(provider_->start(machine.id)));
  EXPECT_EQ(state(machine), MachineState::running);
}

TEST_F(Libvirt, MachinesStartFromTheSharedMemoryOfAnotherAndNeverWriteToIt) {
  MachineSpec first = spec("a", "vm1");
  first.memory_file = folder_.path() / "memory, of 'vm1'";
  const SavedState saved{folder_.path() / "state", first.memory_file};
  ASSERT_TRUE(run(provider_->define(first)));
  ASSERT_TRUE(run(provider_->start(first.id)));
  const auto written = run(provider_->save(first.id, saved));
  ASSERT_TRUE(written) << written.error().message;
  ASSERT_TRUE(run(provider_->destroy(first.id)));
  const auto memory = read_file(first.memory_file);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->size(), first.memory_mib << 20);
  EXPECT_LT(std::filesystem::file_size(saved.devices), 4U << 20);
  for (const char* name : {"vm1", "vm2"}) {
    const MachineSpec sister = spec("b", name);
    ASSERT_TRUE(run(provider_->define(sister)));
    const auto started = run(provider_->start_saved(sister.id, saved));
    ASSERT_TRUE(started) << started.error().message;
    ASSERT_TRUE(run(provider_->start(sister.id)));
    EXPECT_EQ(state(sister), MachineState::running);
  }
  EXPECT_EQ(*read_file(first.memory_file), *memory);
}

TEST_F(Libvirt, NothingRunsAfterAStateThatCannotBeRead) {
  const MachineSpec machine = spec("a", "vm1");
  const SavedState damaged{folder_.path() / "state", {}};
  ASSERT_TRUE(write_file(damaged.devices, "no state of a machine"));
  ASSERT_TRUE(run(provider_->define(machine)));
  EXPECT_FALSE(run(provider_->start_saved(machine.id, damaged)));
  EXPECT_NE(state(machine), MachineState::running);
  EXPECT_NE(state(machine), MachineState::paused);
  EXPECT_TRUE(run(provider_->start(machine.id)));
}

}  // namespace
}  // namespace lab::vm
