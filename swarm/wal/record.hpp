// How the log's batches and files look on disk: fixed-size little-endian numbers, every unit under
// a CRC-32.
//
//   segment file  "log-<sequence>": header, then batches
//   header        magic "SWLOG1\n\0", sequence (8), crc of both (4)
//   batch         magic (4), size of the body (4), crc of size and body (4), body
//   body          first index (8), flags (1), count (4), then per entry: term (8), type (2),
//                 size (4), data
//   snapshot file "snapshot-<index>-<term>": magic "SWSNAP1\n", size of the body (8), crc (4), body
//
// A batch takes effect whole or not at all: it is the unit of a torn write. One whose first index
// lies at or before the last entry takes the place of the entries from there on (so truncation is
// an append as well, and no written byte is ever changed). One with the flag `reset` forgets all
// entries before it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "swarm/raft/log_store.hpp"

namespace lab::swarm::wal {

inline constexpr std::size_t segment_header_bytes = 20;
inline constexpr std::size_t batch_header_bytes = 12;

struct Batch {
  std::uint64_t first_index = 0;
  bool reset = false;
  std::vector<raft::Entry> entries;
};

[[nodiscard]] std::string encode_segment_header(std::uint64_t sequence);
// Nothing if it is not the intact header of that segment.
[[nodiscard]] bool is_segment_header(std::string_view bytes, std::uint64_t sequence);

[[nodiscard]] std::string encode_batch(std::uint64_t first_index, bool reset,
                                       std::span<const raft::Entry> entries);
// The batch at the beginning of `bytes` and its size; nothing if it is incomplete or damaged.
struct DecodedBatch {
  Batch batch;
  std::size_t size = 0;
};
[[nodiscard]] std::optional<DecodedBatch> decode_batch(std::string_view bytes);
// Whether an intact batch begins anywhere in `bytes`.
[[nodiscard]] bool holds_intact_batch(std::string_view bytes);

[[nodiscard]] std::string encode_snapshot(const raft::Snapshot& snapshot);
// Code::internal when damaged.
[[nodiscard]] Result<raft::Snapshot> decode_snapshot(std::string_view bytes);

struct Metadata {
  std::uint64_t term = 0;
  std::uint64_t voted_for = 0;
};
[[nodiscard]] std::string encode_metadata(const Metadata& metadata);
[[nodiscard]] Result<Metadata> decode_metadata(std::string_view bytes);

}  // namespace lab::swarm::wal
