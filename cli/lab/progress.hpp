// What `up`, `halt` and `destroy` show while they work: one live line for each machine on a
// terminal, plain lines elsewhere. On standard error.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "provision/progress.hpp"

namespace lab::cli {

class ProgressDisplay final : public provision::Progress {
 public:
  explicit ProgressDisplay(const Clock& clock);
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;
  ~ProgressDisplay() override;

  void step(std::string_view subject, std::string_view step) override;
  void done(std::string_view subject, std::string_view result) override;
  void notice(std::string_view text) override;
  // Leaves the lines as they are; what comes afterwards is printed below them.
  void finish();

 private:
  struct Line {
    std::string subject;
    std::string text;
    TimePoint since;
    bool finished = false;
  };
  Line& line_of(std::string_view subject);
  void set(std::string_view subject, std::string_view text, bool finished);
  void draw();
  void erase();
  void tick();

  const Clock& clock_;
  TimePoint begin_;
  bool live_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Line> lines_;
  std::size_t drawn_ = 0;
  bool ended_ = false;
  std::thread ticker_;
};

}  // namespace lab::cli
