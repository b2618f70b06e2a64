#include "netsim/switch.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/file.hpp"
#include "netsim/frame_pool.hpp"

namespace lab::netsim {

namespace {

constexpr std::size_t batch = 64;
// One byte more than a frame may have, so that a longer one shows; rounded up to cache lines.
constexpr std::size_t receive_bytes = (frame_bytes_max + 1 + 63) / 64 * 64;
constexpr int socket_buffer_bytes = 4 << 20;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A larger buffer than the system's default rides out moments in which the switch does not run.
void enlarge(int fd, int forced_option, int option) {
  if (setsockopt(fd, SOL_SOCKET, forced_option, &socket_buffer_bytes, sizeof(int)) != 0) {
    (void)setsockopt(fd, SOL_SOCKET, option, &socket_buffer_bytes, sizeof(int));
  }
}

Result<Fd> open_socket(const SwitchPort& port) {
  Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error(errno, "opening a UDP socket");
  enlarge(fd.get(), SO_RCVBUFFORCE, SO_RCVBUF);
  enlarge(fd.get(), SO_SNDBUFFORCE, SO_SNDBUF);
  const sockaddr_in ours = loopback(port.switch_port);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&ours), sizeof ours) != 0) {
    const int number = errno;
    Error error = errno_error(number, fmt::format("switch port of {}: binding 127.0.0.1:{}",
                                                  port.machine, port.switch_port));
    if (number == EADDRINUSE) error.code = Code::conflict;
    return error;
  }
  // Connected: frames from any other sender are refused by the kernel.
  const sockaddr_in theirs = loopback(port.nic_port);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&theirs), sizeof theirs) != 0) {
    return errno_error(errno, fmt::format("switch port of {}: connecting to 127.0.0.1:{}",
                                          port.machine, port.nic_port));
  }
  return fd;
}

// What the link did to a copy; only told to those who watch.
constexpr std::uint8_t mark_corrupted = 1;
constexpr std::uint8_t mark_duplicate = 2;

// A delayed copy. The heap's top is the one that is due first; equal times keep their order.
struct Waiting {
  TimePoint due;
  std::uint64_t sequence;
  unsigned char* frame;
  std::uint16_t size;
  std::uint8_t marks;
  PortIndex from;
  PortIndex to;

  static bool later(const Waiting& a, const Waiting& b) {
    return a.due != b.due ? a.due > b.due : a.sequence > b.sequence;
  }
};

// System calls' argument tables, wired once.
struct Batch {
  Batch() {
    for (std::size_t i = 0; i < batch; ++i) {
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  std::array<mmsghdr, batch> messages;
  std::array<iovec, batch> pieces{};
};

struct Port {
  SwitchPort config;
  Fd socket;  // none: the port is out of use
  Batch out;
  std::array<PortIndex, batch> out_from{};
  std::array<std::uint8_t, batch> out_marks{};
  std::size_t out_count = 0;
  // The frame sent last: what a refusal is about, which the kernel reports afterwards.
  PortIndex last_from = 0;
  std::size_t last_size = 0;  // 0: none, or accounted for
};

}  // namespace

struct Switch::Impl {
  Impl(const Clock& a_clock, const Random& random) : clock(a_clock), bridge(random) {
    for (std::size_t i = 0; i < batch; ++i) {
      in.pieces[i] = {&receive_buffer[i * receive_bytes], receive_bytes};
    }
  }

  void run();
  void run_once(Duration wait_max);
  void collect_ports();
  void receive(PortIndex index, TimePoint now);
  void dispatch(PortIndex from, unsigned char* frame, std::size_t size, TimePoint now);
  void put_out(PortIndex from, PortIndex to, const unsigned char* frame, std::size_t size,
               std::uint8_t marks);
  void show(PortIndex from, PortIndex to, std::span<const unsigned char> bytes, Drop drop,
            std::uint8_t marks);
  void show_losses(std::span<const unsigned char> bytes, std::uint8_t marks);
  void release_due(TimePoint now);
  void flush(PortIndex index);
  void refused(PortIndex index);
  void flush_all();
  unsigned char* copy_of(const unsigned char* frame, std::size_t size);
  void close_port(PortIndex index);
  void discard_all();
  Result<void> prepare();
  void wake();

