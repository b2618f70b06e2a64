#include "vm/template_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/digest.hpp"
#include "base/file.hpp"

namespace lab::vm {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t read_bytes = std::size_t{1} << 20;
constexpr const char* checksums_name = "checksums";
constexpr const char* compared_name = "compared";
constexpr const char* used_name = "used";

// The next stretch of the file from `at` that is not a hole.
struct Stretch {
  off_t begin = 0;
  off_t end = 0;
};
std::optional<Stretch> next_stretch(int fd, off_t at) {
  const off_t begin = lseek(fd, at, SEEK_DATA);
  if (begin < 0) return std::nullopt;
  return Stretch{begin, lseek(fd, begin, SEEK_HOLE)};
}

bool is_zero(const char* bytes, std::size_t size) {
  return bytes[0] == 0 && std::memcmp(bytes, bytes + 1, size - 1) == 0;
}

// Calls `take(offset, bytes)` for all that is not a hole.
template <typename Take>
Result<void> each_piece(int fd, const fs::path& path, Take take) {
  std::string buffer(read_bytes, '\0');
  for (auto stretch = next_stretch(fd, 0); stretch; stretch = next_stretch(fd, stretch->end)) {
    for (off_t at = stretch->begin; at < stretch->end;) {
      const auto wanted = std::min<off_t>(stretch->end - at, static_cast<off_t>(buffer.size()));
      const ssize_t size = pread(fd, buffer.data(), static_cast<std::size_t>(wanted), at);
      if (size <= 0) return errno_error(size < 0 ? errno : EIO, "reading " + path.string());
      take(at, std::string_view(buffer.data(), static_cast<std::size_t>(size)));
      at += size;
    }
  }
  return {};
}

Result<void> punch_zeros(const fs::path& path) {
  const Fd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return errno_error(errno, path.string());
  return each_piece(fd.get(), path, [&fd](off_t at, std::string_view bytes) {
    for (std::size_t from = 0; from + page_bytes <= bytes.size();) {
      std::size_t to = from;
      while (to + page_bytes <= bytes.size() && is_zero(bytes.data() + to, page_bytes))
        to += page_bytes;
      // A file system that cannot do it keeps the zeros.
      if (to > from)
        fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  at + static_cast<off_t>(from), static_cast<off_t>(to - from));
      from = to > from ? to : from + page_bytes;
    }
  });
}

// Zeros count the same whether they are a hole or were written.
Result<std::string> checksum(const fs::path& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(errno, path.string());
  struct stat info {};
  fstat(fd.get(), &info);
  Sha256 hash;
  hash.update(fmt::format("{}\n", info.st_size));
  LAB_CHECK(each_piece(fd.get(), path, [&hash](off_t at, std::string_view bytes) {
    for (std::size_t from = 0; from < bytes.size(); from += page_bytes) {
      const std::string_view page = bytes.substr(from, page_bytes);
      if (is_zero(page.data(), page.size())) continue;
      hash.update(fmt::format("{}\n", at + static_cast<off_t>(from)));
      hash.update(page);
    }
  }));
  return to_hex(hash.finish());
}

std::vector<fs::path> files_of(const TemplateFolder& folder) {
  return {folder.disk(), folder.memory(), folder.devices()};
}

Result<std::string> checksums_of(const TemplateFolder& folder) {
  std::string text;
  for (const fs::path& file : files_of(folder)) {
    LAB_TRY(const std::string sum, checksum(file));
    text += fmt::format("{} {}\n", sum, file.filename().string());
  }
  return text;
}

// Changes with the host's boot and with whatever touches one of the files. Empty when one of them
// is missing.
std::string stamp(const TemplateFolder& folder) {
  const Result<std::string> boot = read_file("/proc/sys/kernel/random/boot_id");
  std::string text = boot ? *boot : "";
  for (const fs::path& file : files_of(folder)) {
    struct stat info {};
    if (stat(file.c_str(), &info) != 0) return {};
    text += fmt::format("{} {} {}.{:09}\n", info.st_ino, info.st_size, info.st_mtim.tv_sec,
                        info.st_mtim.tv_nsec);
  }
  return text;
}

}  // namespace

Result<void> TemplateFolder::seal() const {
  LAB_CHECK(punch_zeros(memory()));
  std::error_code ignored;
  fs::permissions(disk(), fs::perms{0444}, ignored);
  LAB_TRY(const std::string checksums, checksums_of(*this));
  LAB_CHECK(write_file(path_ / compared_name, stamp(*this)));
  return write_file(path_ / checksums_name, checksums);
}

Result<void> TemplateFolder::check() const {
  const Result<std::string> expected = read_file(path_ / checksums_name);
  if (!expected) return expected.error();
  const std::string now = stamp(*this);
  const Result<std::string> before = read_file(path_ / compared_name);
  if (!now.empty() && before && *before == now) return {};
  const Result<std::string> found = checksums_of(*this);
  if (!found || *found != *expected)
    return make_error(Code::internal, "the template {} is damaged", path_.string());
  return write_file(path_ / compared_name, now);
}

void TemplateFolder::mark_used() const {
  [[maybe_unused]] const Result<void> marked = write_file(path_ / used_name, "");
}

void remove_unused_templates(const fs::path& templates, std::size_t kept) {
  std::vector<std::pair<fs::file_time_type, fs::path>> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(templates, ignored)) {
    const fs::path used = entry.path() / used_name;
    if (!fs::exists(used, ignored)) continue;
    found.emplace_back(fs::last_write_time(used, ignored), entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  for (std::size_t i = kept; i < found.size(); ++i) fs::remove_all(found[i].second, ignored);
}

}  // namespace lab::vm
