#include "engine/engine.hpp"

#include <boost/asio/post.hpp>

#include "base/file.hpp"
#include "base/openssl_random.hpp"
#include "base/random.hpp"
#include "engine/util/spawn.hpp"

namespace lab::engine {

namespace {

constexpr int lock_wait_ms = 2000;

constexpr const char* machine_id_file = "/etc/machine-id";

// "4PYK:OHF4:...": twelve groups of four, as dockerd names an engine.
std::string make_engine_id() {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string id;
  for (unsigned char byte : secure_random_bytes(48)) {
    if (id.size() % 5 == 4) id += ':';
    id += letters[byte % letters.size()];
  }
  return id;
}

}  // namespace

Result<Fd> lock_data_root(const std::filesystem::path& data_root) {
  Result<Fd> lock = lock_file(data_root / "engined.lock", lock_wait_ms);
  if (lock) return lock;
  return make_error(Code::conflict, "another engine uses {}: {}", data_root.string(),
                    lock.error().message);
}

Engine::Engine(const boost::asio::any_io_executor& executor, DaemonConfig config,
               const Clock& clock, Fd lock, std::unique_ptr<DocumentStore> store,
               std::unique_ptr<image::ImageStore> images)
    : executor_(executor),
      config_(std::move(config)),
      clock_(clock),
      lock_(std::move(lock)),
      store_(std::move(store)),
      images_(std::move(images)),
      events_(executor, clock),
      volumes_(config_.data_root, *store_, clock),
      networks_(executor, network::Networks::Options{config_.exec_root, config_.bip, config_.mtu},
                *store_, clock),
      runtime_(container::Runtime::Options{config_.crun, config_.conmon, config_.exec_root}),
      containers_(container::Services{executor, clock, *store_, *images_, networks_, volumes_,
                                      runtime_, events_, config_.data_root}),
      execs_(containers_),
      health_(containers_, execs_),
      log_rotation_(containers_) {
  containers_.on_running([this](const container::ContainerPtr& container) {
    health_.watch(container);
    log_rotation_.watch(container);
  });
}

Result<std::unique_ptr<Engine>> Engine::open(const boost::asio::any_io_executor& executor,
                                             DaemonConfig config, const Clock& clock) {
  LAB_TRY(config.crun, find_program(config.crun));
  LAB_TRY(config.conmon, find_program(config.conmon));
  LAB_CHECK(make_directories(config.data_root, 0711));
  LAB_CHECK(make_directories(config.exec_root, 0711));
  LAB_TRY(Fd lock, lock_data_root(config.data_root));
  LAB_TRY(auto store, DocumentStore::open(config.data_root / "containers.db"));
  image::StoreOptions image_options;
  image_options.data_root = config.data_root;
  LAB_TRY(auto images, image::ImageStore::open(image_options, clock));
  std::unique_ptr<Engine> engine(new Engine(executor, std::move(config), clock, std::move(lock),
                                            std::move(store), std::move(images)));
  LAB_CHECK(engine->load());
  return engine;
}

Result<bool> Engine::identify() {
  constexpr const char* kind = "engine";
  std::string known_machine;
  id_.clear();
  LAB_TRY(const auto found, store_->all(kind));
  for (const auto& [key, text] : found) {
    if (key == "id") id_ = text;
    if (key == "machine") known_machine = text;
  }
  const Result<std::string> machine_id = read_file(machine_id_file);
  const std::string machine = machine_id ? *machine_id : std::string();
  const bool copied = !known_machine.empty() && !machine.empty() && machine != known_machine;
  if (copied || id_.empty()) {
    id_ = make_engine_id();
    LAB_CHECK(store_->put(kind, "id", id_));
  }
  if (machine != known_machine) LAB_CHECK(store_->put(kind, "machine", machine));
  return copied;
}

Result<void> Engine::load() {
  LAB_CHECK(identify());
  LAB_CHECK(volumes_.load());
  LAB_CHECK(containers_.load());
  images_->set_users(&containers_);
  // Told from any thread.
  images_->set_event_sink([this](image::ImageEvent event) {
    boost::asio::post(executor_, [this, event = std::move(event)] {
      events_.emit("image", event.action, event.actor_id, {{"name", event.name}});
    });
  });
  return {};
}

boost::asio::awaitable<Result<void>> Engine::start() {
  LAB_CO_CHECK(co_await networks_.start(containers_.live_sandboxes()));
  co_await containers_.restore();
  co_return Result<void>();
}

boost::asio::awaitable<Result<void>> Engine::reload(DaemonConfig fresh) {
  config_.debug = fresh.debug;
  config_.labels = std::move(fresh.labels);
  config_.registry.mirrors = std::move(fresh.registry.mirrors);
  config_.registry.insecure_registries = std::move(fresh.registry.insecure_registries);
  LAB_CO_TRY(const bool copied, identify());
  if (copied) {
    reseed_openssl();
    LAB_CO_CHECK(co_await networks_.renew_predefined());
  }
  events_.emit("daemon", "reload", id_, {});
  co_return Result<void>();
}

}  // namespace lab::engine
