#include "vm/libvirt_state.hpp"

#include <fcntl.h>
#include <libvirt/libvirt-qemu.h>
#include <poll.h>

#include <boost/json.hpp>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "base/clock.hpp"
#include "base/file.hpp"
#include "vm/domain_xml.hpp"

namespace lab::vm {
namespace {

namespace json = boost::json;

constexpr std::chrono::minutes time_max{5};
constexpr int look_again_ms = 2;
constexpr const char* descriptor_name = "lab-state";

// Asks QEMU's monitor; with a descriptor when `fd` is not negative. The value of "return".
Result<json::value> ask(virDomainPtr domain, std::string_view command, json::object arguments = {},
                        int fd = -1) {
  json::object request{{"execute", command}};
  if (!arguments.empty()) request["arguments"] = std::move(arguments);
  char* text = nullptr;
  const int status = virDomainQemuMonitorCommandWithFiles(
      domain, json::serialize(request).c_str(), fd < 0 ? 0 : 1, &fd, nullptr, nullptr, &text, 0);
  if (status != 0) return libvirt_error(Code::internal, fmt::format("QEMU's {}", command));
  const std::unique_ptr<char, decltype(&std::free)> owned(text, &std::free);
  boost::system::error_code error;
  const json::value reply = json::parse(text, error);
  const json::object* object = error ? nullptr : reply.if_object();
  if (object == nullptr || !object->contains("return"))
    return make_error(Code::internal, "QEMU's {} answered {}", command, text);
  return object->at("return");
}

// Leaves memory that is a shared file out of the stream, and lets that flow as fast as it can.
Result<void> prepare_stream(virDomainPtr domain, const SavedState& state) {
  json::object shared{{"capability", "x-ignore-shared"}, {"state", !state.memory.empty()}};
  json::array capabilities;
  capabilities.push_back(std::move(shared));
  json::object arguments{{"capabilities", std::move(capabilities)}};
  LAB_CHECK(ask(domain, "migrate-set-capabilities", std::move(arguments)));
  json::object parameters{{"max-bandwidth", std::numeric_limits<std::int64_t>::max()}};
  LAB_CHECK(ask(domain, "migrate-set-parameters", std::move(parameters)));
  return {};
}

Result<void> give_descriptor(virDomainPtr domain, const SavedState& state, int flags) {
  const Fd file(open(state.devices.c_str(), flags | O_CLOEXEC, 0600));
  if (!file) return errno_error(errno, state.devices.string());
  json::object name{{"fdname", descriptor_name}};
  LAB_CHECK(ask(domain, "getfd", std::move(name), file.get()));
  return {};
}

// Begins writing or reading the stream and waits for its end.
Result<void> stream(virDomainPtr domain, std::string_view command) {
  json::object where{{"uri", fmt::format("fd:{}", descriptor_name)}};
  LAB_CHECK(ask(domain, command, std::move(where)));
  const SystemClock clock;
  const TimePoint deadline = clock.now() + time_max;
  for (;;) {
    LAB_TRY(const json::value progress, ask(domain, "query-migrate"));
    boost::system::error_code error;
    const json::value* found = progress.find_pointer("/status", error);
    std::string_view status;
    if (found != nullptr && found->is_string()) status = found->as_string();
    if (status == "completed") return {};
    if (status == "failed" || status == "cancelled" || clock.now() >= deadline)
      return make_error(Code::internal, "QEMU's {} did not end well: {}", command,
                        json::serialize(progress));
    poll(nullptr, 0, look_again_ms);
  }
}

Result<void> read_domain_state(virDomainPtr domain, const SavedState& state) {
  LAB_CHECK(prepare_stream(domain, state));
  LAB_CHECK(give_descriptor(domain, state, O_RDONLY));
  return stream(domain, "migrate-incoming");
}

}  // namespace

bool waits_for_state(virDomainPtr domain) {
  const Result<json::value> answer = ask(domain, "query-status");
  boost::system::error_code error;
  const json::value* status = answer ? answer->find_pointer("/status", error) : nullptr;
  return status != nullptr && status->is_string() && status->as_string() == "inmigrate";
}

Result<void> write_domain_state(virDomainPtr domain, const SavedState& state) {
  const auto write = [&]() -> Result<void> {
    LAB_CHECK(prepare_stream(domain, state));
    LAB_CHECK(give_descriptor(domain, state, O_WRONLY | O_CREAT | O_TRUNC));
    return stream(domain, "migrate");
  };
  Result<void> written = write();
  std::error_code ignored;
  if (!written) std::filesystem::remove(state.devices, ignored);
  return written;
}

Result<void> start_domain_from_state(virConnectPtr connection, virDomainPtr domain,
                                     const SavedState& state) {
  char* text = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
  if (text == nullptr) return libvirt_error(Code::internal, "reading its definition");
  const std::unique_ptr<char, decltype(&std::free)> owned(text, &std::free);
  LAB_TRY(const std::string xml, incoming_domain_xml(text, state.memory));
  // The definition stays as it is: a later start boots.
  const Domain started(virDomainCreateXML(connection, xml.c_str(), VIR_DOMAIN_START_PAUSED));
  if (!started) return libvirt_error(Code::internal, "starting it paused");
  Result<void> read = read_domain_state(started.get(), state);
  if (!read) virDomainDestroy(started.get());
  return read;
}

}  // namespace lab::vm