  const Clock& clock;
  Fd wake_fd;  // ends the wait: the ports change, or stop()
  // Held while the thread waits: a socket that is closed then keeps its port number until the wait
  // ends. Taken after `mutex`.
  std::mutex poll_mutex;
  std::thread thread;
  std::atomic<bool> stopping{false};

  // Everything below is guarded by `mutex`. The thread gives way to those who wait for it.
  mutable std::mutex mutex;
  mutable std::atomic<int> waiting{0};
  Bridge bridge;
  std::vector<std::unique_ptr<Port>> ports;  // by PortIndex; never shrinks
  std::vector<PortIndex> order;              // of set_ports()
  std::vector<Waiting> heap;
  std::uint64_t next_sequence = 0;
  FramePool pool{frame_bytes_max};
  std::vector<Bridge::Output> outputs;
  std::vector<PortIndex> touched;                                   // ports with something to send
  std::vector<std::pair<unsigned char*, std::size_t>> sent_frames;  // to give back after flushing
  std::unique_ptr<unsigned char[]> receive_buffer =
      std::make_unique_for_overwrite<unsigned char[]>(batch * receive_bytes);
  Batch in;

  std::optional<TimePoint> paused_since;  // the thread then polls wake_fd only
  std::vector<std::shared_ptr<FrameTap>> taps;
  std::vector<Loss> losses;  // not shown yet; stays empty without a tap

  std::uint64_t ports_version = 1;

  // Only the thread's. poll() and not epoll: a socket that epoll watches is slower to send on, as
  // each frame sent makes the kernel look for who waits to write.
  TimePoint next_due = TimePoint::max();
  std::vector<pollfd> polled;  // wake_fd, then those of polled_ports
  std::vector<PortIndex> polled_ports;
  std::uint64_t polled_version = 0;

  // Held by everyone but the switch's own thread.
  class Access {
   public:
    explicit Access(const Impl& impl) : impl_(impl) {
      ++impl_.waiting;
      lock_ = std::unique_lock(impl_.mutex);
      --impl_.waiting;
    }

   private:
    const Impl& impl_;
    std::unique_lock<std::mutex> lock_;
  };
};

void Switch::Impl::wake() {
  const std::uint64_t one = 1;
  (void)!write(wake_fd.get(), &one, sizeof one);
}

Result<void> Switch::Impl::prepare() {
  if (wake_fd) return {};
  wake_fd = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_fd) return errno_error(errno, "setting up the switch");
  return {};
}

unsigned char* Switch::Impl::copy_of(const unsigned char* frame, std::size_t size) {
  unsigned char* copy = pool.take(size);
  std::memcpy(copy, frame, size);
  return copy;
}

void Switch::Impl::put_out(PortIndex from, PortIndex to, const unsigned char* frame,
                           std::size_t size, std::uint8_t marks) {
  Port& port = *ports[to];
  if (port.out_count == batch) flush(to);
  if (port.out_count == 0) touched.push_back(to);
  port.out.pieces[port.out_count] = {const_cast<unsigned char*>(frame), size};
  port.out_marks[port.out_count] = marks;
  port.out_from[port.out_count++] = from;
}

void Switch::Impl::show(PortIndex from, PortIndex to, std::span<const unsigned char> bytes,
                        Drop drop, std::uint8_t marks) {
  const SeenFrame frame{clock.wall_now(),
                        ports[from]->config.machine,
                        ports[to]->config.machine,
                        bytes,
                        drop,
                        (marks & mark_corrupted) != 0,
                        (marks & mark_duplicate) != 0};
  for (const auto& tap : taps) tap->seen(frame);
}

void Switch::Impl::show_losses(std::span<const unsigned char> bytes, std::uint8_t marks) {
  for (const Loss& loss : losses) show(loss.from, loss.to, bytes, loss.drop, marks);
  losses.clear();
}

