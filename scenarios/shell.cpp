#include "scenarios/shell.hpp"

#include <charconv>
#include <vector>

#include "base/random.hpp"
#include "base/subprocess.hpp"
#include "scenarios/pattern.hpp"

namespace lab::scenarios {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t output_bytes_max = std::size_t{16} << 20;
constexpr std::size_t tail_bytes = 600;

std::string tail_of(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty()) return "; it printed nothing";
  const bool cut = text.size() > tail_bytes;
  if (cut) text.remove_prefix(text.size() - tail_bytes);
  return fmt::format("; it printed last:\n{}{}", cut ? "..." : "", text);
}

// Each command is followed by a line that no command can know in advance: mark, status, folder.
class MarkedShell final : public Shell {
 public:
  MarkedShell(std::unique_ptr<Channel> channel, const Clock& clock)
      : channel_(std::move(channel)), clock_(clock), mark_("lab-" + secure_random_hex(12)) {}

  ~MarkedShell() override {
    if (alive_) kill();
  }
  MarkedShell(const MarkedShell&) = delete;
  MarkedShell& operator=(const MarkedShell&) = delete;

  Result<void> start(milliseconds timeout) {
    const std::string setup =
        "exec 2>&1; PS1= PS2= PROMPT_COMMAND=; unset HISTFILE; "
        "export LANG=C.UTF-8 LC_ALL=C.UTF-8 TZ=UTC COLUMNS=100 LINES=40 TERM=dumb PAGER=cat; "
        "read -r -a lab_stat < /proc/$$/stat; echo \"${lab_stat[4]} $HOME\"; unset lab_stat";
    Result<ShellOutput> started = run(setup, timeout);
    if (!started) return started.error();
    // What a login prints may come before it.
    const std::vector<std::string> lines = output_lines(started->text);
    const std::string last = lines.empty() ? std::string() : lines.back();
    const std::size_t space = std::min(last.find(' '), last.size());
    std::from_chars(last.data(), last.data() + space, group_);
    home_ = last.substr(std::min(space + 1, last.size()));
    return {};
  }

  Result<ShellOutput> run(const std::string& command, milliseconds timeout) override {
    if (!alive_) return make_error(Code::unavailable, "the shell has ended");
    const TimePoint deadline = clock_.now() + timeout;
    // The quoted command is one word of eval, so that no text can break out of it; eval keeps `cd`
    // and `export` in this shell. Standard input is not the channel.
    const std::string script =
        fmt::format("eval {} </dev/null; printf '\\n%s %d %s\\n' {} \"$?\" \"$PWD\"\n",
                    shell_quote({command}), mark_);
    if (Result<void> sent = channel_->write(script, timeout); !sent) {
      return fail(sent.error(), last_words(timeout));
    }
    std::string text;
    const std::string mark = "\n" + mark_ + " ";
    for (std::size_t searched = 0;;) {
      const std::size_t found = text.find(mark, searched);
      const std::size_t line_end =
          found == text.npos ? text.npos : text.find('\n', found + mark.size());
      if (line_end != text.npos) return finish(std::move(text), found, mark.size(), line_end);
      if (found == text.npos) searched = text.size() - std::min(text.size(), mark.size());
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - clock_.now());
      if (left.count() <= 0) return too_late(timeout, text);
      Result<std::string> piece = channel_->read_some(left);
      if (!piece) {
        if (piece.error().code == Code::deadline_exceeded) return too_late(timeout, text);
        return fail(piece.error(), text);
      }
      if (piece->empty()) {
        return fail(make_error(Code::unavailable, "the command ended the shell"), text);
      }
      text += *piece;
      if (text.size() > output_bytes_max) {
        return fail(
            make_error(Code::invalid_argument, "it printed more than {} bytes", output_bytes_max),
            text);
      }
    }
  }

  bool alive() const override { return alive_; }
  const std::string& directory() const override { return directory_; }
  const std::string& home() const override { return home_; }

 private:
  // What a shell that takes no more input had printed before it ended: it tells why.
  std::string last_words(milliseconds timeout) {
    const TimePoint deadline = clock_.now() + timeout;
    std::string text;
    while (text.size() < output_bytes_max) {
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - clock_.now());
      if (left.count() <= 0) break;
      const Result<std::string> piece = channel_->read_some(left);
      if (!piece || piece->empty()) break;
      text += *piece;
    }
    return text;
  }

  ShellOutput finish(std::string text, std::size_t found, std::size_t mark_size,
                     std::size_t line_end) {
    ShellOutput output;
    const std::string_view rest =
        std::string_view(text).substr(found + mark_size, line_end - found - mark_size);
    const std::size_t space = std::min(rest.find(' '), rest.size());
    std::from_chars(rest.data(), rest.data() + space, output.status);
    directory_ = rest.substr(std::min(space + 1, rest.size()));
    text.resize(found);
    output.text = std::move(text);
    return output;
  }

  Error too_late(milliseconds timeout, std::string_view text) {
    const double seconds = std::chrono::duration<double>(timeout).count();
    return fail(make_error(Code::deadline_exceeded, "it did not end within {:.3g} s", seconds),
                text);
  }

  Error fail(Error error, std::string_view text) {
    alive_ = false;
    kill();
    error.message += tail_of(text);
    return error;
  }

  void kill() {
    if (group_ > 1) channel_->kill_group(group_);
  }

  std::unique_ptr<Channel> channel_;
  const Clock& clock_;
  std::string mark_;
  std::string directory_;
  std::string home_;
  long group_ = 0;
  bool alive_ = true;
};

}  // namespace

Result<std::unique_ptr<Shell>> make_shell(std::unique_ptr<Channel> channel, const Clock& clock,
                                          milliseconds timeout) {
  auto shell = std::make_unique<MarkedShell>(std::move(channel), clock);
  Result<void> started = shell->start(timeout);
  if (!started) return started.error().wrap("starting a shell");
  return std::unique_ptr<Shell>(std::move(shell));
}

}  // namespace lab::scenarios
