// The templates that one `lab up` starts its machines from: one for each size of machine, each made
// or checked once, however many wait for it. A template holds what is the same on all machines: the
// programs and their units, and the layers of the images that `lab up` itself runs.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <map>
#include <optional>
#include <tuple>

#include "provision/node/files.hpp"
#include "provision/parallel.hpp"
#include "provision/progress.hpp"
#include "vm/template.hpp"

namespace lab::provision {

class Templates {
 public:
  // `common` are the files that every machine has. The catalogue is there.
  Templates(vm::Provider& provider, std::filesystem::path cache_root,
            const std::vector<NodeFile>& common, Progress& progress,
            boost::asio::any_io_executor executor);

  // The template for such a machine; nothing when there can be none, after a notice why.
  [[nodiscard]] boost::asio::awaitable<std::optional<vm::MachineTemplate>> of(
      const vm::MachineSpec& machine);

  // Of a machine's seed, what its template has not brought.
  [[nodiscard]] std::vector<vm::SeedFile> beyond(const std::vector<vm::SeedFile>& seed) const;

 private:
  // memory, processors and most of them, disk
  using Size = std::tuple<std::uint64_t, unsigned, unsigned, std::uint64_t>;
  struct Entry {
    explicit Entry(const boost::asio::any_io_executor& executor) : known(executor) {}
    Event known;
    std::optional<vm::MachineTemplate> found;
  };

  [[nodiscard]] boost::asio::awaitable<Result<vm::MachineTemplate>> ensure(vm::MachineSpec like);

  vm::Provider& provider_;
  std::filesystem::path cache_root_;
  std::vector<vm::SeedFile> common_;
  Progress& progress_;
  boost::asio::any_io_executor executor_;
  std::map<Size, Entry> entries_;
};

}  // namespace lab::provision
