// What a long command tells while it works. Called from several threads.
#pragma once

#include <string_view>

namespace lab::provision {

class Progress {
 public:
  virtual ~Progress() = default;
  // `subject` is a machine, or "lab" for what concerns all of them; `step` is what begins now.
  virtual void step(std::string_view subject, std::string_view step) = 0;
  // The subject is finished, with a closing word ("up", "up to date").
  virtual void done(std::string_view subject, std::string_view result) = 0;
  // Something that a person should know, once.
  virtual void notice(std::string_view text) = 0;
};

}  // namespace lab::provision
