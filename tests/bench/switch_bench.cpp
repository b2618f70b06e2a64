// How much of a bare relay's speed the lab's switch keeps. Both run on one core: frames are queued
// in the socket, then only the relay's own work (system calls and the kernel's delivery to the
// receiver included) is timed, in time of this thread on the core, not of the clock. Rounds
// alternate, so that a noisy machine slows both alike; the ratio is the median of the rounds'.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <vector>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "netsim/switch.hpp"

namespace lab::netsim {
namespace {

constexpr std::size_t batch = 64;
constexpr int rounds = 15;
constexpr int batches_per_round = 300;

// Nanoseconds that this thread has run.
std::int64_t core_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

struct Socket {
  Fd fd;
  std::uint16_t port = 0;
};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void check(bool ok, const char* what) {
  if (ok) return;
  fmt::print(stderr, "switch_bench: {}: {}\n", what, std::strerror(errno));
  std::exit(1);
}

Socket make_socket() {
  Socket made{Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), 0};
  sockaddr_in address = loopback(0);
  check(bind(made.fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "bind");
  const int size = 4 << 20;
  if (setsockopt(made.fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
    (void)setsockopt(made.fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }
  socklen_t length = sizeof address;
  check(getsockname(made.fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0, "name");
  made.port = ntohs(address.sin_port);
  return made;
}

void connect_to(const Socket& socket, std::uint16_t port) {
  const sockaddr_in address = loopback(port);
  check(connect(socket.fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
        "connect");
}

struct Messages {
  explicit Messages(std::size_t size) : buffers(batch * 9088) {
    for (std::size_t i = 0; i < batch; ++i) {
      pieces[i] = {&buffers[i * 9088], size};
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
  std::vector<unsigned char> buffers;
  std::array<iovec, batch> pieces{};
  std::array<mmsghdr, batch> messages{};
};

// A source, a sink, and what is between them: `relay()` forwards what is queued.
struct Path {
  Socket source = make_socket();
  Socket sink = make_socket();
  Messages sent;
  Messages received{9088};
  std::uint64_t lost = 0;

  explicit Path(std::size_t frame_size) : sent(frame_size) {
    for (std::size_t i = 0; i < batch; ++i) {
      unsigned char* frame = &sent.buffers[i * 9088];
      const std::array<unsigned char, 14> header{0x52, 0x54, 0, 0, 0, 2, 0x52,
                                                 0x54, 0,    0, 0, 1, 8, 0};
      std::copy(header.begin(), header.end(), frame);
    }
  }

  // Nanoseconds that the relay worked for one round, and the frames that it forwarded in it.
  template <typename Relay>
  std::pair<std::int64_t, std::uint64_t> round(Relay&& relay) {
    std::int64_t busy = 0;
    std::uint64_t frames = 0;
    for (int i = 0; i < batches_per_round; ++i) {
      check(sendmmsg(source.fd.get(), sent.messages.data(), batch, 0) == int{batch}, "send");
      const std::int64_t start = core_time();
      relay();
      busy += core_time() - start;
      for (;;) {
        const int count =
            recvmmsg(sink.fd.get(), received.messages.data(), batch, MSG_DONTWAIT, nullptr);
        if (count <= 0) break;
        frames += static_cast<std::uint64_t>(count);
      }
    }
    return {busy, frames};
  }
};

struct Bare {
  Socket in = make_socket();
  Socket out = make_socket();
  Messages messages{9088};

  void operator()() {
    const int count = recvmmsg(in.fd.get(), messages.messages.data(), batch, MSG_DONTWAIT, nullptr);
    check(count > 0, "recvmmsg");
    for (int i = 0; i < count; ++i) {
      messages.pieces[static_cast<std::size_t>(i)].iov_len =
          messages.messages[static_cast<std::size_t>(i)].msg_len;
    }
    check(
        sendmmsg(out.fd.get(), messages.messages.data(), static_cast<unsigned>(count), 0) == count,
        "sendmmsg");
    for (iovec& piece : messages.pieces) piece.iov_len = 9088;
  }
};

std::uint16_t free_port() { return make_socket().port; }

double rate(std::pair<std::int64_t, std::uint64_t> round) {
  return static_cast<double>(round.second) * 1e9 / static_cast<double>(round.first);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

void bench(std::size_t frame_size, const char* name, const LinkQuality& quality) {
  Path bare_path(frame_size);
  Bare bare;
  connect_to(bare_path.source, bare.in.port);
  connect_to(bare.out, bare_path.sink.port);

  const SystemClock clock;
  Switch lab_switch(clock, Random(1));
  Path path(frame_size);
  Socket bystander = make_socket();
  const std::uint16_t source_port = free_port();
  const std::uint16_t sink_port = free_port();
  const auto made = lab_switch.set_ports({{"source", source_port, path.source.port},
                                          {"sink", sink_port, path.sink.port},
                                          {"bystander", free_port(), bystander.port}});
  if (!made) fmt::print(stderr, "switch_bench: {}\n", made.error().message);
  if (!made) std::exit(1);
  connect_to(path.source, source_port);
  connect_to(path.sink, sink_port);
  std::array<unsigned char, 60> hello{0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2, 8, 0};
  check(send(path.sink.fd.get(), hello.data(), hello.size(), 0) > 0, "hello");
  lab_switch.run_once(std::chrono::seconds{1});
  lab_switch.set_links([&](const std::string&, const std::string&) -> LinkSetting {
    return {quality, true};
  });

  std::vector<double> bare_rates;
  std::vector<double> rates;
  std::vector<double> ratios;
  for (int i = 0; i < rounds; ++i) {
    bare_rates.push_back(rate(bare_path.round(bare)));
    rates.push_back(rate(path.round([&] { lab_switch.run_once(Duration{0}); })));
    ratios.push_back(rates.back() / bare_rates.back());
  }
  const double bits = static_cast<double>(frame_size) * 8 / 1e9;
  fmt::print("{:>5}  {:<28} {:>9.0f} {:>7.2f}  {:>9.0f} {:>7.2f}  {:>5.2f}\n", frame_size, name,
             median(bare_rates), median(bare_rates) * bits, median(rates), median(rates) * bits,
             median(ratios));
}

int run() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  (void)sched_setaffinity(0, sizeof one, &one);
  fmt::print("                                       bare relay          lab's switch\n");
  fmt::print("bytes  link                         frames/s  Gbit/s   frames/s  Gbit/s  ratio\n");
  LinkQuality lossy;  // the model decides for each frame, nearly all pass
  lossy.loss = 1e-6;
  LinkQuality busy = lossy;
  busy.duplicate = 1e-6;
  busy.corrupt = 1e-6;
  LinkQuality slow;  // each frame is copied, waits in the queue and is sent later
  slow.delay = std::chrono::microseconds{20};
  slow.jitter = std::chrono::microseconds{10};
  slow.limit_frames = 10'000;
  for (const std::size_t size : {std::size_t{64}, std::size_t{1500}}) {
    bench(size, "perfect", {});
    bench(size, "loss", lossy);
    bench(size, "loss, duplicate, corrupt", busy);
    bench(size, "delay 20us, jitter 10us", slow);
  }
  return 0;
}

}  // namespace
}  // namespace lab::netsim

int main() { return lab::netsim::run(); }
