#include "netsim/capture_stream.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "netsim/capture.hpp"

namespace lab::netsim {

namespace asio = boost::asio;

namespace {

Result<CaptureLink> parse_link(const std::string& text, const Switch& lab_switch) {
  const std::size_t arrow = text.find("->");
  if (arrow == std::string::npos)
    return make_error(Code::invalid_argument, "link \"{}\" is not FROM->TO", text);
  CaptureLink link{text.substr(0, arrow), text.substr(arrow + 2)};
  for (const std::string& machine : {link.from, link.to}) {
    const auto ports = lab_switch.ports();
    const bool known = std::any_of(ports.begin(), ports.end(),
                                   [&](const auto& port) { return port.machine == machine; });
    if (!known && machine != "*")
      return make_error(Code::not_found, "there is no machine \"{}\" in this lab", machine);
  }
  return link;
}

Result<CaptureOptions> parse_options(const http::Query& query, const Switch& lab_switch) {
  CaptureOptions options;
  for (const std::string& text : query.all("link")) {
    LAB_TRY(auto link, parse_link(text, lab_switch));
    options.links.push_back(std::move(link));
  }
  options.filter = query.get("filter");
  LAB_TRY(const std::int64_t frames, query.integer("frames", 0));
  if (frames < 0) return make_error(Code::invalid_argument, "frames is {}, below 0", frames);
  options.frames_max = static_cast<std::uint64_t>(frames);
  return options;
}

// Wakes a coroutine of the event loop from the switch's thread.
class Bell {
 public:
  explicit Bell(const asio::any_io_executor& executor) : timer_(executor) {
    timer_.expires_at(asio::steady_timer::time_point::max());
  }
  void ring() {
    rung_ = true;
    timer_.cancel();
  }
  asio::awaitable<void> wait() {
    if (!rung_) co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    rung_ = false;
  }

 private:
  asio::steady_timer timer_;
  bool rung_ = false;
};

asio::awaitable<Result<void>> copy(http::Exchange& exchange, Capture& capture, Bell& bell) {
  for (;;) {
    const Capture::Piece piece = capture.take();
    if (!piece.bytes.empty()) LAB_CO_CHECK(co_await exchange.write(piece.bytes));
    if (piece.last) co_return co_await exchange.finish();
    if (piece.bytes.empty()) co_await bell.wait();
  }
}

class Attached {
 public:
  Attached(Switch& lab_switch, std::shared_ptr<Capture> capture)
      : switch_(lab_switch), capture_(capture.get()) {
    switch_.attach(std::move(capture));
  }
  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;
  ~Attached() { switch_.detach(capture_); }

 private:
  Switch& switch_;
  const Capture* capture_;
};

}  // namespace

asio::awaitable<Result<void>> stream_capture(http::Exchange& exchange, Switch& lab_switch) {
  using boost::asio::experimental::awaitable_operators::operator||;
  LAB_CO_TRY(CaptureOptions options, parse_options(exchange.request().query, lab_switch));
  std::vector<std::pair<std::string, std::string>> directions;
  for (const Switch::LinkReport& link : lab_switch.links())
    directions.emplace_back(link.from, link.to);
  auto executor = co_await asio::this_coro::executor;
  auto bell = std::make_shared<Bell>(executor);
  std::function<void()> wake = [executor, bell] { asio::post(executor, [bell] { bell->ring(); }); };
  LAB_CO_TRY(const auto capture, Capture::make(std::move(options), directions, std::move(wake)));
  const Attached attached(lab_switch, capture);
  http::Headers headers;
  headers.set("Content-Type", "application/x-pcapng");
  LAB_CO_CHECK(co_await exchange.start(200, std::move(headers)));
  auto ended = co_await (copy(exchange, *capture, *bell) || exchange.client_gone());
  if (ended.index() == 0) co_return std::get<0>(ended);
  co_return Result<void>{};
}

}  // namespace lab::netsim
