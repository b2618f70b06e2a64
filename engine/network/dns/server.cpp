#include "engine/network/dns/server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/deadline.hpp"
#include "base/log.hpp"
#include "engine/network/dns/forward.hpp"

namespace lab::engine::network::dns {

namespace asio = boost::asio;
namespace ip = boost::asio::ip;

namespace {

constexpr auto awaiting = asio::as_tuple(asio::use_awaitable);
// Of one container at a time: questions asked elsewhere, and connections.
constexpr int forwards_max = 128;
constexpr int streams_max = 32;
constexpr std::size_t datagram_bytes_max = 4096;
constexpr std::size_t name_servers_max = 3;
constexpr std::chrono::seconds stream_idle{10};
constexpr std::chrono::milliseconds accept_pause{100};

// Only for networks with a way out: what an internal network keeps in, its name server keeps too.
std::vector<std::string> servers_for(const Sandbox& sandbox) {
  if (sandbox.gateway() == nullptr) return {};
  std::size_t count = std::min(sandbox.name_servers.size(), name_servers_max);
  return {sandbox.name_servers.begin(), sandbox.name_servers.begin() + static_cast<long>(count)};
}

bool is_single_label(const Query& query) { return query.name.find('.') == std::string::npos; }

}  // namespace

struct Server::Service {
  Service(const asio::any_io_executor& executor, const Sandbox& of, Sockets sockets)
      : sandbox(of),
        udp(executor, ip::udp::v4(), sockets.udp.release()),
        tcp(executor, ip::tcp::v4(), sockets.tcp.release()) {}

  Sandbox sandbox;
  ip::udp::socket udp;
  ip::tcp::acceptor tcp;
  int forwards = 0;
  int streams = 0;
  bool stopped = false;

  void close() {
    boost::system::error_code ignored;
    stopped = true;
    udp.close(ignored);
    tcp.close(ignored);
  }

