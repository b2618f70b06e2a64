#include "provision/sync/plan.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace lab::provision {

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

char letter_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::folder: return 'd';
    case EntryKind::link: return 'l';
    case EntryKind::file: break;
  }
  return 'f';
}

std::optional<EntryKind> kind_of(std::string_view letter) {
  if (letter == "f") return EntryKind::file;
  if (letter == "d") return EntryKind::folder;
  if (letter == "l") return EntryKind::link;
  return std::nullopt;
}

// Up to `end`, which is taken too; nothing when there is none.
std::optional<std::string_view> take_until(std::string_view& bytes, char end) {
  const std::size_t at = bytes.find(end);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view taken = bytes.substr(0, at);
  bytes.remove_prefix(at + 1);
  return taken;
}

// Digits up to something else; a fraction of seconds is cut off so.
template <typename Number>
bool read_number(std::optional<std::string_view> text, Number& number, int base = 10) {
  if (!text) return false;
  return std::from_chars(text->data(), text->data() + text->size(), number, base).ec == std::errc{};
}

// "KIND MODE SIZE TIME " of a record; the rest is left in it.
std::optional<TreeEntry> take_attributes(std::string_view& record) {
  const auto letter = take_until(record, ' ');
  const auto kind = kind_of(letter.value_or(""));
  TreeEntry entry;
  if (!read_number(take_until(record, ' '), entry.mode, 8) ||
      !read_number(take_until(record, ' '), entry.size) ||
      !read_number(take_until(record, ' '), entry.mtime_ns) || !kind) {
    return std::nullopt;
  }
  entry.kind = *kind;
  return entry;
}

class Planner {
 public:
  Planner(const Exclude& exclude, const SyncManifest& known, const Tree& found,
          const ContentHash& hash)
      : exclude_(exclude), known_(known), found_(found), hash_(hash) {}

  Result<SyncPlan> run(const Tree& wanted) {
    for (const auto& [path, entry] : wanted) LAB_CHECK(place(path, entry));
    for (const auto& [path, known] : known_)
      if (!wanted.contains(path)) remove(path, known.entry);
    std::reverse(plan_.removed_folders.begin(), plan_.removed_folders.end());
    std::reverse(plan_.replaced_folders.begin(), plan_.replaced_folders.end());
    const auto same = [](const auto& a, const auto& b) {
      return a.first == b.first && a.second.entry == b.second.entry;
    };
    plan_.manifest_changed = !std::equal(plan_.manifest.begin(), plan_.manifest.end(),
                                         known_.begin(), known_.end(), same);
    return std::move(plan_);
  }

 private:
  Result<void> place(const std::string& path, const TreeEntry& wanted) {
    const TreeEntry* found = nullptr;
    if (const auto at = found_.find(path); at != found_.end()) found = &at->second;
    if (found != nullptr && found->kind != wanted.kind) {
      // A file or link gives way to another one by itself.
      if (found->kind == EntryKind::folder) plan_.replaced_folders.push_back(path);
      if (wanted.kind == EntryKind::folder) plan_.removed_files.push_back(path);
      found = nullptr;
    }
    KnownEntry& known = plan_.manifest[path];
    known.entry = wanted;
    if (wanted.kind == EntryKind::file) return place_file(path, wanted, found, known.sha256);
    if (wanted.kind == EntryKind::link) {
      if (found == nullptr || found->target != wanted.target) plan_.copied.push_back(path);
      return {};
    }
    if (found == nullptr) {
      plan_.new_folders.push_back(path);
    } else if (found->mode != wanted.mode) {
      plan_.adjusted.push_back(path);
    }
    return {};
  }

  // First by size and time; then, when only the time has changed, by content.
  Result<void> place_file(const std::string& path, const TreeEntry& wanted, const TreeEntry* found,
                          std::string& sha256) {
    const auto at = known_.find(path);
    if (found == nullptr || at == known_.end() || !is_as_sent(*found, at->second.entry) ||
        wanted.size != at->second.entry.size) {
      plan_.copied.push_back(path);
      return {};
    }
    const TreeEntry& sent = at->second.entry;
    if (wanted.mtime_ns != sent.mtime_ns) {
      LAB_TRY(const std::string now, hash_(path));
      if (now != at->second.sha256) {
        plan_.copied.push_back(path);
        return {};
      }
    }
    sha256 = at->second.sha256;
    if (wanted.mode != found->mode || wanted.mtime_ns / second_ns != found->mtime_ns / second_ns)
      plan_.adjusted.push_back(path);
    return {};
  }

  static bool is_as_sent(const TreeEntry& found, const TreeEntry& sent) {
    return sent.kind == EntryKind::file && found.size == sent.size && found.mode == sent.mode &&
           found.mtime_ns / second_ns == sent.mtime_ns / second_ns;
  }

  void remove(const std::string& path, const TreeEntry& sent) {
    const auto at = found_.find(path);
    const bool is_folder = sent.kind == EntryKind::folder;
    if (at == found_.end() || exclude_.covers(path, is_folder)) return;
    const bool found_folder = at->second.kind == EntryKind::folder;
    if (is_folder && found_folder) plan_.removed_folders.push_back(path);
    if (!is_folder && !found_folder) plan_.removed_files.push_back(path);
  }

  const Exclude& exclude_;
  const SyncManifest& known_;
  const Tree& found_;
  const ContentHash& hash_;
  SyncPlan plan_;
};

}  // namespace

std::string format_sync_manifest(const SyncManifest& manifest) {
  std::string bytes;
  for (const auto& [path, known] : manifest) {
    const TreeEntry& entry = known.entry;
    bytes += fmt::format("{} {:o} {} {} {}", letter_of(entry.kind), entry.mode, entry.size,
                         entry.mtime_ns, path);
    bytes += '\0';
    bytes += entry.kind == EntryKind::link ? entry.target : known.sha256;
    bytes += '\0';
  }
  return bytes;
}

SyncManifest parse_sync_manifest(std::string_view bytes) {
  SyncManifest manifest;
  for (;;) {
    auto record = take_until(bytes, '\0');
    const auto more = take_until(bytes, '\0');
    if (!record || !more) return manifest;
    KnownEntry known;
    if (auto entry = take_attributes(*record)) {
      known.entry = std::move(*entry);
    } else {
      continue;
    }
    (known.entry.kind == EntryKind::link ? known.entry.target : known.sha256) = *more;
    manifest.emplace(*record, std::move(known));
  }
}

Tree parse_listing(std::string_view& bytes) {
  Tree tree;
  for (;;) {
    auto record = take_until(bytes, '\0');
    if (!record || *record == listing_end) return tree;
    const auto target = take_until(bytes, '\0');
    auto entry = take_attributes(*record);
    if (!entry || !target) continue;
    if (entry->kind != EntryKind::file) entry->size = entry->mtime_ns = 0;
    entry->mtime_ns *= second_ns;
    if (entry->kind == EntryKind::link) {
      entry->mode = 0;
      entry->target = *target;
    }
    tree.emplace(*record, std::move(*entry));
  }
}

bool SyncPlan::touches_machine() const {
  return !removed_files.empty() || !removed_folders.empty() || !replaced_folders.empty() ||
         !new_folders.empty() || !copied.empty() || !adjusted.empty();
}

Result<SyncPlan> plan_sync(const Tree& wanted, const Exclude& exclude, const SyncManifest& known,
                           const Tree& found, const ContentHash& hash) {
  return Planner(exclude, known, found, hash).run(wanted);
}

}  // namespace lab::provision
