// The pcapng file format (draft-ietf-opsawg-pcapng), as much of it as a capture of Ethernet frames
// needs: each function appends one block. Little-endian, time stamps in nanoseconds.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace lab::netsim::pcapng {

// Begins a file. `application` is who wrote it.
void section(std::string& out, std::string_view application);
// The interfaces of a section are numbered from 0 in their order.
void interface(std::string& out, std::string_view name, std::uint32_t frame_bytes_max);
// A frame of that interface; no comment when it is empty.
void packet(std::string& out, std::uint32_t interface, WallTime time,
            std::span<const unsigned char> frame, std::string_view comment);
// How many frames of an interface the writer had no room for.
void statistics(std::string& out, std::uint32_t interface, WallTime time, std::uint64_t lost);

}  // namespace lab::netsim::pcapng
