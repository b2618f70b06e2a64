#include "swarm/node/enrolment.hpp"

#include <utility>

namespace lab::swarm {

void Enrolment::begin() {
  state_ = State::making_csr;
  deadline_ = TimePoint::max();
  csr_pem_.clear();
  hint_.clear();
  last_error_.clear();
  ticket_ = random_() | 1;
  outbox_.add(MakeCsr{ticket_});
}

void Enrolment::join(TimePoint, const Join& join) {
  token_ = join.token;
  addresses_ = join.managers;
  availability_ = join.availability;
  next_ = 0;
  begin();
}

void Enrolment::renew(TimePoint) {
  token_.clear();
  addresses_.clear();
  begin();
}

void Enrolment::cancel() {
  state_ = State::idle;
  deadline_ = TimePoint::max();
  token_.clear();
}

void Enrolment::csr_made(TimePoint now, const CsrMade& made, const Endpoint& target) {
  if (state_ != State::making_csr || made.ticket != ticket_) return;
  csr_pem_ = made.csr_pem;
  state_ = State::asking;
  ask(now, target);
}

void Enrolment::ask(TimePoint now, const Endpoint& target) {
  Endpoint to = target;
  if (!hint_.empty())
    to = Endpoint{.address = std::exchange(hint_, {})};
  else if (!addresses_.empty())
    to = Endpoint{.address = addresses_[next_ % addresses_.size()]};
  deadline_ = now + answer_timeout;
  if (to.address.empty() && to.node_id.empty()) return;
  proto::Envelope message;
  proto::IssueCertificateRequest& body = *message.mutable_issue_request();
  request_id_ = random_() | 1;
  body.set_id(request_id_);
  body.set_csr_pem(csr_pem_);
  body.set_token(token_);
  body.set_availability(availability_);
  last_error_ = "no answer from the manager at " + to.address;
  outbox_.send(std::move(to), std::move(message));
}

Enrolment::Outcome Enrolment::receive(TimePoint now,
                                      const proto::IssueCertificateResponse& response) {
  if (state_ != State::asking || response.id() != request_id_) return Outcome::none;
  const proto::Status& status = response.status();
  if (status.ok()) {
    cancel();
    last_error_.clear();
    return Outcome::issued;
  }
  last_error_ = status.message();
  if (!addresses_.empty() && status.code() == static_cast<unsigned>(Code::invalid_argument)) {
    cancel();
    return Outcome::refused;
  }
  if (status.has_leader() && !status.leader().address().empty()) {
    hint_ = status.leader().address();
    deadline_ = now;  // at once
  } else {
    ++next_;
    deadline_ = now + retry_pause;
  }
  return Outcome::none;
}

void Enrolment::tick(TimePoint now, const Endpoint& target) {
  if (state_ != State::asking || now < deadline_) return;
  ++next_;
  ask(now, target);
}

}  // namespace lab::swarm
