#include <sys/stat.h>

#include <boost/json.hpp>

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "vm/image_build.hpp"

namespace lab::vm {
namespace {

constexpr int download_wait_ms = 60 * 60 * 1000;
constexpr std::chrono::minutes download_time_max{55};

bool is_url(const std::string& text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

// What `qemu-img` says of the file: its format and the size that a guest sees.
Result<GuestImage> inspect(const std::filesystem::path& file, const std::string& id) {
  Command command;
  command.argv = {"qemu-img", "info", "--output=json", "--force-share", file.string()};
  LAB_TRY(const std::string output, run_checked(command));
  boost::system::error_code error;
  const boost::json::value document = boost::json::parse(output, error);
  if (error || !document.is_object())
    return make_error(Code::internal, "qemu-img info {} did not answer in JSON", file.string());
  const boost::json::object& info = document.as_object();
  const boost::json::value* format = info.if_contains("format");
  const boost::json::value* size = info.if_contains("virtual-size");
  if (!format || !format->is_string() || !size || !size->is_number())
    return make_error(Code::internal, "qemu-img info {} says neither format nor size",
                      file.string());
  if (info.contains("backing-filename"))
    return make_error(Code::invalid_argument,
                      "{} has a backing file; give a cloud image that stands alone", file.string());
  GuestImage image;
  image.id = id;
  image.base_disk = file;
  image.base_format = std::string(format->as_string());
  image.base_mib = (size->to_number<std::uint64_t>() + (1 << 20) - 1) >> 20;
  return image;
}

// Where it is remembered that a file was hashed: reading hundreds of megabytes at every `up` would
// be felt. The record is worthless once the file's size or time has changed.
std::filesystem::path record_path(const std::filesystem::path& file,
                                  const std::filesystem::path& cache_root) {
  return cache_root / "images" / ("checked-" + sha256_hex(file.string()).substr(0, 32));
}

Result<std::string> stamp(const std::filesystem::path& file) {
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) return errno_error(errno, "cloud image " + file.string());
  return fmt::format("{} {}.{:09}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

Result<std::string> hash_of(const std::filesystem::path& file,
                            const std::filesystem::path& cache_root) {
  LAB_TRY(const std::string now, stamp(file));
  const std::filesystem::path record = record_path(file, cache_root);
  if (const Result<std::string> known = read_file(record);
      known && known->size() == 65 + now.size() && known->substr(65) == now)
    return known->substr(0, 64);
  LAB_TRY(const std::string hash, sha256_hex_of_file(file));
  LAB_CHECK(make_directories(record.parent_path()));
  LAB_CHECK(write_file(record, hash + " " + now));
  return hash;
}

Result<void> check_hash(const std::string& name, const std::string& found,
                        const std::string& expected) {
  if (expected.empty() || found == expected) return {};
  return make_error(Code::invalid_argument, "{} has the SHA-256 {}, not {} as the labfile says",
                    name, found, expected);
}

Result<GuestImage> local_image(const ImageRequest& request,
                               const std::filesystem::path& cache_root) {
  const std::filesystem::path file = std::filesystem::absolute(request.cloud_image);
  LAB_TRY(const std::string hash, hash_of(file, cache_root));
  LAB_CHECK(check_hash(file.string(), hash, request.sha256));
  return inspect(file, hash);
}

std::filesystem::path download_path(const ImageRequest& request,
                                    const std::filesystem::path& cache_root) {
  return cache_root / "images" / ("cloud-" + request.sha256 + ".img");
}

Result<void> download(const ImageRequest& request, const std::filesystem::path& target,
                      const ImageProgress& progress) {
  const std::filesystem::path partial = target.string() + ".part";
  progress(fmt::format("downloading {}", request.cloud_image));
  Command command;
  command.argv = {
      "curl", "--fail",   "--silent", "--show-error", "--location",       "--continue-at",
      "-",    "--output", partial,    "--",           request.cloud_image};
  command.timeout = download_time_max;
  LAB_CHECK(run_checked(command));
  LAB_TRY(const std::string hash, sha256_hex_of_file(partial));
  if (auto right = check_hash(request.cloud_image, hash, request.sha256); !right) {
    std::filesystem::remove(partial);  // resuming it would never help
    return right.error();
  }
  std::filesystem::rename(partial, target);
  return {};
}

}  // namespace

std::optional<GuestImage> cached_cloud_image(const ImageRequest& request,
                                             const std::filesystem::path& cache_root) {
  std::error_code error;
  const std::filesystem::path file = is_url(request.cloud_image)
                                         ? download_path(request, cache_root)
                                         : std::filesystem::path(request.cloud_image);
  if (!std::filesystem::exists(file, error)) return std::nullopt;
  GuestImage image;
  image.base_disk = file;
  return image;
}

Result<GuestImage> fetch_cloud_image(const ImageRequest& request,
                                     const std::filesystem::path& cache_root,
                                     const ImageProgress& progress) {
  if (!is_url(request.cloud_image)) return local_image(request, cache_root);
  if (request.sha256.size() != 64 || !from_hex(request.sha256))
    return make_error(Code::invalid_argument,
                      "the cloud image {} needs its SHA-256 (64 hexadecimal digits): without it "
                      "nobody would notice another file in its place",
                      request.cloud_image);
  const std::filesystem::path file = download_path(request, cache_root);
  LAB_CHECK(make_directories(file.parent_path()));
  LAB_TRY(const Fd lock, lock_file(file.string() + ".lock", download_wait_ms));
  std::error_code error;
  if (!std::filesystem::exists(file, error)) LAB_CHECK(download(request, file, progress));
  return inspect(file, request.sha256);
}

}  // namespace lab::vm
