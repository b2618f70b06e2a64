// How a node gets a certificate: the first one with a join token, later ones (renewal, another
// role) with the certificate that it has.
#pragma once

#include <string>
#include <vector>

#include "base/random.hpp"
#include "swarm/node/events.hpp"

namespace lab::swarm {

class Enrolment {
 public:
  static constexpr Duration answer_timeout = std::chrono::seconds(2);
  static constexpr Duration retry_pause = std::chrono::milliseconds(500);

  enum class Outcome : std::uint8_t {
    none,     // not an answer to the open request, or it is tried again
    issued,   // the answer holds the certificate for ticket()'s key
    refused,  // for good: the token is not valid
  };

  Enrolment(Outbox& outbox, Random random) : outbox_(outbox), random_(random) {}

  void join(TimePoint now, const Join& join);
  void renew(TimePoint now);
  void cancel();

  // `target` is the manager to ask when the node has a session.
  void csr_made(TimePoint now, const CsrMade& made, const Endpoint& target);
  [[nodiscard]] Outcome receive(TimePoint now, const proto::IssueCertificateResponse& response);
  void tick(TimePoint now, const Endpoint& target);
  [[nodiscard]] TimePoint next_deadline() const { return deadline_; }

  [[nodiscard]] bool busy() const { return state_ != State::idle; }
  [[nodiscard]] std::uint64_t ticket() const { return ticket_; }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }

 private:
  enum class State : std::uint8_t { idle, making_csr, asking };

  void begin();
  void ask(TimePoint now, const Endpoint& target);

  Outbox& outbox_;
  Random random_;
  State state_ = State::idle;
  TimePoint deadline_ = TimePoint::max();
  std::uint64_t ticket_ = 0;
  std::uint64_t request_id_ = 0;
  std::string csr_pem_;
  std::string token_;
  std::vector<std::string> addresses_;  // empty: renewal
  std::size_t next_ = 0;
  std::string hint_;  // the leader's address
  proto::Availability availability_ = proto::AVAILABILITY_ACTIVE;
  std::string last_error_;
};

}  // namespace lab::swarm
