// What a build is made from: the context's files, unpacked into a folder of their own, and the
// Dockerfile among them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "engine/build/dockerfile.hpp"
#include "engine/layer/byte_source.hpp"

namespace lab::engine::build {

class BuildContext {
 public:
  // Below `parent`; removed with all it holds at the end of the object.
  explicit BuildContext(const std::filesystem::path& parent);
  BuildContext(const BuildContext&) = delete;
  BuildContext& operator=(const BuildContext&) = delete;
  ~BuildContext();

  // Unpacks a tar, plain or compressed. Whatever it says, it stays in the folder. Blocks.
  [[nodiscard]] Result<void> unpack(layer::ByteSource& archive);
  // A context of a Dockerfile alone, which is then taken whatever name is asked for.
  [[nodiscard]] Result<void> put_dockerfile(std::string_view text);

  // Takes over the folder `inside` of `folder` (links resolved within that), of one file system.
  [[nodiscard]] Result<void> adopt(const std::filesystem::path& folder, const std::string& inside);

  // Reads and parses `name`, and takes it and .dockerignore out of the context if the latter says
  // so. Blocks. Errors have dockerd's texts.
  [[nodiscard]] Result<Dockerfile> take_dockerfile(const std::string& name);

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }

 private:
  [[nodiscard]] Result<std::string> read(const std::string& name) const;
  [[nodiscard]] Result<void> remove_ignored(const std::string& dockerfile) const;

  std::filesystem::path root_;
  bool is_dockerfile_ = false;  // put_dockerfile() made it
};

}  // namespace lab::engine::build