void Switch::Impl::dispatch(PortIndex from, unsigned char* frame, std::size_t size, TimePoint now) {
  outputs.clear();
  bridge.forward(now, from, {frame, size}, outputs);
  if (!losses.empty()) [[unlikely]]
    show_losses({frame, size}, 0);
  for (const Bridge::Output& output : outputs) {
    if (!output.delayed && !output.corrupted) [[likely]] {
      put_out(from, output.to, frame, size, output.duplicate ? mark_duplicate : 0);
      continue;
    }
    const auto marks = static_cast<std::uint8_t>((output.corrupted ? mark_corrupted : 0) |
                                                 (output.duplicate ? mark_duplicate : 0));
    unsigned char* copy = copy_of(frame, size);
    if (output.corrupted) {
      copy[output.corrupt_bit / 8] ^= static_cast<unsigned char>(1U << output.corrupt_bit % 8);
    }
    if (output.delayed) {
      heap.push_back({output.arrival, next_sequence++, copy, static_cast<std::uint16_t>(size),
                      marks, from, output.to});
      std::push_heap(heap.begin(), heap.end(), Waiting::later);
    } else {
      put_out(from, output.to, copy, size, marks);
      sent_frames.emplace_back(copy, size);
    }
  }
}

void Switch::Impl::receive(PortIndex index, TimePoint now) {
  Port& port = *ports[index];
  if (!port.socket) return;
  int count = recvmmsg(port.socket.get(), in.messages.data(), batch, MSG_DONTWAIT, nullptr);
  // A machine that is gone shows as ECONNREFUSED, once for each frame sent to it.
  if (count < 0 && errno == ECONNREFUSED) {
    refused(index);
    count = recvmmsg(port.socket.get(), in.messages.data(), batch, MSG_DONTWAIT, nullptr);
  }
  for (int i = 0; i < count; ++i) {
    const mmsghdr& message = in.messages[static_cast<std::size_t>(i)];
    const std::size_t size = message.msg_len;
    auto* frame = static_cast<unsigned char*>(message.msg_hdr.msg_iov->iov_base);
    if ((message.msg_hdr.msg_flags & MSG_TRUNC) != 0) {
      bridge.malformed(index);
    } else {
      dispatch(index, frame, size, now);
    }
  }
}

void Switch::Impl::release_due(TimePoint now) {
  while (!heap.empty() && heap.front().due <= now) {
    const Waiting due = heap.front();
    std::pop_heap(heap.begin(), heap.end(), Waiting::later);
    heap.pop_back();
    if (bridge.arrived(due.from, due.to)) {
      put_out(due.from, due.to, due.frame, due.size, due.marks);
    } else if (!losses.empty()) {
      show_losses({due.frame, due.size}, due.marks);
    }
    sent_frames.emplace_back(due.frame, due.size);
  }
}

// The machine has no card at present: the frame sent to it last was not taken.
void Switch::Impl::refused(PortIndex index) {
  Port& port = *ports[index];
  if (port.last_size > 0) bridge.refused(port.last_from, index, std::exchange(port.last_size, 0));
}

void Switch::Impl::flush(PortIndex index) {
  Port& port = *ports[index];
  bool tried = false;
  const auto bytes_of = [&port](std::size_t i) {
    const iovec& piece = port.out.pieces[i];
    return std::span(static_cast<const unsigned char*>(piece.iov_base), piece.iov_len);
  };
  for (std::size_t done = 0; done < port.out_count;) {
    const int count = sendmmsg(port.socket.get(), &port.out.messages[done],
                               static_cast<unsigned>(port.out_count - done), MSG_DONTWAIT);
    if (count > 0) {
      for (int i = 0; i < count; ++i, ++done) {
        bridge.sent(port.out_from[done], index, port.out.pieces[done].iov_len);
        if (!taps.empty()) [[unlikely]]
          show(port.out_from[done], index, bytes_of(done), Drop::none, port.out_marks[done]);
      }
      port.last_from = port.out_from[done - 1];
      port.last_size = port.out.pieces[done - 1].iov_len;
      // Stopped short: the error of the next one is swallowed, and nearly always a refusal.
      if (done < port.out_count) refused(index);
      tried = false;
    } else if (errno == EINTR) {
      continue;
    } else if (errno == ECONNREFUSED && !tried) {
      refused(index);  // of an earlier frame; this one was not tried yet
      tried = true;
    } else {
      bridge.dropped(port.out_from[done], index, Drop::down);
      show_losses(bytes_of(done), port.out_marks[done]);
      ++done;
      tried = false;
    }
  }
  port.out_count = 0;
}

void Switch::Impl::flush_all() {
  for (const PortIndex index : touched) flush(index);
  touched.clear();
  for (const auto& [frame, size] : sent_frames) pool.give(frame, size);
  sent_frames.clear();
}

