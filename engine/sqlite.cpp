#include "engine/sqlite.hpp"

#include <sqlite3.h>
#include <sys/stat.h>

#include <stdexcept>

namespace lab::engine {

namespace {

Error sqlite_error(sqlite3* database, std::string_view context) {
  return make_error(Code::internal, "{}: {}", context, sqlite3_errmsg(database));
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      bound_(other.bound_) {}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Statement& Statement::bind(std::string_view text) {
  sqlite3_bind_text64(statement_, ++bound_, text.data() == nullptr ? "" : text.data(), text.size(),
                      SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind(std::int64_t number) {
  sqlite3_bind_int64(statement_, ++bound_, number);
  return *this;
}

Result<bool> Statement::step() {
  const int status = sqlite3_step(statement_);
  if (status == SQLITE_ROW) return true;
  if (status == SQLITE_DONE) return false;
  return sqlite_error(database_, sqlite3_sql(statement_));
}

Result<void> Statement::run() {
  LAB_CHECK(step());
  return {};
}

std::string Statement::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string() : std::string(bytes, static_cast<std::size_t>(size));
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path,
                                                 const std::string& schema) {
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int status = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  std::unique_ptr<Database> database(new Database(handle));
  if (status != SQLITE_OK) return sqlite_error(handle, fmt::format("opening {}", path.string()));
  ::chmod(path.c_str(), 0600);
  sqlite3_busy_timeout(handle, 10'000);
  LAB_CHECK(
      database->execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                        "PRAGMA foreign_keys=ON;"));
  LAB_CHECK(database->execute(schema));
  return database;
}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

Statement Database::prepare(const std::string& sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(handle_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
      throw std::logic_error(sqlite_error(handle_, sql).message);
    }
    found = statements_.emplace(sql, statement).first;
  }
  return Statement(handle_, found->second);
}

Result<void> Database::execute(const std::string& sql) {
  if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return sqlite_error(handle_, sql);
  }
  return {};
}

Result<void> Database::set_durable(bool on) {
  return execute(on ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

std::int64_t Database::last_insert_rowid() const { return sqlite3_last_insert_rowid(handle_); }

Result<Transaction> Transaction::begin(Database& database) {
  LAB_CHECK(database.execute("BEGIN IMMEDIATE"));
  return Transaction(&database);
}

Transaction::~Transaction() {
  if (database_ != nullptr) static_cast<void>(database_->execute("ROLLBACK"));
}

Result<void> Transaction::commit() {
  LAB_CHECK(database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace lab::engine