  // What others say, or a failure.
  asio::awaitable<std::string> forward(std::string packet, Query query, bool stream) {
    std::string answer;
    std::vector<std::string> servers = servers_for(sandbox);
    if (forwards < forwards_max && !servers.empty()) {
      ++forwards;
      answer = co_await ask_servers(std::move(servers), packet, query, stream);
      --forwards;
    }
    co_return answer.empty() ? empty_answer(packet, &query, server_failure) : answer;
  }
};

Server::Server(const asio::any_io_executor& executor, const NameTable& table)
    : background_(executor), table_(table), random_(secure_random_seed()) {}

Server::~Server() {
  for (const auto& [id, service] : services_) service->close();
}

void Server::serve(const Sandbox& sandbox, Sockets sockets) {
  stop(sandbox.id);
  auto service = std::make_shared<Service>(background_.executor(), sandbox, std::move(sockets));
  services_[sandbox.id] = service;
  background_.spawn("the name server of a container", answer_datagrams(service));
  background_.spawn("the name server of a container", accept_streams(service));
}

bool Server::serves(const std::string& sandbox_id) const { return services_.contains(sandbox_id); }

void Server::update(const Sandbox& sandbox) {
  if (auto found = services_.find(sandbox.id); found != services_.end())
    found->second->sandbox = sandbox;
}

void Server::stop(const std::string& sandbox_id) {
  auto found = services_.find(sandbox_id);
  if (found == services_.end()) return;
  found->second->close();
  services_.erase(found);
}

std::string Server::local_answer(const Service& service, const std::string& packet,
                                 const Query& query, bool stream) {
  const std::vector<Endpoint>& endpoints = service.sandbox.endpoints;
  if (query.class_code != class_internet) return {};
  if (query.type == type_ptr) {
    std::optional<IpAddress> address = address_of_pointer(query.name);
    std::string host = address ? table_.reverse(endpoints, *address) : std::string();
    return host.empty() ? std::string() : pointer_answer(packet, query, host);
  }
  bool ipv6 = query.type == type_aaaa;
  NameTable::Found found = table_.resolve(endpoints, query.name, ipv6);
  if (!found.known) {
    bool asks_address = ipv6 || query.type == type_a;
    bool kept = asks_address && is_single_label(query) && !service.sandbox.forwards_single_labels;
    return kept ? empty_answer(packet, &query, no_error) : std::string();
  }
  // The name is ours: nobody else is asked about it, whatever the type.
  if (!ipv6 && query.type != type_a) return empty_answer(packet, &query, no_error);
  for (std::size_t left = found.addresses.size(); left > 1; --left)
    std::swap(found.addresses[left - 1], found.addresses[random_.below(left)]);
  std::size_t bytes_max = stream ? message_bytes_max : query.udp_bytes_max;
  return address_answer(packet, query, found.addresses, bytes_max, !stream);
}

asio::awaitable<void> Server::answer_datagrams(ServicePtr service) {
  std::string buffer(datagram_bytes_max, '\0');
  while (!service->stopped) {
    ip::udp::endpoint from;
    auto [failure, size] =
        co_await service->udp.async_receive_from(asio::buffer(buffer), from, awaiting);
    if (failure == asio::error::operation_aborted || service->stopped) co_return;
    if (failure) continue;  // an ICMP error of an earlier answer
    std::string packet = buffer.substr(0, size);
    Parsed parsed = parse_query(packet);
    boost::system::error_code ignored;
    if (!parsed.query) {
      if (!parsed.refusal) continue;
      std::string refusal = empty_answer(packet, nullptr, *parsed.refusal);
      service->udp.send_to(asio::buffer(refusal), from, 0, ignored);
      continue;
    }
    std::string answer = local_answer(*service, packet, *parsed.query, false);
    if (!answer.empty()) {
      service->udp.send_to(asio::buffer(answer), from, 0, ignored);
      continue;
    }
    auto forward = [](ServicePtr owner, std::string question, Query query,
                      ip::udp::endpoint asker) -> asio::awaitable<void> {
      std::string reply = co_await owner->forward(std::move(question), std::move(query), false);
      boost::system::error_code unsent;
      if (!owner->stopped) owner->udp.send_to(asio::buffer(reply), asker, 0, unsent);
    };
    background_.spawn("a question to a name server",
                      forward(service, std::move(packet), std::move(*parsed.query), from));
  }
}

asio::awaitable<void> Server::accept_streams(ServicePtr service) {
  while (!service->stopped) {
    auto stream = std::make_shared<ip::tcp::socket>(background_.executor());
    auto [failure] = co_await service->tcp.async_accept(*stream, awaiting);
    if (failure == asio::error::operation_aborted || service->stopped) co_return;
    if (failure) {  // out of descriptors
      asio::steady_timer pause(background_.executor(), accept_pause);
      co_await pause.async_wait(awaiting);
      continue;
    }
    if (service->streams >= streams_max) continue;
    ++service->streams;
    background_.spawn("a connection to the name server", answer_stream(service, stream));
  }
}

asio::awaitable<void> Server::answer_stream(ServicePtr service,
                                            std::shared_ptr<ip::tcp::socket> stream) {
  for (;;) {
    Deadline deadline(background_.executor(), stream_idle, [stream] {
      boost::system::error_code ignored;
      stream->close(ignored);
    });
    std::uint8_t length[2] = {};
    auto [unread, size] = co_await asio::async_read(*stream, asio::buffer(length), awaiting);
    if (unread) break;
    std::string packet(static_cast<std::size_t>(length[0] << 8 | length[1]), '\0');
    auto [broken, got] = co_await asio::async_read(*stream, asio::buffer(packet), awaiting);
    if (broken || deadline.end() || service->stopped) break;
    Parsed parsed = parse_query(packet);
    std::string answer;
    if (parsed.query) {
      answer = local_answer(*service, packet, *parsed.query, true);
      if (answer.empty()) answer = co_await service->forward(packet, *parsed.query, true);
    } else if (parsed.refusal) {
      answer = empty_answer(packet, nullptr, *parsed.refusal);
    }
    if (answer.empty() || answer.size() > message_bytes_max) break;
    std::string framed{static_cast<char>(answer.size() >> 8),
                       static_cast<char>(answer.size() & 0xff)};
    framed += answer;
    auto [unsent, count] = co_await asio::async_write(*stream, asio::buffer(framed), awaiting);
    if (unsent) break;
  }
  --service->streams;
}

}  // namespace lab::engine::network::dns
