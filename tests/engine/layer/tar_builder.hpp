// Tar archives written by hand, so that a test can put into them what no tar program would.
#pragma once

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <string>

namespace lab::engine::layer {

class TarBuilder {
 public:
  struct Entry {
    std::string name;
    char type = '0';  // '0' file, '1' hard link, '2' symbolic link, '3' device, '5' folder, 'x' pax
    std::string body;
    std::string link;
    unsigned mode = 0644;
    unsigned uid = 0;
    unsigned gid = 0;
    long mtime = 1'600'000'000;
  };

  TarBuilder& add(const Entry& entry) {
    std::string header(512, '\0');
    const auto put = [&header](std::size_t at, const std::string& text) {
      std::memcpy(header.data() + at, text.data(), text.size());
    };
    put(0, entry.name.substr(0, 100));
    put(100, fmt::format("{:07o}", entry.mode));
    put(108, fmt::format("{:07o}", entry.uid));
    put(116, fmt::format("{:07o}", entry.gid));
    put(124, fmt::format("{:011o}", entry.body.size()));
    put(136, fmt::format("{:011o}", entry.mtime));
    put(148, "        ");
    header[156] = entry.type;
    put(157, entry.link.substr(0, 100));
    put(257, std::string("ustar\00000", 8));
    put(329, "0000000");
    put(337, "0000000");
    unsigned sum = 0;
    for (const char byte : header) sum += static_cast<unsigned char>(byte);
    put(148, fmt::format("{:06o}", sum) + std::string(1, '\0'));
    bytes_ += header + entry.body;
    bytes_.append((512 - entry.body.size() % 512) % 512, '\0');
    return *this;
  }
  TarBuilder& file(const std::string& name, const std::string& body) {
    Entry entry;
    entry.name = name;
    entry.body = body;
    return add(entry);
  }
  TarBuilder& folder(const std::string& name, unsigned mode = 0755) {
    Entry entry;
    entry.name = name;
    entry.type = '5';
    entry.mode = mode;
    return add(entry);
  }
  TarBuilder& link(const std::string& name, const std::string& target, char type = '2') {
    Entry entry;
    entry.name = name;
    entry.link = target;
    entry.type = type;
    return add(entry);
  }
  // Extended attributes and long names of the next entry.
  TarBuilder& pax(const std::map<std::string, std::string>& records) {
    Entry entry;
    entry.name = "PaxHeaders/x";
    entry.type = 'x';
    for (const auto& [key, value] : records) {
      const std::size_t fixed = key.size() + value.size() + 3;
      std::size_t length = fixed + 1;
      while (fixed + std::to_string(length).size() != length) ++length;
      entry.body += fmt::format("{} {}={}\n", length, key, value);
    }
    return add(entry);
  }
  [[nodiscard]] std::string finish() const { return bytes_ + std::string(1024, '\0'); }

 private:
  std::string bytes_;
};

}  // namespace lab::engine::layer
