#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>

#include "base/blocking.hpp"
#include "base/digest.hpp"
#include "provision/catalogue.hpp"
#include "provision/forward/forwarder.hpp"
#include "provision/lab/daemon.hpp"
#include "provision/lab/frozen.hpp"
#include "provision/lab/keys.hpp"
#include "provision/lab/lab.hpp"
#include "provision/lab/registry_check.hpp"
#include "provision/lab/suspend.hpp"
#include "provision/lab/templates.hpp"
#include "provision/node/node.hpp"
#include "provision/node/swarm.hpp"
#include "provision/parallel.hpp"
#include "provision/sync/sync.hpp"

namespace lab::provision {

namespace fs = std::filesystem;
namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr std::chrono::seconds settle_time(90);
constexpr std::chrono::seconds registry_time(90);
constexpr std::size_t console_lines = 15;

// One machine on its way up. The blocking parts own it while they run.
struct MachineRun {
  explicit MachineRun(const asio::any_io_executor& executor) : in_place(executor) {}

  const MachineConfig* config = nullptr;
  SshTarget target;
  NodePlan plan;
  std::vector<ApiRequest> questions;              // what look() asks beside its own
  std::vector<const RegistryConfig*> registries;  // in the order of their questions
  std::optional<Node> node;
  NodeFacts facts;
  bool was_running = false;
  bool says_when_up = false;  // its console tells when its network is there
  bool cpus_changed = false;  // while it runs
  bool changed = false;
  bool failed = false;
  Event in_place;  // its programs answer and it is in the swarm, or it failed
};

class Up {
 public:
  Up(Labfile labfile, UpOptions options, const Clock& clock, Progress& progress,
     asio::any_io_executor executor)
      : labfile_(std::move(labfile)),
        options_(std::move(options)),
        clock_(clock),
        progress_(progress),
        executor_(executor),
        root_(cache_root()),
        paths_(lab_paths(root_, labfile_.name, labfile_.path)),
        managers_known_(executor),
        swarm_known_(executor),
        ready_(executor),
        catalogue_done_(executor) {}

  asio::awaitable<Result<bool>> run();

 private:
  Result<void> prepare();
  Result<void> choose_ports(const std::map<std::string, pid_t>& processes);
  [[nodiscard]] Result<void> check_forwards() const;
  Result<void> prepare_nodes();
  Result<void> plan_machine(const MachineConfig& machine, const NodePrograms& programs,
                            const NodeConfig& config);

  Task catalogue();
  Task ready_to_start();
  Task machines();
  Task one_machine(MachineRun& run);
  Task machine_steps(MachineRun& run);
  asio::awaitable<Result<std::vector<std::string>>> find_paused();
  Task stop_unfinished();
  Task wake();
  Task change_running(MachineRun& run, const vm::MachineSpec& spec);
  Task power_on(MachineRun& run);
  Task start_new(vm::MachineSpec spec);
  Task start_from_template(vm::MachineSpec spec, vm::MachineTemplate from);
  Task join_the_swarm(MachineRun& run);
  Task registries(MachineRun& run);
  Task registry_answers(const RegistryConfig& registry);
  Task form();
  Task begin_swarm();
  Task settle();
  Task provision(MachineRun& run);
  Result<bool> provision_now(MachineRun& run);
  Result<void> look_and_deploy(MachineRun& run);
  Result<void> begin_swarm_on(MachineRun& run, bool initialise);
  [[nodiscard]] MachineRun* choose_source();
  [[nodiscard]] vm::MachineSpec spec_of(const MachineConfig& machine) const;
  Result<void> add_identity(vm::MachineSpec& spec) const;
  void note_started(const MachineConfig& machine);
  [[nodiscard]] bool in_swarm(const MachineRun& run) const {
    return labfile_.swarm && run.config->role != Role::none;
  }
  [[nodiscard]] bool says_up(const MachineRun& run) const {
    return vm::network_is_up(machine_directory(paths_, run.config->name));
  }
  [[nodiscard]] bool alive(const std::string& machine) const {
    return machine_processes(state_)[machine] != 0;
  }

