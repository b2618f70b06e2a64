#include "engine/state/document_store.hpp"

#include <mutex>

#include "engine/sqlite.hpp"

namespace lab::engine {

namespace {

constexpr const char* schema =
    "CREATE TABLE IF NOT EXISTS documents (kind TEXT NOT NULL, key TEXT NOT NULL, "
    "text TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;";

}  // namespace

struct DocumentStore::Impl {
  std::unique_ptr<Database> database;
  bool durable = true;
  std::mutex mutex;

  Result<void> set_durable(bool wanted) {
    if (durable == wanted) return {};
    LAB_CHECK(database->execute(wanted ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
    durable = wanted;
    return {};
  }
};

DocumentStore::DocumentStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DocumentStore::~DocumentStore() = default;

Result<std::unique_ptr<DocumentStore>> DocumentStore::open(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>();
  LAB_TRY(impl->database, Database::open(path, schema));
  return std::unique_ptr<DocumentStore>(new DocumentStore(std::move(impl)));
}

Result<void> DocumentStore::put(std::string_view kind, std::string_view key, std::string_view text,
                                bool durable) {
  std::scoped_lock lock(impl_->mutex);
  LAB_CHECK(impl_->set_durable(durable));
  return impl_->database->run(
      "INSERT INTO documents VALUES (?1, ?2, ?3) ON CONFLICT (kind, key) DO UPDATE SET text = ?3",
      kind, key, text);
}

Result<void> DocumentStore::remove(std::string_view kind, std::string_view key, bool durable) {
  std::scoped_lock lock(impl_->mutex);
  LAB_CHECK(impl_->set_durable(durable));
  return impl_->database->run("DELETE FROM documents WHERE kind = ?1 AND key = ?2", kind, key);
}

Result<std::vector<std::pair<std::string, std::string>>> DocumentStore::all(
    std::string_view kind) const {
  std::scoped_lock lock(impl_->mutex);
  std::vector<std::pair<std::string, std::string>> found;
  Statement statement =
      impl_->database->prepare("SELECT key, text FROM documents WHERE kind = ?1 ORDER BY key");
  statement.bind(kind);
  for (;;) {
    LAB_TRY(bool more, statement.step());
    if (!more) return found;
    found.emplace_back(statement.text(0), statement.text(1));
  }
}

}  // namespace lab::engine
