#include "vm/machine_files.hpp"

#include <unistd.h>

#include "base/file.hpp"
#include "base/subprocess.hpp"
#include "vm/domain_xml.hpp"
#include "vm/provider.hpp"
#include "vm/seed.hpp"

namespace lab::vm {
namespace {

// Names the image that the disk was made from.
std::filesystem::path base_record(const std::filesystem::path& machine_directory) {
  return machine_directory / "disk.base";
}

// A template's disk has a second name in the folder of each machine that lies on it, and so lives
// as long as the last of them.
std::filesystem::path template_link(const std::filesystem::path& machine_directory) {
  return machine_directory / "template.qcow2";
}

// What the overlay shows where nothing was written to it.
struct Backing {
  std::filesystem::path file;
  std::string format;
};

Result<Backing> backing_of(const MachineSpec& spec) {
  if (spec.template_disk.empty()) return Backing{spec.image.base_disk, spec.image.base_format};
  const std::filesystem::path link = template_link(spec.directory);
  unlink(link.c_str());
  if (::link(spec.template_disk.c_str(), link.c_str()) != 0)
    return errno_error(errno, fmt::format("linking {}", spec.template_disk.string()));
  return Backing{link, "qcow2"};
}

Result<void> make_disk(const MachineSpec& spec) {
  if (spec.disk_mib < spec.image.base_mib)
    return make_error(Code::invalid_argument,
                      "machine {}: a disk of {} MiB is too small for its image, which needs {} MiB",
                      spec.id.name, spec.disk_mib, spec.image.base_mib);
  LAB_TRY(const Backing backing, backing_of(spec));
  const std::filesystem::path disk = disk_path(spec.directory);
  const std::filesystem::path unfinished = disk.string() + ".new";
  Command command;
  command.argv = {"qemu-img",
                  "create",
                  "-q",
                  "-f",
                  "qcow2",
                  "-F",
                  backing.format,
                  "-b",
                  backing.file.string(),
                  unfinished.string(),
                  fmt::format("{}M", spec.disk_mib)};
  LAB_CHECK(run_checked(command));
  LAB_CHECK(write_file(base_record(spec.directory), spec.image.base_disk.string(), 0600));
  if (rename(unfinished.c_str(), disk.c_str()) != 0)
    return errno_error(errno, "renaming " + unfinished.string());
  return {};
}

// The image that the existing disk was made from.
Result<GuestImage> image_of_disk(const MachineSpec& spec) {
  LAB_TRY(const std::string base, read_file(base_record(spec.directory)));
  if (base == spec.image.base_disk) return spec.image;
  std::error_code error;
  if (!std::filesystem::exists(base, error))
    return make_error(Code::not_found,
                      "machine {}: its disk is based on {}, which is gone; destroy the machine and "
                      "make it again",
                      spec.id.name, base);
  GuestImage image;
  image.base_disk = base;
  const std::filesystem::path folder = image.base_disk.parent_path();
  if (std::filesystem::exists(folder / "modules.cpio", error)) {
    image.kernel = folder / "kernel";
    image.initrd = folder / "modules.cpio";
  }
  return image;
}

Result<void> write_seed(const MachineSpec& spec) {
  const std::filesystem::path seed = seed_path(spec.directory);
  if (spec.image.is_cloud()) {
    LAB_TRY(const std::string volume, nocloud_volume(nocloud_documents(spec)));
    return write_file(seed, volume, 0600);
  }
  LAB_TRY(const std::string modules, read_file(spec.image.initrd));
  LAB_CHECK(write_file(initrd_path(spec.directory), modules + first_program_archive(), 0600));
  LAB_TRY(const std::string archive, recipe_seed_archive(spec));
  if (archive.size() > seed_disk_bytes)
    return make_error(Code::invalid_argument,
                      "machine {}: its seed files have {} MiB; at most {} MiB fit", spec.id.name,
                      archive.size() >> 20, seed_disk_bytes >> 20);
  LAB_CHECK(write_file(seed, archive, 0600));
  if (truncate(seed.c_str(), static_cast<off_t>(seed_disk_bytes)) != 0)
    return errno_error(errno, seed.string());
  return {};
}

// The disk lies on the same file afterwards: its overlay names that by its path in the machine's
// folder.
Result<void> copy_template_link(const std::filesystem::path& from,
                                const std::filesystem::path& to) {
  namespace fs = std::filesystem;
  std::error_code error;
  const bool there = fs::exists(template_link(from), error);
  if (there && fs::exists(template_link(to), error) &&
      fs::equivalent(template_link(from), template_link(to), error))
    return {};
  fs::remove(template_link(to), error);
  if (there) fs::create_hard_link(template_link(from), template_link(to), error);
  if (error)
    return make_error(Code::internal, "{}: {}", template_link(to).string(), error.message());
  return {};
}

// Whole or not at all: what was there stays until the copy is finished.
Result<void> copy_whole(const std::filesystem::path& from, const std::filesystem::path& to) {
  const std::string unfinished = to.string() + ".new";
  Command copy;
  copy.argv = {"cp", "--reflink=auto", "--sparse=always", "--", from.string(), unfinished};
  LAB_CHECK(run_checked(copy));
  if (rename(unfinished.c_str(), to.c_str()) != 0)
    return errno_error(errno, "renaming " + unfinished);
  return {};
}

Result<void> copy_disk(const std::filesystem::path& from, const std::filesystem::path& to) {
  LAB_CHECK(copy_template_link(from, to));
  LAB_CHECK(copy_whole(base_record(from), base_record(to)));
  return copy_whole(disk_path(from), disk_path(to));
}

}  // namespace

Result<void> keep_disk(const std::filesystem::path& machine_directory,
                       const std::filesystem::path& folder) {
  return copy_disk(machine_directory, folder);
}

Result<void> put_disk_back(const std::filesystem::path& folder,
                           const std::filesystem::path& machine_directory) {
  return copy_disk(folder, machine_directory);
}

Result<MachineSpec> prepare_machine_files(MachineSpec spec) {
  LAB_CHECK(make_directories(spec.directory, 0700));
  std::error_code error;
  if (!std::filesystem::exists(disk_path(spec.directory), error)) {
    LAB_CHECK(make_disk(spec));
  } else {
    LAB_TRY(spec.image, image_of_disk(spec));
  }
  LAB_CHECK(write_seed(spec));
  return spec;
}

void remove_machine_files(const std::filesystem::path& machine_directory) {
  const std::filesystem::path console = console_path(machine_directory);
  std::error_code ignored;
  for (const std::filesystem::path& file :
       {disk_path(machine_directory), initrd_path(machine_directory), seed_path(machine_directory),
        base_record(machine_directory), template_link(machine_directory), console,
        std::filesystem::path(console.string() + ".0"),
        std::filesystem::path(console.string() + ".1"),
        std::filesystem::path(console.string() + ".2")})
    std::filesystem::remove(file, ignored);
  std::filesystem::remove(machine_directory, ignored);  // only when it is empty now
}

}  // namespace lab::vm
