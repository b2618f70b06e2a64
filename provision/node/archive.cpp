#include "provision/node/archive.hpp"

#include <zlib.h>

#include <cstring>

namespace lab::provision {

namespace {

constexpr std::size_t block_bytes = 512;
constexpr std::size_t name_bytes_max = 100;

struct Header {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char kind;
  char link[100];
  char magic[6];
  char version[2];
  char user[32];
  char group[32];
  char device[16];
  char prefix[155];
  char padding[12];
};
static_assert(sizeof(Header) == block_bytes);

template <std::size_t N>
void put_octal(char (&field)[N], std::uint64_t value) {
  for (std::size_t i = N - 1; i-- > 0; value /= 8) field[i] = static_cast<char>('0' + value % 8);
  field[N - 1] = '\0';
}

}  // namespace

void Archive::add_header(std::string_view name, char kind, std::size_t size, unsigned mode,
                         std::string_view link_target) {
  Header header{};
  std::memcpy(header.name, name.data(), std::min(name.size(), name_bytes_max));
  std::memcpy(header.link, link_target.data(), std::min(link_target.size(), name_bytes_max));
  put_octal(header.mode, mode);
  put_octal(header.uid, 0);
  put_octal(header.gid, 0);
  put_octal(header.size, size);
  put_octal(header.mtime, static_cast<std::uint64_t>(mtime_));
  header.kind = kind;
  std::memcpy(header.magic, "ustar", 6);
  std::memcpy(header.version, "00", 2);
  std::memset(header.checksum, ' ', sizeof header.checksum);
  char raw[block_bytes];
  std::memcpy(raw, &header, block_bytes);
  unsigned sum = 0;
  for (char c : raw) sum += static_cast<unsigned char>(c);
  put_octal(header.checksum, sum);
  bytes_.append(reinterpret_cast<const char*>(&header), block_bytes);
}

void Archive::add_content(std::string_view content) {
  bytes_ += content;
  if (std::size_t rest = content.size() % block_bytes; rest != 0)
    bytes_.append(block_bytes - rest, '\0');
}

void Archive::add_entry(std::string_view path, char kind, std::string_view content, unsigned mode,
                        std::string_view link_target) {
  while (path.starts_with('/')) path.remove_prefix(1);
  // GNU's extension for what does not fit a header: an entry of kind L or K before it.
  if (path.size() > name_bytes_max) {
    add_header("././@LongLink", 'L', path.size() + 1, 0644, "");
    add_content(std::string(path) + '\0');
  }
  if (link_target.size() > name_bytes_max) {
    add_header("././@LongLink", 'K', link_target.size() + 1, 0644, "");
    add_content(std::string(link_target) + '\0');
  }
  add_header(path, kind, content.size(), mode, link_target);
  add_content(content);
}

void Archive::add_file(std::string_view path, std::string_view content, unsigned mode) {
  add_entry(path, '0', content, mode, "");
}

void Archive::add_symlink(std::string_view path, std::string_view target) {
  add_entry(path, '2', "", 0777, target);
}

Result<std::string> Archive::finish() {
  bytes_.append(2 * block_bytes, '\0');
  z_stream stream{};
  constexpr int gzip_window = 15 + 16;
  if (deflateInit2(&stream, 1, Z_DEFLATED, gzip_window, 9, Z_DEFAULT_STRATEGY) != Z_OK)
    return make_error(Code::internal, "zlib did not start");
  std::string packed(deflateBound(&stream, bytes_.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(bytes_.data());
  stream.avail_in = static_cast<uInt>(bytes_.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  int status = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  bytes_.clear();
  if (status != Z_STREAM_END) return make_error(Code::internal, "zlib failed ({})", status);
  return packed;
}

}  // namespace lab::provision