void Switch::Impl::run_once(Duration wait_max) {
  if (polled.empty()) {
    const std::lock_guard lock(mutex);
    collect_ports();
  }
  const Duration until_due =
      next_due == TimePoint::max() ? wait_max : std::max(Duration{0}, next_due - clock.now());
  const Duration wait = std::min(wait_max, until_due);
  const timespec timeout{
      static_cast<time_t>(std::chrono::duration_cast<std::chrono::seconds>(wait).count()),
      static_cast<long>((wait % std::chrono::seconds{1}).count())};
  int count = 0;
  {
    const std::lock_guard lock(poll_mutex);
    count = ppoll(polled.data(), polled.size(), &timeout, nullptr);
  }
  while (waiting.load() > 0) std::this_thread::yield();
  const std::lock_guard lock(mutex);
  const TimePoint now = clock.now();
  if (!paused_since) [[likely]] {
    release_due(now);
    flush_all();
  }
  if (polled_version != ports_version) {
    collect_ports();
  } else if (count > 0) {
    std::uint64_t wakes = 0;
    if (polled[0].revents != 0) (void)!read(wake_fd.get(), &wakes, sizeof wakes);
    for (std::size_t i = 0; i < polled_ports.size(); ++i) {
      if (polled[i + 1].revents == 0) continue;
      receive(polled_ports[i], now);
      flush_all();
    }
  }
  next_due = heap.empty() || paused_since ? TimePoint::max() : heap.front().due;
}

void Switch::Impl::collect_ports() {
  polled = {{wake_fd.get(), POLLIN, 0}};
  polled_ports = paused_since ? std::vector<PortIndex>() : order;
  for (const PortIndex port : polled_ports)
    polled.push_back({ports[port]->socket.get(), POLLIN, 0});
  polled_version = ports_version;
}

void Switch::Impl::run() {
  // The kernel's default lets a timer be 50 us late.
  (void)prctl(PR_SET_TIMERSLACK, 1000UL);
  (void)prctl(PR_SET_NAME, "switch");
  while (!stopping.load()) run_once(std::chrono::seconds{3600});
}

void Switch::Impl::close_port(PortIndex index) {
  ports[index]->socket.reset();
  ports[index]->last_size = 0;
  bridge.set_used(index, false);
  std::erase_if(heap, [&](const Waiting& waiting_frame) {
    if (waiting_frame.from != index && waiting_frame.to != index) return false;
    pool.give(waiting_frame.frame, waiting_frame.size);
    return true;
  });
  std::make_heap(heap.begin(), heap.end(), Waiting::later);
}

Switch::Switch(const Clock& clock, const Random& random)
    : impl_(std::make_unique<Impl>(clock, random)) {}

Switch::~Switch() { stop(); }

Result<void> Switch::set_ports(const std::vector<SwitchPort>& ports) {
  const Impl::Access access(*impl_);
  LAB_CHECK(impl_->prepare());
  impl_->wake();
  const std::lock_guard no_wait(impl_->poll_mutex);
  ++impl_->ports_version;
  const auto wanted = [&](const SwitchPort& port) {
    return std::find(ports.begin(), ports.end(), port) != ports.end();
  };
  // A number that goes to another machine, or gets another card, has to be free for it.
  for (std::size_t index = 0; index < impl_->ports.size(); ++index) {
    const Port& port = *impl_->ports[index];
    const bool moves = std::any_of(ports.begin(), ports.end(), [&](const SwitchPort& other) {
      return other.switch_port == port.config.switch_port;
    });
    if (port.socket && moves && !wanted(port.config)) {
      impl_->close_port(static_cast<PortIndex>(index));
    }
  }
  std::vector<PortIndex> order;
  std::vector<std::pair<std::size_t, Fd>> opened;  // index in `ports`
  constexpr PortIndex unassigned = 0xffff;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const auto same = std::find_if(impl_->ports.begin(), impl_->ports.end(), [&](const auto& port) {
      return port->socket && port->config == ports[i];
    });
    if (same != impl_->ports.end()) {
      order.push_back(static_cast<PortIndex>(same - impl_->ports.begin()));
      continue;
    }
    order.push_back(unassigned);
    LAB_TRY(Fd fd, open_socket(ports[i]));
    opened.emplace_back(i, std::move(fd));
  }
  for (std::size_t index = 0; index < impl_->ports.size(); ++index) {
    const Port& port = *impl_->ports[index];
    if (port.socket && !wanted(port.config)) impl_->close_port(static_cast<PortIndex>(index));
  }
  for (auto& [i, fd] : opened) {
    const auto unused = std::find_if(impl_->ports.begin(), impl_->ports.end(),
                                     [](const auto& port) { return !port->socket; });
    const auto index = static_cast<PortIndex>(unused - impl_->ports.begin());
    if (unused == impl_->ports.end()) {
      impl_->ports.push_back(std::make_unique<Port>());
      impl_->bridge.grow(impl_->ports.size());
    }
    impl_->ports[index]->config = ports[i];
    impl_->ports[index]->socket = std::move(fd);
    impl_->bridge.set_used(index, true);
    order[i] = index;
  }
  impl_->order = std::move(order);
  return {};
}

