// The lab's switch: one UDP socket on 127.0.0.1 for each machine's network card, one datagram for
// each Ethernet frame, a Bridge between them. Runs in a thread of its own; every function may be
// called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/random.hpp"
#include "netsim/bridge.hpp"
#include "netsim/quality.hpp"

namespace lab::netsim {

struct SwitchPort {
  std::string machine;
  std::uint16_t switch_port = 0;  // we are bound to it
  std::uint16_t nic_port = 0;     // we send to it, and take frames from nowhere else

  bool operator==(const SwitchPort&) const = default;
};

struct LinkSetting {
  LinkQuality quality;
  bool reachable = true;
};

// What became of one copy of a frame on the way from one machine to another.
struct SeenFrame {
  WallTime time;  // when it was handed over, or dropped
  const std::string& from;
  const std::string& to;
  std::span<const unsigned char> bytes;
  Drop drop = Drop::none;
  bool corrupted = false;
  bool duplicate = false;  // the second copy
};

// Sees every frame, in the switch's thread: what it does there holds up the network.
class FrameTap {
 public:
  virtual ~FrameTap() = default;
  virtual void seen(const SeenFrame& frame) = 0;
};

class Switch {
 public:
  struct LinkReport {
    std::string from;
    std::string to;
    std::uint32_t under_way = 0;
    LinkCounters counters;
  };
  struct PortReport {
    std::string machine;
    PortCounters counters;
  };

  // `clock` outlives the switch.
  Switch(const Clock& clock, const Random& random);
  Switch(const Switch&) = delete;
  Switch& operator=(const Switch&) = delete;
  ~Switch();  // as stop()

  // From now on exactly these ports. Those that did not change keep their sockets, links and
  // counters. On an error (a port is taken: Code::conflict) nothing has changed, except that a port
  // whose number was to move is closed.
  [[nodiscard]] Result<void> set_ports(const std::vector<SwitchPort>& ports);
  // Asks `setting` for every ordered pair of different machines. Frames under way keep their
  // arrival, unless they are cut off.
  void set_links(
      const std::function<LinkSetting(const std::string& from, const std::string& to)>& setting);

  // In the order of set_ports().
  [[nodiscard]] std::vector<PortReport> ports() const;
  [[nodiscard]] std::vector<LinkReport> links() const;

  // The tap sees frames from now on, until it is detached. Malformed frames are not shown: they are
  // on no link.
  void attach(std::shared_ptr<FrameTap> tap);
  void detach(const FrameTap* tap);

  // No frame is taken, handed over or lost from the return of pause() until resume(); frames that
  // come meanwhile wait in the sockets, as long as there is room, and delayed ones keep what is
  // left of their delay. With `discard` all of those are thrown away instead, uncounted: they come
  // from machines that are no more as they were. Pausing twice is pausing once.
  void pause();
  void resume(bool discard);

  [[nodiscard]] Result<void> start();
  void stop();
  // What the thread does over and over: waits at most `wait_max` for frames or for delayed ones to
  // be due, and forwards them. For tests and benchmarks, instead of start().
  void run_once(Duration wait_max);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lab::netsim
