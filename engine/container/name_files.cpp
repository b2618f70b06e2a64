#include "engine/container/name_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/file.hpp"

namespace lab::engine::container {

namespace {

bool is_loopback(std::string_view address) {
  return address.starts_with("127.") || address == "::1";
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  constexpr std::string_view space = " \t\r";
  for (;;) {
    std::size_t start = line.find_first_not_of(space);
    if (start == std::string_view::npos) return words;
    line.remove_prefix(start);
    std::size_t end = std::min(line.find_first_of(space), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += " " + word;
  return text;
}

struct HostResolver {
  std::vector<std::string> servers;
  std::vector<std::string> search;
  std::vector<std::string> options;
};

HostResolver parse_resolver(std::string_view text) {
  HostResolver resolver;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::vector<std::string_view> words = words_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.size() < 2) continue;
    if (words[0] == "nameserver") resolver.servers.emplace_back(words[1]);
    if (words[0] == "search") resolver.search.assign(words.begin() + 1, words.end());
    if (words[0] == "options") resolver.options.assign(words.begin() + 1, words.end());
  }
  return resolver;
}

std::vector<std::string> public_servers() { return {"8.8.8.8", "8.8.4.4"}; }

bool sets_ndots(const std::vector<std::string>& options) {
  return std::any_of(options.begin(), options.end(),
                     [](const std::string& option) { return option.starts_with("ndots:"); });
}

constexpr std::size_t file_bytes_max = std::size_t{1} << 20;

Result<void> rewrite(const std::filesystem::path& path, std::string_view text) {
  Fd fd(open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return errno_error(errno, fmt::format("writing {}", path.string()));
  return {};
}

}  // namespace

std::string hosts_text(const NameFiles& files) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "ff00::0\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  for (const std::string& entry : files.extra_hosts) {
    std::size_t colon = entry.find(':');
    if (colon == std::string::npos) continue;
    std::string address = entry.substr(colon + 1);
    if (address == "host-gateway") address = files.host_gateway;
    text += address + "\t" + entry.substr(0, colon) + "\n";
  }
  std::string names = host_names(files);
  for (const std::string& address : files.addresses) text += address + "\t" + names + "\n";
  return text;
}

std::string host_names(const NameFiles& files) {
  if (files.domain_name.empty()) {
    const std::size_t dot = files.hostname.find('.');
    if (dot == std::string::npos) return files.hostname;
    return files.hostname + " " + files.hostname.substr(0, dot);
  }
  return files.hostname + "." + files.domain_name + " " + files.hostname;
}

NameForwarding name_forwarding(const NameFiles& files, const std::string& host) {
  HostResolver resolver = parse_resolver(host);
  NameForwarding forwarding;
  forwarding.servers = files.dns.empty() ? resolver.servers : files.dns;
  if (forwarding.servers.empty()) forwarding.servers = public_servers();
  forwarding.single_labels =
      !sets_ndots(files.dns_options.empty() ? resolver.options : files.dns_options);
  return forwarding;
}

std::string resolv_conf_text(const NameFiles& files, const std::string& host) {
  HostResolver resolver = parse_resolver(host);
  bool changed = !files.dns.empty() || !files.dns_search.empty() || !files.dns_options.empty();
  if (files.host_network && !changed) return host;
  std::erase_if(resolver.servers, is_loopback);
  if (!files.dns.empty()) resolver.servers = files.dns;
  if (!files.dns_search.empty()) resolver.search = files.dns_search;
  if (!files.dns_options.empty()) resolver.options = files.dns_options;
  if (resolver.servers.empty()) resolver.servers = public_servers();
  if (files.name_service) {
    resolver.servers = {"127.0.0.11"};
    if (!sets_ndots(resolver.options)) resolver.options.emplace_back("ndots:0");
  }
  std::string text;
  if (!resolver.search.empty() && resolver.search != std::vector<std::string>{"."})
    text += "search" + joined(resolver.search) + "\n";
  for (const std::string& server : resolver.servers) text += "nameserver " + server + "\n";
  if (!resolver.options.empty()) text += "options" + joined(resolver.options) + "\n";
  return text;
}

Result<void> add_host_lines(const std::filesystem::path& folder,
                            const std::vector<std::string>& addresses, const std::string& names) {
  LAB_TRY(std::string text, read_file(folder / "hosts", file_bytes_max));
  if (!text.empty() && text.back() != '\n') text += '\n';
  for (const std::string& address : addresses) text += address + "\t" + names + "\n";
  return rewrite(folder / "hosts", text);
}

Result<void> remove_host_lines(const std::filesystem::path& folder,
                               const std::vector<std::string>& addresses) {
  LAB_TRY(std::string text, read_file(folder / "hosts", file_bytes_max));
  std::string kept;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::size_t end = std::min(rest.find('\n'), rest.size() - 1) + 1;
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end);
    std::vector<std::string_view> words = words_of(line);
    bool gone = !words.empty() &&
                std::find(addresses.begin(), addresses.end(), words.front()) != addresses.end();
    if (!gone) kept += line;
  }
  return rewrite(folder / "hosts", kept);
}

Result<void> rewrite_resolver(const std::filesystem::path& folder, const NameFiles& files) {
  Result<std::string> host = read_file("/etc/resolv.conf", file_bytes_max);
  return rewrite(folder / "resolv.conf", resolv_conf_text(files, host ? *host : ""));
}

Result<void> write_name_files(const std::filesystem::path& folder, const NameFiles& files) {
  LAB_CHECK(write_file(folder / "hostname", files.hostname + "\n"));
  Result<std::string> host_hosts = Error{};
  if (files.host_network) host_hosts = read_file("/etc/hosts", file_bytes_max);
  LAB_CHECK(write_file(folder / "hosts", host_hosts ? *host_hosts : hosts_text(files)));
  Result<std::string> host = read_file("/etc/resolv.conf", file_bytes_max);
  return write_file(folder / "resolv.conf", resolv_conf_text(files, host ? *host : ""));
}

}  // namespace lab::engine::container