void Switch::set_links(
    const std::function<LinkSetting(const std::string&, const std::string&)>& setting) {
  const Impl::Access access(*impl_);
  for (const PortIndex from : impl_->order) {
    for (const PortIndex to : impl_->order) {
      if (from == to) continue;
      const LinkSetting link =
          setting(impl_->ports[from]->config.machine, impl_->ports[to]->config.machine);
      impl_->bridge.set_quality(from, to, link.quality);
      impl_->bridge.set_reachable(from, to, link.reachable);
    }
  }
}

std::vector<Switch::PortReport> Switch::ports() const {
  const Impl::Access access(*impl_);
  std::vector<PortReport> reports;
  for (const PortIndex port : impl_->order) {
    reports.push_back({impl_->ports[port]->config.machine, impl_->bridge.counters(port)});
  }
  return reports;
}

std::vector<Switch::LinkReport> Switch::links() const {
  const Impl::Access access(*impl_);
  std::vector<LinkReport> reports;
  for (const PortIndex from : impl_->order) {
    for (const PortIndex to : impl_->order) {
      if (from == to) continue;
      reports.push_back({impl_->ports[from]->config.machine, impl_->ports[to]->config.machine,
                         impl_->bridge.under_way(from, to), impl_->bridge.counters(from, to)});
    }
  }
  return reports;
}

void Switch::Impl::discard_all() {
  for (const Waiting& frame : heap) {
    (void)bridge.arrived(frame.from, frame.to);
    pool.give(frame.frame, frame.size);
  }
  heap.clear();
  losses.clear();
  for (const PortIndex port : order) {
    // An error is a refusal of an earlier frame: there may be frames behind it.
    while (recvmmsg(ports[port]->socket.get(), in.messages.data(), batch, MSG_DONTWAIT, nullptr) >=
               0 ||
           errno == ECONNREFUSED) {
    }
    ports[port]->last_size = 0;
  }
}

void Switch::pause() {
  const Impl::Access access(*impl_);
  if (impl_->paused_since) return;
  impl_->paused_since = impl_->clock.now();
  ++impl_->ports_version;
  impl_->wake();
}

void Switch::resume(bool discard) {
  const Impl::Access access(*impl_);
  if (!impl_->paused_since) return;
  if (discard) impl_->discard_all();
  const Duration held = impl_->clock.now() - *impl_->paused_since;
  for (Waiting& frame : impl_->heap) frame.due += held;  // their order stays
  impl_->paused_since.reset();
  ++impl_->ports_version;
  impl_->wake();
}

void Switch::attach(std::shared_ptr<FrameTap> tap) {
  const Impl::Access access(*impl_);
  impl_->taps.push_back(std::move(tap));
  impl_->bridge.watch_losses(&impl_->losses);
}

void Switch::detach(const FrameTap* tap) {
  const Impl::Access access(*impl_);
  std::erase_if(impl_->taps, [tap](const auto& other) { return other.get() == tap; });
  if (impl_->taps.empty()) impl_->bridge.watch_losses(nullptr);
}

Result<void> Switch::start() {
  {
    const Impl::Access access(*impl_);
    LAB_CHECK(impl_->prepare());
  }
  impl_->stopping = false;
  impl_->thread = std::thread([this] { impl_->run(); });
  return {};
}

void Switch::run_once(Duration wait_max) { impl_->run_once(wait_max); }

void Switch::stop() {
  if (!impl_->thread.joinable()) return;
  impl_->stopping = true;
  impl_->wake();
  impl_->thread.join();
}

}  // namespace lab::netsim
