// Memory for frames that wait: taken and given back without allocating once enough is there.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace lab::netsim {

class FramePool {
 public:
  // `size` is at most `large`; give() takes the same size.
  explicit FramePool(std::size_t large) : large_(large) {}

  [[nodiscard]] unsigned char* take(std::size_t size) {
    auto& free = size <= small ? free_small_ : free_large_;
    if (free.empty()) grow(free, size <= small ? small : large_);
    unsigned char* frame = free.back();
    free.pop_back();
    return frame;
  }
  void give(unsigned char* frame, std::size_t size) {
    (size <= small ? free_small_ : free_large_).push_back(frame);
  }

 private:
  static constexpr std::size_t small = 1600;  // a frame of the usual MTU
  static constexpr std::size_t frames_per_slab = 64;

  void grow(std::vector<unsigned char*>& free, std::size_t size) {
    slabs_.push_back(std::make_unique_for_overwrite<unsigned char[]>(size * frames_per_slab));
    for (std::size_t i = 0; i < frames_per_slab; ++i) {
      free.push_back(slabs_.back().get() + i * size);
    }
  }

  std::size_t large_;
  std::vector<unsigned char*> free_small_;
  std::vector<unsigned char*> free_large_;
  std::vector<std::unique_ptr<unsigned char[]>> slabs_;
};

}  // namespace lab::netsim
