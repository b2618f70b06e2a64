// lab net capture: frames of the lab's network into a file, or live into Wireshark.
#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "base/file.hpp"
#include "base/http_client.hpp"
#include "cli/lab/labd_client.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

namespace asio = boost::asio;

namespace {

struct CaptureWords {
  std::vector<std::string> links;
  std::string file;
  std::uint64_t frames = 0;
};

// "A->B" is one direction, "A<->B" both, "A" all of a machine, "all" everything.
void add_directions(const std::string& word, std::vector<std::string>& directions) {
  if (word == "all") {
    directions.emplace_back("*->*");
    return;
  }
  std::size_t arrow = word.find("<->");
  if (arrow != std::string::npos) {
    const std::string one = word.substr(0, arrow);
    const std::string other = word.substr(arrow + 3);
    directions.push_back(fmt::format("{}->{}", one, other));
    directions.push_back(fmt::format("{}->{}", other, one));
  } else if (word.find("->") != std::string::npos) {
    directions.push_back(word);
  } else {
    directions.push_back(fmt::format("{}->*", word));
    directions.push_back(fmt::format("*->{}", word));
  }
}

std::string target_of(const CaptureWords& words, const Globals& globals) {
  std::vector<std::string> directions;
  for (const std::string& word : words.links) add_directions(word, directions);
  std::string target = fmt::format("/net/capture?frames={}", words.frames);
  for (const std::string& direction : directions) target += "&link=" + http::url_encode(direction);
  const std::string filter = fmt::format("{}", fmt::join(globals.rest, " "));
  if (!filter.empty()) target += "&filter=" + http::url_encode(filter);
  return target;
}

Fd open_file(const std::string& file) {
  if (file == "-") {
    if (isatty(STDOUT_FILENO) != 0) {
      fail(make_error(Code::invalid_argument,
                      "a capture is no text for a terminal: lab net capture -w - | wireshark -k "
                      "-i -"));
    }
    return Fd(dup(STDOUT_FILENO));
  }
  Fd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) fail(errno_error(errno, fmt::format("opening {}", file)));
  return fd;
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno_error(errno, "writing the capture");
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

// Until labd ends the capture, or who reads it is gone.
asio::awaitable<Result<void>> copy(http::Client& client, std::string target, int fd) {
  http::ClientRequest request;
  request.target = std::move(target);
  LAB_CO_TRY(const auto response, co_await client.send(std::move(request)));
  if (response->status() != 200) {
    LAB_CO_TRY(const std::string body, co_await response->read_all());
    co_return labd_error(response->status(), body);
  }
  std::string piece(std::size_t{256} << 10, '\0');
  for (;;) {
    LAB_CO_TRY(const std::size_t got, co_await response->read_some(asio::buffer(piece)));
    if (got == 0) co_return Result<void>{};
    const Result<void> written = write_all(fd, std::string_view(piece).substr(0, got));
    if (!written) co_return written;
  }
}

void capture(const Globals& globals, const CaptureWords& words) {
  const Fd fd = open_file(words.file);
  asio::io_context loop;
  asio::signal_set signals(loop, SIGINT, SIGTERM);
  signals.async_wait([&loop](boost::system::error_code error, int) {
    if (!error) loop.stop();  // what has come is written; the capture is whole
  });
  http::Client client(loop.get_executor(), labd_endpoint(globals));
  Result<void> outcome;
  asio::co_spawn(loop, copy(client, target_of(words, globals), fd.get()),
                 [&](const std::exception_ptr& bug, Result<void> result) {
                   if (bug) std::rethrow_exception(bug);
                   outcome = std::move(result);
                   signals.cancel();
                 });
  loop.run();
  check_or_fail(outcome);
}

}  // namespace

void add_net_capture(CLI::App& net, Globals& globals) {
  CLI::App* verb = net.add_subcommand(
      "capture", "Write frames to a pcapng file, with what the links did to them, until Ctrl-C");
  auto words = std::make_shared<CaptureWords>();
  verb->add_option("link", words->links,
                   "MACHINE, 'MACHINE->MACHINE' or 'MACHINE<->MACHINE'; none: every link");
  verb->add_option("-w,--write", words->file, "The file; - is standard output")->required();
  verb->add_option("-c,--count", words->frames, "End after so many frames");
  verb->footer(
      "After \"--\" comes a filter in tcpdump's words: lab net capture -w x.pcapng -- arp");
  verb->callback([words, &globals] { capture(globals, *words); });
}

}  // namespace lab::cli
