#include "engine/layer/tar_writer.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>

namespace lab::engine::layer {

namespace {

constexpr std::size_t block_size = 512;
constexpr std::size_t name_size = 100;
constexpr std::uint64_t octal7_max = 07777777;       // owners, devices
constexpr std::uint64_t octal11_max = 077777777777;  // sizes, times

const std::string zeros(std::size_t{64} << 10, '\0');

char type_of(const TarEntry& entry) {
  if (!entry.hard_link.empty()) return '1';
  switch (entry.mode & S_IFMT) {
    case S_IFLNK: return '2';
    case S_IFCHR: return '3';
    case S_IFBLK: return '4';
    case S_IFDIR: return '5';
    case S_IFIFO: return '6';
    default: return '0';
  }
}

bool is_plain(std::string_view text) {
  return text.size() <= name_size &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0 && c < 127; });
}

// "LENGTH KEY=VALUE\n", the length counting itself.
std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t fixed = key.size() + value.size() + 3;
  std::size_t length = fixed + 1;
  while (fixed + std::to_string(length).size() != length) ++length;
  return fmt::format("{} {}={}\n", length, key, value);
}

struct Header {
  std::string_view name;
  char type = '0';
  std::string_view link;
  mode_t mode = 0;
  std::uint64_t uid = 0;
  std::uint64_t gid = 0;
  std::uint64_t size = 0;
  std::int64_t mtime = 0;
  dev_t device = 0;
};

std::string header_block(const Header& header) {
  std::string block(block_size, '\0');
  const auto text = [&block](std::size_t at, std::string_view value, std::size_t size_max) {
    value.copy(block.data() + at, size_max);
  };
  const auto octal = [&](std::size_t at, std::uint64_t value, int digits) {
    text(at, fmt::format("{:0{}o}", value, digits), static_cast<std::size_t>(digits));
  };
  const auto limited = [](std::uint64_t value, std::uint64_t limit) {
    return value > limit ? 0 : value;  // the pax header has it
  };
  text(0, header.name, name_size);
  octal(100, header.mode & 07777U, 7);
  octal(108, limited(header.uid, octal7_max), 7);
  octal(116, limited(header.gid, octal7_max), 7);
  octal(124, limited(header.size, octal11_max), 11);
  octal(136, header.mtime < 0 ? 0 : limited(static_cast<std::uint64_t>(header.mtime), octal11_max),
        11);
  text(148, "        ", 8);
  block[156] = header.type;
  text(157, header.link, name_size);
  text(257, std::string_view("ustar\00000", 8), 8);
  if (header.type == '3' || header.type == '4') {
    octal(329, major(header.device), 7);
    octal(337, minor(header.device), 7);
  }
  unsigned sum = 0;
  for (const char byte : block) sum += static_cast<unsigned char>(byte);
  octal(148, sum, 6);
  block[154] = '\0';
  return block;
}

std::string pax_records(const TarEntry& entry, const std::string& link, std::uint64_t size) {
  std::string records;
  if (!is_plain(entry.name)) records += pax_record("path", entry.name);
  if (!is_plain(link)) records += pax_record("linkpath", link);
  if (size > octal11_max) records += pax_record("size", std::to_string(size));
  if (entry.uid > octal7_max) records += pax_record("uid", std::to_string(entry.uid));
  if (entry.gid > octal7_max) records += pax_record("gid", std::to_string(entry.gid));
  if (entry.mtime_seconds < 0 || static_cast<std::uint64_t>(entry.mtime_seconds) > octal11_max) {
    records += pax_record("mtime", std::to_string(entry.mtime_seconds));
  }
  for (const auto& [name, value] : entry.attributes) {
    records += pax_record("SCHILY.xattr." + name, value);
  }
  return records;
}

std::uint64_t padding_after(std::uint64_t size) {
  return (block_size - size % block_size) % block_size;
}

}  // namespace

Result<void> TarWriter::emit(std::string_view bytes) {
  return bytes.empty() ? Result<void>{} : sink_(bytes);
}

Result<void> TarWriter::complete_entry() {
  for (std::uint64_t left = left_ + padding_; left > 0;) {
    const std::size_t count = std::min<std::uint64_t>(left, zeros.size());
    LAB_CHECK(emit(std::string_view(zeros).substr(0, count)));
    left -= count;
  }
  left_ = padding_ = 0;
  return {};
}

Result<void> TarWriter::header(const TarEntry& entry) {
  LAB_CHECK(complete_entry());
  const char type = type_of(entry);
  const std::string& link = type == '1' ? entry.hard_link : entry.symbolic_link;
  const std::uint64_t size = type == '0' ? entry.size_bytes : 0;
  const std::string records = pax_records(entry, link, size);
  std::string bytes;
  if (!records.empty()) {
    Header pax;
    pax.name = "PaxHeaders.0/entry";
    pax.type = 'x';
    pax.mode = 0644;
    pax.size = records.size();
    bytes = header_block(pax) + records;
    bytes.append(padding_after(records.size()), '\0');
  }
  Header plain;
  plain.name = entry.name;
  plain.type = type;
  plain.link = link;
  plain.mode = entry.mode;
  plain.uid = entry.uid;
  plain.gid = entry.gid;
  plain.size = size;
  plain.mtime = entry.mtime_seconds;
  plain.device = entry.device;
  bytes += header_block(plain);
  left_ = size;
  padding_ = padding_after(size);
  return emit(bytes);
}

Result<void> TarWriter::data(std::string_view bytes) {
  if (bytes.size() > left_) {
    return make_error(Code::internal, "{} bytes too many in a tar entry", bytes.size() - left_);
  }
  left_ -= bytes.size();
  return emit(bytes);
}

Result<void> TarWriter::file(const std::string& name, std::string_view content,
                             std::int64_t mtime_seconds) {
  TarEntry entry;
  entry.name = name;
  entry.mode = S_IFREG | 0644;
  entry.size_bytes = content.size();
  entry.mtime_seconds = mtime_seconds;
  LAB_CHECK(header(entry));
  return data(content);
}

Result<void> TarWriter::finish() {
  LAB_CHECK(complete_entry());
  return emit(std::string_view(zeros).substr(0, 2 * block_size));
}

}  // namespace lab::engine::layer
