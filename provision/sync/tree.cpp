#include "provision/sync/tree.hpp"

#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

namespace lab::provision {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t entries_max = 250'000;

// Nothing for what is neither file, folder nor link, or is gone.
Result<std::optional<TreeEntry>> read_entry(const fs::path& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return std::optional<TreeEntry>();
    return errno_error(errno, path.string());
  }
  TreeEntry entry;
  entry.mode = info.st_mode & 07777U;
  if (S_ISDIR(info.st_mode)) {
    entry.kind = EntryKind::folder;
  } else if (S_ISREG(info.st_mode)) {
    entry.size = static_cast<std::uint64_t>(info.st_size);
    entry.mtime_ns = info.st_mtim.tv_sec * std::int64_t{1'000'000'000} + info.st_mtim.tv_nsec;
  } else if (S_ISLNK(info.st_mode)) {
    entry.kind = EntryKind::link;
    entry.mode = 0;
    std::error_code error;
    entry.target = fs::read_symlink(path, error).string();
    if (error) return std::optional<TreeEntry>();
  } else {
    return std::optional<TreeEntry>();
  }
  return std::optional(std::move(entry));
}

class Walk {
 public:
  Walk(const fs::path& root, const Exclude& exclude) : root_(root), exclude_(exclude) {}

  Result<void> folder(const std::string& path) {
    std::error_code error;
    for (fs::directory_iterator at(root_ / path, error), end; !error && at != end;
         at.increment(error)) {
      const std::string name = at->path().filename().string();
      LAB_CHECK(add(path.empty() ? name : path + "/" + name));
    }
    if (!error || (error == std::errc::no_such_file_or_directory && !path.empty())) return {};
    return errno_error(error.value(), (root_ / path).string());
  }

  Tree tree;

 private:
  Result<void> add(const std::string& path) {
    LAB_TRY(std::optional<TreeEntry> entry, read_entry(root_ / path));
    if (!entry) return {};
    const bool is_folder = entry->kind == EntryKind::folder;
    if (exclude_.matches(path, is_folder)) return {};
    if (tree.size() == entries_max) {
      return make_error(Code::invalid_argument,
                        "{} holds more than {} files and folders; leave some out with `exclude`",
                        root_.string(), entries_max);
    }
    tree.emplace(path, std::move(*entry));
    return is_folder ? folder(path) : Result<void>{};
  }

  const fs::path& root_;
  const Exclude& exclude_;
};

}  // namespace

Exclude::Exclude(const std::vector<std::string>& patterns) {
  for (const std::string& written : patterns) {
    Pattern pattern{written};
    if (pattern.text.ends_with('/')) {
      pattern.folders_only = true;
      pattern.text.pop_back();
    }
    pattern.whole_path = pattern.text.find('/') != std::string::npos;
    if (pattern.text.starts_with('/')) pattern.text.erase(0, 1);
    if (!pattern.text.empty()) patterns_.push_back(std::move(pattern));
  }
}

bool Exclude::matches(std::string_view path, bool is_folder) const {
  const std::string whole(path);
  const std::string name = whole.substr(whole.rfind('/') + 1);
  for (const Pattern& pattern : patterns_) {
    if (pattern.folders_only && !is_folder) continue;
    const std::string& subject = pattern.whole_path ? whole : name;
    if (fnmatch(pattern.text.c_str(), subject.c_str(), FNM_PATHNAME) == 0) return true;
  }
  return false;
}

bool Exclude::covers(std::string_view path, bool is_folder) const {
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
       slash = path.find('/', slash + 1)) {
    if (matches(path.substr(0, slash), true)) return true;
  }
  return matches(path, is_folder);
}

Result<Tree> read_tree(const fs::path& folder, const Exclude& exclude) {
  Walk walk(folder, exclude);
  LAB_CHECK(walk.folder(""));
  return std::move(walk.tree);
}

}  // namespace lab::provision
