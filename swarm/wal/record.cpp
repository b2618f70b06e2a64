#include "swarm/wal/record.hpp"

#include <boost/crc.hpp>
#include <limits>

namespace lab::swarm::wal {

namespace {

constexpr std::string_view segment_magic{"SWLOG1\n\0", 8};
constexpr std::string_view batch_magic = "BTCH";
constexpr std::string_view snapshot_magic = "SWSNAP1\n";
constexpr std::string_view metadata_magic = "SWMETA1\n";
constexpr std::uint8_t flag_reset = 1;

std::uint32_t crc_of(std::string_view bytes) {
  boost::crc_32_type crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

template <typename T>
void put(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out += static_cast<char>(value & 0xff);
    value = static_cast<T>(static_cast<std::uint64_t>(value) >> 8);
  }
}

// Reads numbers and strings off a text; `ok` turns false at the first one that is not there.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  T number() {
    std::string_view raw = take(sizeof(T));
    std::uint64_t value = 0;
    for (std::size_t i = raw.size(); i > 0; --i)
      value = value << 8 | static_cast<unsigned char>(raw[i - 1]);
    return static_cast<T>(value);
  }
  std::string_view take(std::size_t size) {
    if (!ok_ || size > bytes_.size()) {
      ok_ = false;
      return {};
    }
    std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return ok_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

std::optional<Batch> decode_body(std::string_view body) {
  Reader reader(body);
  Batch batch;
  batch.first_index = reader.number<std::uint64_t>();
  batch.reset = (reader.number<std::uint8_t>() & flag_reset) != 0;
  auto count = reader.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && reader.ok(); ++i) {
    raft::Entry entry;
    entry.term = reader.number<std::uint64_t>();
    entry.type = reader.number<std::uint16_t>();
    auto size = reader.number<std::uint32_t>();
    entry.data = std::string(reader.take(size));
    batch.entries.push_back(std::move(entry));
  }
  if (!reader.at_end()) return std::nullopt;
  return batch;
}

Error damaged(std::string_view what) { return make_error(Code::internal, "damaged {}", what); }

}  // namespace

std::string encode_segment_header(std::uint64_t sequence) {
  std::string header(segment_magic);
  put(header, sequence);
  put(header, crc_of(header));
  return header;
}

bool is_segment_header(std::string_view bytes, std::uint64_t sequence) {
  return bytes.substr(0, segment_header_bytes) == encode_segment_header(sequence);
}

std::string encode_batch(std::uint64_t first_index, bool reset,
                         std::span<const raft::Entry> entries) {
  std::string body;
  put(body, first_index);
  put(body, reset ? flag_reset : std::uint8_t{0});
  put(body, static_cast<std::uint32_t>(entries.size()));
  for (const raft::Entry& entry : entries) {
    put(body, entry.term);
    put(body, entry.type);
    put(body, static_cast<std::uint32_t>(entry.data.size()));
    body += entry.data;
  }
  std::string sized;
  put(sized, static_cast<std::uint32_t>(body.size()));
  sized += body;
  std::string batch(batch_magic);
  batch += sized.substr(0, 4);
  put(batch, crc_of(sized));
  batch += body;
  return batch;
}

std::optional<DecodedBatch> decode_batch(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.take(batch_magic.size()) != batch_magic) return std::nullopt;
  std::string_view size_bytes = reader.take(4);
  auto size = Reader(size_bytes).number<std::uint32_t>();
  auto crc = reader.number<std::uint32_t>();
  std::string_view body = reader.take(size);
  if (!reader.ok()) return std::nullopt;
  boost::crc_32_type actual;
  actual.process_bytes(size_bytes.data(), size_bytes.size());
  actual.process_bytes(body.data(), body.size());
  if (actual.checksum() != crc) return std::nullopt;
  std::optional<Batch> batch = decode_body(body);
  if (!batch) return std::nullopt;
  return DecodedBatch{.batch = std::move(*batch), .size = batch_header_bytes + size};
}

bool holds_intact_batch(std::string_view bytes) {
  for (std::size_t at = bytes.find(batch_magic); at != std::string_view::npos;
       at = bytes.find(batch_magic, at + 1)) {
    if (decode_batch(bytes.substr(at))) return true;
  }
  return false;
}

std::string encode_snapshot(const raft::Snapshot& snapshot) {
  std::string body;
  put(body, snapshot.index);
  put(body, snapshot.term);
  put(body, snapshot.configuration_index);
  put(body, static_cast<std::uint32_t>(snapshot.configuration.size()));
  for (const raft::Server& server : snapshot.configuration) {
    put(body, server.id);
    put(body, static_cast<std::uint8_t>(server.role));
    put(body, static_cast<std::uint32_t>(server.address.size()));
    body += server.address;
  }
  body += snapshot.data;
  std::string file(snapshot_magic);
  put(file, static_cast<std::uint64_t>(body.size()));
  put(file, crc_of(body));
  file += body;
  return file;
}

Result<raft::Snapshot> decode_snapshot(std::string_view bytes) {
  Reader file(bytes);
  if (file.take(snapshot_magic.size()) != snapshot_magic) return damaged("snapshot: no magic");
  auto size = file.number<std::uint64_t>();
  auto crc = file.number<std::uint32_t>();
  std::string_view body = file.take(size);
  if (!file.at_end() || crc_of(body) != crc) return damaged("snapshot: wrong checksum");
  Reader reader(body);
  raft::Snapshot snapshot;
  snapshot.index = reader.number<std::uint64_t>();
  snapshot.term = reader.number<std::uint64_t>();
  snapshot.configuration_index = reader.number<std::uint64_t>();
  auto servers = reader.number<std::uint32_t>();
  std::size_t used = 3 * sizeof(std::uint64_t) + sizeof(std::uint32_t);
  for (std::uint32_t i = 0; i < servers && reader.ok(); ++i) {
    raft::Server server;
    server.id = reader.number<std::uint64_t>();
    server.role = static_cast<raft::ServerRole>(reader.number<std::uint8_t>());
    auto length = reader.number<std::uint32_t>();
    server.address = std::string(reader.take(length));
    used += sizeof(std::uint64_t) + 1 + sizeof(std::uint32_t) + server.address.size();
    snapshot.configuration.push_back(std::move(server));
  }
  if (!reader.ok()) return damaged("snapshot: configuration cut short");
  snapshot.data = std::string(body.substr(used));
  return snapshot;
}

std::string encode_metadata(const Metadata& metadata) {
  std::string file(metadata_magic);
  put(file, metadata.term);
  put(file, metadata.voted_for);
  put(file, crc_of(file));
  return file;
}

Result<Metadata> decode_metadata(std::string_view bytes) {
  Reader reader(bytes);
  Metadata metadata;
  if (reader.take(metadata_magic.size()) != metadata_magic) return damaged("metadata: no magic");
  metadata.term = reader.number<std::uint64_t>();
  metadata.voted_for = reader.number<std::uint64_t>();
  auto crc = reader.number<std::uint32_t>();
  if (!reader.at_end() || crc_of(bytes.substr(0, bytes.size() - sizeof crc)) != crc)
    return damaged("metadata: wrong checksum");
  return metadata;
}

}  // namespace lab::swarm::wal
