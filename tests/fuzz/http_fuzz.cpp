#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/http_wire.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {

namespace asio = boost::asio;

namespace {

// Gives its bytes in pieces of a size that the first of them chooses.
class Bytes final : public Stream {
 public:
  Bytes(asio::any_io_executor executor, std::string_view bytes)
      : executor_(std::move(executor)), bytes_(bytes) {
    if (bytes_.empty()) return;
    piece_ = static_cast<unsigned char>(bytes_.front()) + std::size_t{1};
    bytes_.remove_prefix(1);
  }
  asio::awaitable<Result<std::size_t>> read_some(asio::mutable_buffer buffer) override {
    const std::size_t count = std::min({piece_, buffer.size(), bytes_.size()});
    std::copy_n(bytes_.data(), count, static_cast<char*>(buffer.data()));
    bytes_.remove_prefix(count);
    co_return count;
  }
  asio::awaitable<Result<void>> write(std::string_view) override { co_return Result<void>(); }
  asio::awaitable<Result<void>> shutdown_write() override { co_return Result<void>(); }
  void close() override {}
  asio::any_io_executor executor() override { return executor_; }
  std::string peer_address() const override { return "fuzz"; }

 private:
  asio::any_io_executor executor_;
  std::string_view bytes_;
  std::size_t piece_ = 1;
};

asio::awaitable<void> read_requests(lab::http::Wire& wire) {
  constexpr std::size_t body_bytes_max = std::size_t{1} << 20;
  for (;;) {
    lab::http::MessageReader<true> reader(wire);
    const auto more = co_await reader.read_head();
    if (!more || !*more) co_return;
    const std::string target(reader.parser().get().target());
    const lab::http::Query query(target.substr(std::min(target.find('?'), target.size())));
    static_cast<void>(query.flag("x"));
    static_cast<void>(query.integer("n", 0));
    static_cast<void>(lab::http::url_decode(target, true));
    static_cast<void>(lab::http::serialize_fields(reader.headers()));
    const auto body = co_await reader.read_all(body_bytes_max);
    if (!body) co_return;
  }
}

// What a registry or a mirror answers.
asio::awaitable<void> read_responses(lab::http::Wire& wire) {
  constexpr std::size_t body_bytes_max = std::size_t{1} << 20;
  for (;;) {
    lab::http::MessageReader<false> reader(wire);
    const auto more = co_await reader.read_head();
    if (!more || !*more) co_return;
    static_cast<void>(reader.headers().get("Content-Range"));
    const auto body = co_await reader.read_all(body_bytes_max);
    if (!body || !reader.parser().keep_alive()) co_return;
  }
}

using Read = asio::awaitable<void> (*)(lab::http::Wire&);

}  // namespace

void http(std::string_view bytes) {
  for (const Read read : {read_requests, read_responses}) {
    asio::io_context loop(1);
    lab::http::Wire wire;
    wire.stream = std::make_unique<Bytes>(loop.get_executor(), bytes);
    asio::co_spawn(loop, read(wire), [](std::exception_ptr failure) {
      if (failure) std::abort();
    });
    loop.run();
  }
}

}  // namespace lab::fuzz