  Labfile labfile_;
  UpOptions options_;
  const Clock& clock_;
  Progress& progress_;
  asio::any_io_executor executor_;
  fs::path root_;
  LabPaths paths_;
  Fd lock_;
  LabState state_;
  bool labd_changed_ = false;
  std::optional<vm::GuestImage> image_;  // only when a machine must be started
  std::unique_ptr<vm::Provider> provider_;
  std::string authority_pem_;
  std::vector<NodeFile> common_;        // what all machines have: programs and units
  std::optional<Templates> templates_;  // none: new machines boot
  std::map<std::string, MachineRun> runs_;
  std::size_t managers_awaited_ = 0;
  Event managers_known_;    // every manager's facts are there, or it failed
  Event swarm_known_;       // join_ is set, or swarm_error_
  Event ready_;             // machines may start, or there is nothing to start from
  bool may_start_ = false;  // once ready_
  Event catalogue_done_;
  Result<void> catalogue_result_;
  MachineRun* source_ = nullptr;  // the manager that others join through
  std::optional<JoinInfo> join_;
  std::optional<Error> swarm_error_;
  bool initialised_ = false;
};

vm::MachineSpec Up::spec_of(const MachineConfig& machine) const {
  const MachinePorts& ports = state_.machines.at(machine.name);
  vm::MachineSpec spec;
  spec.id = {state_.id, machine.name};
  spec.directory = machine_directory(paths_, machine.name);
  spec.memory_mib = machine.memory_mib;
  spec.cpus = machine.cpus;
  spec.cpus_max = machine.cpus_max;
  spec.disk_mib = machine.disk_mib;
  spec.identity.hostname = machine.name;
  spec.identity.lab_address = fmt::format("{}/{}", machine.address, labfile_.prefix_length());
  for (const MachineConfig& other : labfile_.machines)
    spec.identity.hosts.emplace_back(other.address, other.name);
  spec.lab_nic = {ports.mac, ports.switch_port, ports.nic_port};
  spec.ssh_port = ports.ssh_port;
  return spec;
}

// Of what define() would be told; keys and image are not part of it.
std::string spec_hash(const vm::MachineSpec& spec) {
  std::string text =
      fmt::format("{} {} {} {} {} {} {} {} {}", spec.memory_mib, spec.cpus, spec.disk_mib,
                  spec.identity.hostname, spec.identity.lab_address, spec.lab_nic.mac,
                  spec.lab_nic.switch_port, spec.lab_nic.nic_port, spec.ssh_port);
  if (spec.cpus_max > spec.cpus) text += fmt::format(" of {}", spec.cpus_max);
  for (const auto& [address, name] : spec.identity.hosts) text += " " + address + "=" + name;
  return sha256_hex(text).substr(0, 16);
}

void Up::note_started(const MachineConfig& machine) {
  MachinePorts& ports = state_.machines.at(machine.name);
  ports.cpus = machine.cpus;
  ports.spec_hash = spec_hash(spec_of(machine));
}

// Ports are kept for the life of the lab; those of what does not run are chosen anew when somebody
// else has taken them meanwhile.
Result<void> Up::choose_ports(const std::map<std::string, pid_t>& processes) {
  bool labd_runs = labd_process(paths_).has_value();
  std::vector<std::uint16_t> taken;
  auto keep_or_choose = [&taken](Transport transport, std::uint16_t& port,
                                 bool in_use) -> Result<void> {
    if (port == 0 || (!in_use && !port_is_free(transport, port))) {
      LAB_TRY(port, choose_port(transport, taken));
    }
    taken.push_back(port);
    return {};
  };
  LAB_CHECK(keep_or_choose(Transport::tcp, state_.mirror_port, labd_runs));
  for (const MachineConfig& machine : labfile_.machines) {
    auto process = processes.find(machine.name);
    bool runs = process != processes.end() && process->second != 0;
    MachinePorts& ports = state_.machines[machine.name];
    ports.mac = machine_mac(state_.id, machine.name);
    LAB_CHECK(keep_or_choose(Transport::tcp, ports.ssh_port, runs));
    LAB_CHECK(keep_or_choose(Transport::udp, ports.nic_port, runs));
    // A running machine sends to the switch port that it was started with.
    LAB_CHECK(keep_or_choose(Transport::udp, ports.switch_port, labd_runs || runs));
  }
  return {};
}

Result<void> Up::prepare() {
  LAB_TRY(lock_, lock_lab(paths_));
  auto old = load_state(paths_);
  if (old) state_ = *old;
  if (!old && old.error().code != Code::not_found) return old.error();
  state_.name = labfile_.name;
  state_.id = lab_id(labfile_.name, labfile_.path);
  state_.labfile = labfile_.path;
  state_.libvirt_uri = labfile_.libvirt_uri;
  std::map<std::string, pid_t> processes = machine_processes(state_);
  LAB_CHECK(choose_ports(processes));
  LAB_CHECK(save_state(paths_, state_));
  LAB_CHECK(ensure_user_key(paths_));
  LAB_CHECK(write_ssh_files(paths_, state_));
  for (const auto& [name, ports] : state_.machines) {
    if (labfile_.find(name) == nullptr) {
      progress_.notice(
          fmt::format("{} is no longer in the labfile; `lab destroy {}` removes it", name, name));
    }
  }
  LAB_CHECK(make_directories(catalogue_directory(root_)));
  LAB_CHECK(check_forwards());
  LAB_TRY(labd_changed_, ensure_labd(paths_, labd_config(paths_, labfile_, state_, root_),
                                     options_.programs / "labd"));
  LAB_CHECK(prepare_nodes());
  for (auto& [name, run] : runs_) {
    auto process = processes.find(name);
    run.was_running = process != processes.end() && process->second != 0;
  }
  return {};
}

// A labd that runs tells itself what it cannot have.
Result<void> Up::check_forwards() const {
  if (labd_process(paths_)) return {};
  for (const ForwardConfig& forward : labfile_.forwards) {
    if (!port_is_free(Transport::tcp, forward.host_port))
      return port_taken({forward.host_port, forward.machine, forward.port});
  }
  return {};
}

Result<void> Up::prepare_nodes() {
  NodeConfig config;
  config.mirror_port = state_.mirror_port;
  LAB_TRY(Certificate authority, ensure_authority(paths_, clock_));
  config.authority_pem = authority_pem_ = authority.certificate_pem;
  for (const RegistryConfig& registry : labfile_.registries) {
    if (!registry.tls) continue;
    LAB_TRY(config.registry_certificates[registry_key(registry)],
            ensure_registry_certificate(paths_, clock_, authority, *labfile_.find(registry.machine),
                                        registry));
  }
  LAB_TRY(NodePrograms programs, load_programs(options_.programs));
  common_ = programs.files;
  for (NodeFile& file : unit_files()) common_.push_back(std::move(file));
  for (const std::string& name : options_.machines) {
    if (labfile_.find(name) == nullptr)
      return make_error(Code::not_found, "there is no machine \"{}\" in {}", name,
                        labfile_.path.string());
  }
  const auto& wanted = options_.machines;
  for (const MachineConfig& machine : labfile_.machines) {
    bool named =
        wanted.empty() || std::find(wanted.begin(), wanted.end(), machine.name) != wanted.end();
    // Others join through the leader: when it runs, it takes part.
    bool helps = labfile_.swarm && machine.name == labfile_.swarm_leader && alive(machine.name);
    if (named || helps) LAB_CHECK(plan_machine(machine, programs, config));
  }
  return {};
}

Result<void> Up::plan_machine(const MachineConfig& machine, const NodePrograms& programs,
                              const NodeConfig& config) {
  MachineRun& run = runs_.try_emplace(machine.name, executor_).first->second;
  run.config = &machine;
  LAB_TRY(run.target, ssh_target(paths_, state_, machine.name));
  run.plan.machine = machine.name;
  run.plan.files = programs.files;
  for (NodeFile& file : node_files(labfile_, machine, config))
    run.plan.files.push_back(std::move(file));
  LAB_TRY(run.plan.labfile_files, provision_files(machine));
  run.plan.commands = machine.commands;
  for (const RegistryConfig& registry : labfile_.registries) {
    if (registry.machine != machine.name) continue;
    run.registries.push_back(&registry);
    run.questions.push_back(
        ApiRequest{.target = "/containers/" + registry_container(labfile_, registry) + "/json"});
  }
  if (in_swarm(run) && machine.role == Role::manager) {
    run.questions.push_back(ApiRequest{.target = "/swarm"});
    run.questions.push_back(ApiRequest{.target = "/nodes"});
    ++managers_awaited_;
  }
  return {};
}

// A cloud image that is not the one of the labfile is told before this takes its minutes.
Task Up::catalogue() {
  if (!labfile_.image.cloud_image.empty()) {
    co_await ready_.wait();
    if (!may_start_) {
      catalogue_done_.fire();
      co_return Result<void>{};
    }
  }
  std::function<Result<void>()> work = [this] {
    return ensure_catalogue(catalogue_directory(root_), initial_catalogue_names(),
                            [this](std::string_view line) { progress_.step("images", line); });
  };
  catalogue_result_ = co_await run_blocking(std::move(work));
  if (!catalogue_result_) catalogue_result_ = catalogue_result_.error().wrap("image catalogue");
  catalogue_done_.fire();
  co_return catalogue_result_;
}

Result<void> Up::add_identity(vm::MachineSpec& spec) const {
  LAB_TRY(SshKeyPair host_key, ensure_host_key(paths_, spec.id.name));
  LAB_TRY(SshKeyPair user_key, ensure_user_key(paths_));
  spec.identity.ssh_host_key = host_key.private_key;
  spec.identity.ssh_host_key_pub = host_key.public_key;
  spec.identity.authorized_keys = {user_key.public_key};
  return {};
}

Task Up::start_from_template(vm::MachineSpec spec, vm::MachineTemplate from) {
  vm::MachineId id = spec.id;
  spec.template_disk = from.disk;
  LAB_CO_CHECK(co_await provider_->define(std::move(spec)));
  LAB_CO_CHECK(co_await provider_->start_saved(id, std::move(from.state)));
  co_return co_await provider_->start(id);
}

// A machine that was not there before.
Task Up::start_new(vm::MachineSpec spec) {
  vm::MachineId id = spec.id;
  std::optional<vm::MachineTemplate> from;
  if (templates_) {
    co_await catalogue_done_.wait();
    from = co_await templates_->of(spec);
  }
  if (from) {
    progress_.step(id.name, "starting");
    vm::MachineSpec copy = spec;
    copy.seed_files = templates_->beyond(spec.seed_files);
    auto started = co_await start_from_template(std::move(copy), std::move(*from));
    if (started) co_return started;
    progress_.notice(fmt::format("{} does not start from its template ({}): it boots", id.name,
                                 started.error().message));
    LAB_CO_CHECK(co_await provider_->destroy(id));
  }
  progress_.step(id.name, "booting");
  LAB_CO_CHECK(co_await provider_->define(std::move(spec)));
  co_return co_await provider_->start(id);
}

// Those of the machines that are there, but paused: by an interrupted command, or by somebody else.
asio::awaitable<Result<std::vector<std::string>>> Up::find_paused() {
  std::vector<std::string> paused;
  LAB_CO_TRY(const std::vector<vm::MachineInfo> known, co_await provider_->list(state_.id));
  for (const vm::MachineInfo& machine : known)
    if (machine.state == vm::MachineState::paused && runs_.contains(machine.id.name))
      paused.push_back(machine.id.name);
  co_return paused;
}

// An interrupted `up` may have left machines without the state that they were to start from.
Task Up::stop_unfinished() {
  LAB_CO_TRY(const std::vector<vm::MachineInfo> known, co_await provider_->list(state_.id));
  for (const vm::MachineInfo& machine : known) {
    if (machine.state != vm::MachineState::unfinished || !runs_.contains(machine.id.name)) continue;
    vm::MachineId id = machine.id;
    LAB_CO_CHECK(co_await provider_->stop(std::move(id), std::chrono::milliseconds(0)));
    runs_.at(machine.id.name).was_running = false;
  }
  co_return Result<void>{};
}

// Machines that are paused go on, and suspended ones resume.
Task Up::wake() {
  const LabView view{labfile_, paths_, state_};
  LAB_CO_CHECK(co_await stop_unfinished());
  LAB_CO_TRY(const std::vector<std::string> paused, co_await find_paused());
  std::vector<std::string> running;
  std::vector<std::string> off;
  for (auto& [name, run] : runs_) (run.was_running ? running : off).push_back(name);
  if (left_frozen(paths_) || !paused.empty()) {
    for (const std::string& name : paused) {
      progress_.step(name, "is paused: lets it go on");
      runs_.at(name).changed = true;
    }
    Frozen frozen(*provider_, view, left_frozen(paths_) ? running : paused, clock_);
    LAB_CO_CHECK(co_await frozen.go_on(false));
  }
  auto resumed = co_await resume_suspended(*provider_, view, std::move(off), clock_, progress_);
  if (!resumed) {
    progress_.notice(
        fmt::format("suspended machines cannot go on and boot: {}", resumed.error().message));
    co_return Result<void>{};
  }
  for (const std::string& name : *resumed) {
    runs_.at(name).was_running = true;
    runs_.at(name).changed = true;
  }
  co_return Result<void>{};
}

// What of a changed entry a running machine can be given; the rest comes with its next start.
Task Up::change_running(MachineRun& run, const vm::MachineSpec& spec) {
  const std::string& name = run.config->name;
  MachinePorts& ports = state_.machines.at(name);
  const std::string hash = spec_hash(spec);
  if (ports.spec_hash == hash) co_return Result<void>{};
  if (ports.spec_hash.empty()) {  // started by an `up` that was interrupted before it wrote so
    note_started(*run.config);
    co_return save_state(paths_, state_);
  }
  vm::MachineSpec before = spec;
  before.cpus = ports.cpus;
  std::string why;
  if (spec_hash(before) == ports.spec_hash) {
    progress_.step(name, fmt::format("{} processors in place of {}", spec.cpus, before.cpus));
    auto set = co_await provider_->set_cpus(spec.id, spec.cpus);
    if (set) {
      run.changed = run.cpus_changed = true;
      ports.cpus = spec.cpus;
      ports.spec_hash = hash;
      co_return save_state(paths_, state_);
    }
    why = fmt::format(" ({})", set.error().message);
  }
  progress_.notice(
      fmt::format("{0}: its entry in the labfile has changed; the change takes effect after `lab "
                  "halt {0}` and `lab up`{1}",
                  name, why));
  co_return Result<void>{};
}

Task Up::power_on(MachineRun& run) {
  const std::string& name = run.config->name;
  vm::MachineSpec spec = spec_of(*run.config);
  MachinePorts& ports = state_.machines.at(name);
  if (run.was_running) co_return co_await change_running(run, spec);
  vm::MachineId id = spec.id;
  LAB_CO_TRY(vm::MachineState state, co_await provider_->state(id));
  // Made by an `up` that was interrupted before the machine ran: nobody has put anything into it.
  if (state == vm::MachineState::off && ports.spec_hash.empty() && !says_up(run)) {
    LAB_CO_CHECK(co_await provider_->destroy(id));
    state = vm::MachineState::absent;
  }
  // A disk fits the kernel of the image that it began from.
  bool renewed = !ports.image_id.empty() && ports.image_id != image_->id;
  if (state != vm::MachineState::absent && renewed) {
    progress_.notice(
        fmt::format("{0} runs on an older guest image; `lab destroy {0}` and `lab up` "
                    "renew it",
                    name));
    LAB_CO_CHECK(co_await provider_->start(id));
  } else {
    LAB_CO_CHECK(add_identity(spec));
    spec.image = *image_;
    // A cloud image's seed is no place for programs: there everything comes over SSH.
    if (!image_->is_cloud()) spec.seed_files = seed_files(run.plan.files);
    if (state == vm::MachineState::absent) {
      LAB_CO_CHECK(co_await start_new(std::move(spec)));
    } else {
      progress_.step(name, "booting");
      LAB_CO_CHECK(co_await provider_->define(std::move(spec)));
      LAB_CO_CHECK(co_await provider_->start(id));
    }
    run.says_when_up = run.plan.just_started = !image_->is_cloud();
    note_started(*run.config);
    ports.image_id = image_->id;
    LAB_CO_CHECK(save_state(paths_, state_));
  }
  run.changed = true;
  co_return Result<void>{};
}

Result<void> Up::look_and_deploy(MachineRun& run) {
  const std::string& name = run.config->name;
  auto node = Node::wait_for_ssh(
      run.target, clock_, options_.boot_timeout, [this, &name] { return alive(name); },
      [this, &run] { return !run.says_when_up || says_up(run); });
  if (!node) {
    Error error = node.error();
    error.message += "\nthe end of its console:\n" +
                     vm::console_tail(machine_directory(paths_, name), console_lines);
    return error;
  }
  run.node = std::move(*node);
  if (run.cpus_changed) LAB_CHECK(run.node->use_cpus(run.config->cpus));
  if (run.changed) progress_.step(name, "looking at what is there");
  LAB_TRY(run.facts, run.node->look(run.plan, run.questions));
  LAB_TRY(bool deployed, run.node->deploy(run.plan, run.facts, progress_));
  run.changed = run.changed || deployed;
  if (!in_swarm(run)) return {};
  return run.node->wait_while_pending(run.facts, settle_time);
}

Task Up::machine_steps(MachineRun& run) {
  auto on = co_await power_on(run);
  if (on) {
    std::function<Result<void>()> deploy = [this, &run] { return look_and_deploy(run); };
    on = co_await run_blocking(std::move(deploy));
  }
  run.failed = !on;
  if (in_swarm(run) && run.config->role == Role::manager && --managers_awaited_ == 0)
    managers_known_.fire();
  LAB_CO_CHECK(on);
  if (in_swarm(run)) co_return co_await join_the_swarm(run);
  co_return Result<void>{};
}

Task Up::one_machine(MachineRun& run) {
  auto result = co_await machine_steps(run);
  run.failed = !result;
  run.in_place.fire();
  if (!result) {
    progress_.done(run.config->name, "failed");
  } else if (!labfile_.swarm && run.plan.commands.empty() && run.plan.labfile_files.empty() &&
             run.config->sync.empty()) {
    progress_.done(run.config->name, run.changed ? "up" : "up to date");
  } else {
    if (run.changed) progress_.step(run.config->name, "ready");
  }
  co_return result;
}

MachineRun* Up::choose_source() {
  MachineRun* chosen = nullptr;
  for (auto& [name, run] : runs_) {
    if (run.failed || run.config->role != Role::manager || !run.node) continue;
    bool active = run.facts.swarm.state == "active" && run.facts.swarm.is_manager;
    if (active && (chosen == nullptr || name == labfile_.swarm_leader)) chosen = &run;
  }
  return chosen;
}

Result<void> Up::begin_swarm_on(MachineRun& run, bool initialise) {
  if (initialise) {
    progress_.step(run.config->name, "initialising the swarm");
    LAB_TRY(join_, initialise_swarm(*run.node, *run.config, run.facts));
    run.changed = true;
    return {};
  }
  // The answer that came with the look, unless the daemons were only started after it.
  const std::vector<ApiReply>& more = run.facts.more;
  if (more.size() >= 2) join_ = parse_join_info(more[more.size() - 2], run.config->address);
  if (!join_) {
    LAB_TRY(join_, fetch_join_info(*run.node, *run.config, clock_, settle_time));
  }
  return {};
}

Task Up::begin_swarm() {
  co_await managers_known_.wait();
  source_ = choose_source();
  auto leader = runs_.find(labfile_.swarm_leader);
  bool can_begin = leader != runs_.end() && !leader->second.failed;
  initialised_ = source_ == nullptr && can_begin;
  if (initialised_) source_ = &leader->second;
  if (source_ == nullptr) {
    swarm_error_ =
        make_error(Code::unavailable, "no manager of the swarm is up (the first one is {})",
                   labfile_.swarm_leader);
  } else {
    std::function<Result<void>()> begin = [this] { return begin_swarm_on(*source_, initialised_); };
    auto begun = co_await run_blocking(std::move(begin));
    if (!begun) swarm_error_ = begun.error();
  }
  swarm_known_.fire();
  if (swarm_error_ && source_ != nullptr) co_return *swarm_error_;
  co_return Result<void>{};
}

Task Up::join_the_swarm(MachineRun& run) {
  co_await swarm_known_.wait();
  if (&run == source_) co_return Result<void>{};
  const std::string& state = run.facts.swarm.state;
  // A member of a swarm that is no more must leave it first.
  bool leave = initialised_ ? state != "inactive" : state == "error" || state == "pending";
  if (state == "active" && !leave) co_return Result<void>{};
  if (swarm_error_) {
    progress_.notice(
        fmt::format("{} is not in the swarm: {}", run.config->name, swarm_error_->message));
    co_return Result<void>{};
  }
  progress_.step(run.config->name, "joining the swarm");
  std::function<Result<void>()> join = [this, &run, leave] {
    return join_swarm(*run.node, *run.config, *join_, leave, run.facts);
  };
  run.changed = true;
  co_return co_await run_blocking(std::move(join));
}

// Beside the others' joining: a registry takes longer to start than the swarm to form.
Task Up::registries(MachineRun& run) {
  co_await run.in_place.wait();
  if (run.failed) co_return Result<void>{};
  for (std::size_t i = 0; i < run.registries.size(); ++i) {
    ApiReply found = i < run.facts.more.size() ? run.facts.more[i] : ApiReply{};
    co_await catalogue_done_.wait();
    LAB_CO_CHECK(catalogue_result_);
    std::function<Result<bool>()> ensure = [this, &run, &found, i]() -> Result<bool> {
      if (found.status == 0) {
        // The engine did not run when it was looked at.
        LAB_TRY(std::vector<ApiReply> again, call_api(run.node->session(), {run.questions[i]}));
        found = again.front();
      }
      return ensure_registry(*run.node, labfile_, *run.registries[i], found, progress_);
    };
    auto started = co_await run_blocking(std::move(ensure));
    if (!started) co_return started.error();
    run.changed = run.changed || *started;
    if (*started) LAB_CO_CHECK(co_await registry_answers(*run.registries[i]));
  }
  co_return Result<void>{};
}

Task Up::registry_answers(const RegistryConfig& registry) {
  const auto forwarded = [&registry](const ForwardConfig& forward) {
    return forward.machine == registry.machine && forward.port == registry.port;
  };
  RegistryToCheck check{{state_.id, registry.machine},
                        labfile_.find(registry.machine)->address,
                        registry.port,
                        registry.tls,
                        authority_pem_,
                        std::any_of(labfile_.forwards.begin(), labfile_.forwards.end(), forwarded)};
  co_return co_await wait_for_registry(*provider_, std::move(check), clock_, registry_time);
}

Task Up::settle() {
  if (!labfile_.swarm || source_ == nullptr || swarm_error_) co_return Result<void>{};
  std::vector<Member> members;
  bool anything = false;
  for (auto& [name, run] : runs_) {
    if (!in_swarm(run) || run.failed) continue;
    members.push_back({run.config, run.facts.swarm.node_id});
    anything = anything || run.changed;
  }
  json::value nodes;
  if (!anything && !source_->facts.more.empty()) nodes = source_->facts.more.back().json();
  if (anything) progress_.step(source_->config->name, "waiting for the swarm's nodes");
  std::function<Result<bool>()> work = [this, &members, &nodes] {
    return settle_swarm(*source_->node, nodes, members, clock_, settle_time);
  };
  auto settled = co_await run_blocking(std::move(work));
  if (!settled) co_return settled.error();
  source_->changed = source_->changed || *settled;
  co_return Result<void>{};
}

// Its shared folders first: files and commands may build on them.
Result<bool> Up::provision_now(MachineRun& run) {
  LAB_TRY(const std::vector<SyncOutcome> synced,
          sync_machine(run.node->session(), paths_, *run.config, clock_));
  for (const SyncOutcome& folder : synced)
    if (folder.changed()) progress_.step(run.config->name, folder.words());
  LAB_TRY(const bool provisioned, run.node->provision(run.plan, run.facts, progress_));
  return provisioned || std::any_of(synced.begin(), synced.end(),
                                    [](const SyncOutcome& folder) { return folder.changed(); });
}

Task Up::provision(MachineRun& run) {
  std::function<Result<bool>()> work = [this, &run] { return provision_now(run); };
  auto done = co_await run_blocking(std::move(work));
  if (done) run.changed = run.changed || *done;
  progress_.done(run.config->name, !done ? "failed" : run.changed ? "up" : "up to date");
  if (!done) co_return done.error();
  co_return Result<void>{};
}

// Wakes what sleeps, and finds what the others start from.
Task Up::ready_to_start() {
  const auto all_run = [this] {
    return std::all_of(runs_.begin(), runs_.end(),
                       [](const auto& run) { return run.second.was_running; });
  };
  provider_ = vm::make_libvirt_provider(labfile_.libvirt_uri);
  LAB_CO_CHECK(co_await wake());
  if (all_run()) co_return Result<void>{};
  progress_.step("lab", "guest image");
  auto image = co_await vm::ensure_image(labfile_.image, root_,
                                         [this](std::string line) { progress_.step("lab", line); });
  if (!image) {
    swarm_error_ = image.error();
    co_return image.error().wrap("guest image");
  }
  image_ = std::move(*image);
  for (const std::string& notice : provider_->notices()) progress_.notice(notice);
  if (!options_.cold) templates_.emplace(*provider_, root_, common_, progress_, executor_);
  co_return Result<void>{};
}

// All machines and the swarm that they make.
Task Up::form() {
  std::vector<Task> tasks;
  for (auto& [name, run] : runs_) tasks.push_back(one_machine(run));
  if (labfile_.swarm) {
    if (managers_awaited_ == 0) managers_known_.fire();
    tasks.push_back(begin_swarm());
  }
  auto results = co_await run_all(std::move(tasks));
  Result<void> outcome = joined_errors(results);
  if (auto settled = co_await settle(); !settled && outcome) outcome = settled;
  co_return outcome;
}

Task Up::machines() {
  const auto ready = co_await ready_to_start();
  may_start_ = ready.has_value();
  ready_.fire();
  LAB_CO_CHECK(ready);
  std::vector<Task> tasks;
  tasks.push_back(form());
  for (auto& [name, run] : runs_) tasks.push_back(registries(run));
  auto results = co_await run_all(std::move(tasks));
  Result<void> outcome = joined_errors(results);
  std::vector<Task> last;
  for (auto& [name, run] : runs_)
    if (!run.failed) last.push_back(provision(run));
  auto provisioned = co_await run_all(std::move(last));
  if (outcome) outcome = joined_errors(provisioned);
  co_return outcome;
}

asio::awaitable<Result<bool>> Up::run() {
  std::function<Result<void>()> begin = [this] { return prepare(); };
  auto prepared = co_await run_blocking(std::move(begin));
  if (!prepared) co_return prepared.error();
  std::vector<Task> tasks;
  tasks.push_back(catalogue());
  tasks.push_back(machines());
  auto results = co_await run_all(std::move(tasks));
  // The machines' error tells more.
  if (!results[1]) co_return results[1].error();
  if (!results[0]) co_return results[0].error();
  bool changed = labd_changed_;
  for (const auto& [name, run] : runs_) changed = changed || run.changed;
  co_return changed;
}

}  // namespace

asio::awaitable<Result<bool>> bring_up(Labfile labfile, UpOptions options, const Clock& clock,
                                       Progress& progress) {
  asio::any_io_executor executor = co_await asio::this_coro::executor;
  // On the heap: coroutines that run refer to it.
  auto up = std::make_unique<Up>(std::move(labfile), std::move(options), clock, progress, executor);
  co_return co_await up->run();
}

}  // namespace lab::provision
