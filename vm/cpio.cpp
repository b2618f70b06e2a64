#include "vm/cpio.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

namespace lab::vm {
namespace {

void pad(std::string& bytes, std::size_t unit) {
  bytes.append((unit - bytes.size() % unit) % unit, '\0');
}

}  // namespace

void CpioWriter::add_entry(std::string_view path, std::string_view content, mode_t mode) {
  const unsigned links = S_ISDIR(mode) ? 2 : 1;
  // magic, inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name length
  // with its final 0, check sum.
  bytes_ += fmt::format("070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}", ++inode_,
                        static_cast<unsigned>(mode), 0, 0, links, 0, content.size());
  bytes_ += fmt::format("{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}", 0, 0, 0, 0, path.size() + 1, 0);
  bytes_ += path;
  bytes_ += '\0';
  pad(bytes_, 4);
  bytes_ += content;
  pad(bytes_, 4);
}

void CpioWriter::add_parents(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return;
  const std::string_view parent = path.substr(0, slash);
  if (!directories_.contains(parent)) add_directory(parent, 0755);
}

void CpioWriter::add_directory(std::string_view path, mode_t mode) {
  add_parents(path);
  if (directories_.emplace(path).second) add_entry(path, {}, S_IFDIR | mode);
}

void CpioWriter::add_file(std::string_view path, std::string_view content, mode_t mode) {
  add_parents(path);
  add_entry(path, content, S_IFREG | mode);
}

std::string CpioWriter::finish() {
  inode_ = 0;
  add_entry("TRAILER!!!", {}, 0);
  pad(bytes_, 512);
  return std::move(bytes_);
}

}  // namespace lab::vm
