// How long machines take from definition to a first command over SSH, all started at the same time.
//
//   boot_bench [MACHINES [CACHE_FOLDER [COMMAND [CLOUD_IMAGE]]]]
//
// Boots the recipe debian-12, or the cloud image (a file). Builds the image first when the cache
// lacks it. Prints one line per machine and the whole;
// with COMMAND also what that says on each machine. Leaves nothing but the image.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "provision/ssh.hpp"
#include "provision/ssh_keys.hpp"
#include "vm/provider.hpp"

namespace {

using lab::Result;

double seconds_since(lab::TimePoint start) {
  return std::chrono::duration<double>(lab::SystemClock().now() - start).count();
}

std::uint16_t free_port(int type) {
  const lab::Fd fd(socket(AF_INET, type, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return 0;
  return ntohs(address.sin_port);
}

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

template <typename T>
T must(Result<T> result) {
  if (result) {
    if constexpr (std::is_void_v<T>)
      return;
    else
      return std::move(result).value();
  }
  fmt::print(stderr, "boot_bench: {}\n", result.error().message);
  std::exit(1);
}

struct Lab {
  std::filesystem::path folder;
  lab::vm::GuestImage image;
  lab::provision::SshKeyPair user_key;
  lab::provision::SshKeyPair host_key;
};

lab::vm::MachineSpec machine_spec(const Lab& lab, int number) {
  lab::vm::MachineSpec spec;
  spec.id = {fmt::format("bench-{}", getpid()), fmt::format("vm{}", number)};
  spec.directory = lab.folder / spec.id.name;
  spec.memory_mib = 640;
  spec.image = lab.image;
  spec.identity.hostname = spec.id.name;
  spec.identity.lab_address = fmt::format("192.168.50.{}/24", number + 3);
  spec.identity.ssh_host_key = lab.host_key.private_key;
  spec.identity.ssh_host_key_pub = lab.host_key.public_key;
  spec.identity.authorized_keys = {lab.user_key.public_key};
  spec.lab_nic = {fmt::format("52:54:00:00:01:{:02x}", number), free_port(SOCK_DGRAM),
                  free_port(SOCK_DGRAM)};
  spec.ssh_port = free_port(SOCK_STREAM);
  return spec;
}

// From here on the machine is awaited; returns what the command printed.
std::string first_command(const Lab& lab, const lab::vm::MachineSpec& spec,
                          const std::string& command) {
  lab::provision::SshTarget target;
  target.name = spec.id.name;
  target.port = spec.ssh_port;
  target.private_key = lab.user_key.private_key;
  target.public_key = lab.user_key.public_key;
  target.host_key = lab.host_key.public_key;
  const lab::TimePoint start = lab::SystemClock().now();
  for (;;) {
    auto session = lab::provision::SshSession::connect(target, std::chrono::seconds(10));
    if (session) {
      const Result<std::string> said = session->exec_checked({.command = command});
      return said ? *said : said.error().message + "\n";
    }
    if (seconds_since(start) > 480) {
      fmt::print(stderr, "{}: {}\n{}\n", spec.id.name, session.error().message,
                 lab::vm::console_tail(spec.directory));
      return "never came up\n";
    }
    poll(nullptr, 0, 50);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 3;
  const char* home = std::getenv("HOME");
  const std::filesystem::path cache =
      argc > 2 ? argv[2] : std::filesystem::path(home ? home : "/") / ".cache/lab";
  const std::string command = argc > 3 ? argv[3] : "true";

  lab::vm::ImageRequest request;
  if (argc > 4) {
    request.cloud_image = argv[4];
  } else {
    request.recipe = "debian-12";
  }
  lab::TimePoint start = lab::SystemClock().now();
  Lab lab;
  lab.image = must(run(
      lab::vm::ensure_image(request, cache, [](std::string line) { fmt::print("{}\n", line); })));
  fmt::print("image {:.12} after {:.1f} s\n", lab.image.id, seconds_since(start));

  const lab::TemporaryDirectory folder("lab-boot-bench");
  lab.folder = folder.path();
  lab.user_key = must(lab::provision::make_ssh_key("bench"));
  lab.host_key = must(lab::provision::make_ssh_key("bench"));
  const auto provider = lab::vm::make_libvirt_provider();
  for (const std::string& notice : provider->notices()) fmt::print("{}\n", notice);

  start = lab::SystemClock().now();
  std::vector<std::thread> threads;
  for (int number = 1; number <= count; ++number) {
    threads.emplace_back([&, number] {
      const lab::vm::MachineSpec spec = machine_spec(lab, number);
      must(run(provider->define(spec)));
      must(run(provider->start(spec.id)));
      const double started = seconds_since(start);
      const std::string said = first_command(lab, spec, command);
      fmt::print("{}: started {:.2f} s, first command {:.2f} s\n{}", spec.id.name, started,
                 seconds_since(start), said);
    });
  }
  for (std::thread& thread : threads) thread.join();
  fmt::print("{} machines: {:.2f} s\n", count, seconds_since(start));

  const auto machines = must(run(provider->list(fmt::format("bench-{}", getpid()))));
  start = lab::SystemClock().now();
  must(run(provider->stop(machines.front().id, std::chrono::seconds(60))));
  fmt::print("the power button worked after {:.2f} s\n", seconds_since(start));
  start = lab::SystemClock().now();
  for (const auto& machine : machines) must(run(provider->destroy(machine.id)));
  fmt::print("destroyed in {:.2f} s\n", seconds_since(start));
}
