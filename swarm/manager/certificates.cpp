// Who gets a certificate, on the leader.
#include "base/digest.hpp"
#include "swarm/manager/manager.hpp"
#include "swarm/manager/status.hpp"

namespace lab::swarm::manager {

namespace {

// Takes the same time wherever the two differ.
bool same_secret(const std::string& a, const std::string& b) {
  const std::string hash_a = sha256(a);
  const std::string hash_b = sha256(b);
  unsigned difference = 0;
  for (std::size_t i = 0; i < hash_a.size(); ++i)
    difference |= static_cast<unsigned char>(hash_a[i] ^ hash_b[i]);
  return difference == 0;
}

Result<proto::Role> role_of_token(const proto::Cluster& cluster, const std::string& token) {
  const proto::JoinTokens& tokens = cluster.root_ca().join_tokens();
  const bool worker = !tokens.worker().empty() && same_secret(token, tokens.worker());
  const bool manager = !tokens.manager().empty() && same_secret(token, tokens.manager());
  if (manager) return proto::ROLE_MANAGER;
  if (worker) return proto::ROLE_WORKER;
  return Error{Code::invalid_argument,
               "rpc error: code = InvalidArgument desc = A valid join token is necessary to join "
               "this cluster"};
}

// Of a node that joins: the same request, sent again, is the same node.
std::string node_id_of(const proto::Cluster& cluster, const std::string& csr_pem) {
  return base36_encode(sha256(cluster.id() + "\n" + csr_pem).substr(0, 16), 25);
}

struct Issued {
  proto::Node node;
};

Result<void> issue(store::Draft& draft, const std::string& node_id, bool joining,
                   proto::Role token_role, const proto::IssueCertificateRequest& request,
                   ca::Signer& signer, WallTime now, Issued& issued) {
  const store::ClusterPtr cluster = draft.cluster();
  if (cluster->removed_nodes().contains(node_id))
    return make_error(Code::forbidden, "node {} was removed from the swarm", node_id);
  proto::Node node;
  if (const store::NodePtr current = draft.node(node_id)) {
    node = *current;
  } else if (joining) {
    node.set_id(node_id);
    node.set_role(token_role);
    node.mutable_spec()->set_role(token_role);
    node.mutable_spec()->set_availability(request.availability());
    node.mutable_status()->set_state(proto::NODE_STATE_UNKNOWN);
  } else {
    return make_error(Code::forbidden, "node {} is not part of the swarm (any more)", node_id);
  }
  LAB_TRY(ca::IssuedCertificate certificate,
          signer.issue(*cluster, request.csr_pem(), node_id, node.role(), now));
  node.set_certificate_pem(certificate.certificate_pem);
  node.set_certificate_expires_at_ns(
      std::max(node.certificate_expires_at_ns(), certificate.expires_at_ns));
  issued.node = node;
  draft.put(std::move(node));
  return {};
}

}  // namespace

void Manager::on_issue(const Endpoint& from, const proto::IssueCertificateRequest& request) {
  auto answer = [this, from, id = request.id()](proto::IssueCertificateResponse response) {
    response.set_id(id);
    proto::Envelope message;
    *message.mutable_issue_response() = std::move(response);
    reply(from, std::move(message));
  };
  proto::IssueCertificateResponse refusal;
  if (!leading_ || !store_.cluster()) {
    *refusal.mutable_status() = not_leader();
    return answer(std::move(refusal));
  }
  const bool joining = from.node_id.empty();
  proto::Role role = proto::ROLE_WORKER;
  if (joining) {
    Result<proto::Role> by_token = role_of_token(*store_.cluster(), request.token());
    if (!by_token) {
      *refusal.mutable_status() = to_status(by_token.error());
      return answer(std::move(refusal));
    }
    role = *by_token;
  }
  const std::string node_id =
      joining ? node_id_of(*store_.cluster(), request.csr_pem()) : from.node_id;
  auto issued = std::make_shared<Issued>();
  writer_.submit(
      [this, node_id, joining, role, request, issued](store::Draft& draft) {
        return issue(draft, node_id, joining, role, request, signer_, now_.wall, *issued);
      },
      [this, answer, issued](Result<std::uint64_t> written) {
        proto::IssueCertificateResponse response;
        if (!written) {
          *response.mutable_status() = leading_ ? to_status(written.error()) : not_leader();
          return answer(std::move(response));
        }
        const proto::Node& node = issued->node;
        *response.mutable_status() = ok_status();
        response.set_store_version(*written);
        response.set_node_id(node.id());
        response.set_role(node.role());
        response.set_certificate_pem(node.certificate_pem());
        response.set_certificate_expires_at_ns(node.certificate_expires_at_ns());
        response.set_root_certificate_pem(store_.cluster()->root_ca().certificate_pem());
        for (proto::Peer& peer : peers()) *response.add_managers() = std::move(peer);
        answer(std::move(response));
      });
}

}  // namespace lab::swarm::manager
