#include "engine/build/download.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <ctime>

#include "base/file.hpp"
#include "base/http_client.hpp"
#include "engine/registry/hosts.hpp"
#include "engine/registry/session.hpp"

namespace lab::engine::build {

namespace asio = boost::asio;

namespace {

constexpr int redirects_max = 10;
constexpr std::size_t piece_bytes = std::size_t{128} << 10;
constexpr std::size_t error_bytes_max = std::size_t{64} << 10;
constexpr std::chrono::minutes silence_max{5};

using ResponsePtr = std::unique_ptr<http::ClientResponse>;

// The client and its answer: the one is read through the other.
struct Answer {
  std::unique_ptr<http::Client> client;
  ResponsePtr response;
  registry::Url url;
};

asio::awaitable<Result<Answer>> get(asio::any_io_executor executor, std::string text,
                                    registry::Options options) {
  LAB_CO_TRY(registry::Url url, registry::parse_url(text));
  for (int redirects = 0; redirects <= redirects_max; ++redirects) {
    LAB_CO_TRY(http::Endpoint endpoint, registry::endpoint_for(url, true, options));
    Answer answer;
    answer.client = std::make_unique<http::Client>(executor, std::move(endpoint));
    http::ClientRequest request;
    request.target = url.target;
    request.body_timeout = silence_max;
    request.headers.set("User-Agent", "swarmlab/" LAB_VERSION);
    auto response = co_await answer.client->send(std::move(request));
    if (!response) co_return registry::transport_error("GET", url, response.error());
    answer.response = std::move(*response);
    const int status = answer.response->status();
    const std::string location(answer.response->headers().get("Location"));
    if (status < 300 || status >= 400 || location.empty()) {
      answer.url = std::move(url);
      co_return answer;
    }
    LAB_CO_TRY(url, registry::resolve_location(url, location));
  }
  co_return make_error(Code::internal, "Get \"{}\": stopped after {} redirects", text,
                       redirects_max);
}

// The last component of the URL's path, or what Content-Disposition says.
std::string name_of(const registry::Url& url, const http::Headers& headers) {
  const auto usable = [](const std::string& name) {
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
  };
  std::string path = url.target.substr(0, url.target.find_first_of("?#"));
  std::string name = http::url_decode(path.substr(path.rfind('/') + 1), false);
  if (usable(name)) return name;
  const std::string disposition(headers.get("Content-Disposition"));
  const std::size_t at = disposition.find("filename=");
  if (at == std::string::npos) return {};
  name = disposition.substr(at + 9);
  name = name.substr(0, name.find(';'));
  std::erase(name, '"');
  return usable(name) ? name : std::string();
}

void set_time(int file, std::string_view last_modified) {
  std::tm parsed{};
  const std::string text(last_modified);
  timespec times[2] = {};
  if (strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parsed) != nullptr)
    times[0].tv_sec = times[1].tv_sec = timegm(&parsed);
  futimens(file, times);
}

asio::awaitable<Result<void>> save(http::ClientResponse& response, int file,
                                   registry::Progress& progress) {
  const std::string length(response.headers().get("Content-Length"));
  std::uint64_t total = 0;
  std::from_chars(length.data(), length.data() + length.size(), total);
  std::string buffer(piece_bytes, '\0');
  std::uint64_t received = 0;
  for (;;) {
    LAB_CO_TRY(const std::size_t count, co_await response.read_some(asio::buffer(buffer)));
    if (count == 0) break;
    for (std::size_t put = 0; put < count;) {
      const ssize_t written = write(file, buffer.data() + put, count - put);
      if (written < 0) co_return errno_error(errno, "saving a download");
      put += static_cast<std::size_t>(written);
    }
    received += count;
    progress.layer("Downloading", "", received, total);
  }
  co_return Result<void>();
}

}  // namespace

bool is_url(std::string_view word) {
  return word.starts_with("http://") || word.starts_with("https://");
}

asio::awaitable<Result<Download>> download(asio::any_io_executor executor, std::string url,
                                           std::filesystem::path folder, registry::Options options,
                                           registry::Progress& progress) {
  LAB_CO_TRY(Answer answer, co_await get(executor, url, std::move(options)));
  const int status = answer.response->status();
  if (status >= 400) {
    auto body = co_await answer.response->read_all(error_bytes_max);
    std::string text = body ? *body : std::string();
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    co_return make_error(Code::internal, "failed to GET {} with status {} {}: {}", url, status,
                         http::reason_phrase(status), text);
  }
  Download done;
  done.name = name_of(answer.url, answer.response->headers());
  done.content_type = answer.response->headers().get("Content-Type");
  done.content_type = done.content_type.substr(0, done.content_type.find(';'));
  LAB_CO_CHECK(make_directories(folder, 0700));
  const std::filesystem::path path = folder / (done.name.empty() ? unnamed_file : done.name);
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) co_return errno_error(errno, "creating " + path.string());
  LAB_CO_CHECK(co_await save(*answer.response, file.get(), progress));
  set_time(file.get(), answer.response->headers().get("Last-Modified"));
  done.folder = std::move(folder);
  co_return done;
}

}  // namespace lab::engine::build
