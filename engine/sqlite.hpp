// A small C++ face of SQLite: one connection, prepared statements kept by their text, transactions
// that roll back unless committed. Every database of the engine is opened in WAL mode with
// synchronous=FULL: what was committed survives a crash of ours and of the machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace lab::engine {

class Database;

// One use of a prepared statement; bind in order, then step() or run().
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  Statement& operator=(Statement&&) = delete;
  ~Statement();  // resets it for the next use

  // Binds the next parameter.
  Statement& bind(std::string_view text);
  Statement& bind(std::int64_t number);
  template <typename... Args>
  Statement& bind_all(const Args&... args) {
    (bind(args), ...);
    return *this;
  }

  // True when there is a row to read.
  [[nodiscard]] Result<bool> step();
  // For statements without rows.
  [[nodiscard]] Result<void> run();

  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;

 private:
  friend class Database;
  Statement(sqlite3* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  sqlite3* database_;
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

// Not thread-safe: its owner locks.
class Database {
 public:
  // Creates the file (0600) if missing and runs `schema`, which must be repeatable.
  [[nodiscard]] static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path,
                                                              const std::string& schema);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // The text must be valid SQL: a wrong one is a bug and throws.
  [[nodiscard]] Statement prepare(const std::string& sql);
  // prepare, bind, run.
  template <typename... Args>
  [[nodiscard]] Result<void> run(const std::string& sql, const Args&... args) {
    Statement statement = prepare(sql);
    statement.bind_all(args...);
    return statement.run();
  }
  [[nodiscard]] Result<void> execute(const std::string& sql);
  // Off: commits are still atomic and ordered, but reach the disk only with the next commit that is
  // made while it is on. Not inside a transaction.
  [[nodiscard]] Result<void> set_durable(bool on);
  [[nodiscard]] std::int64_t last_insert_rowid() const;

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}
  sqlite3* handle_;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

// Begins immediately; rolls back in the destructor unless committed.
class Transaction {
 public:
  [[nodiscard]] static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  [[nodiscard]] Result<void> commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace lab::engine
