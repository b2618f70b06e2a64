#include <charconv>
#include <optional>
#include <string_view>

#include "engine/container/rootfs.hpp"

namespace lab::engine::container {

namespace {

struct Account {
  std::string_view name;
  std::uint32_t id = 0;
  std::uint32_t group = 0;
  std::string_view home;
  std::string_view members;
};

std::optional<std::uint32_t> number_of(std::string_view text) {
  std::uint32_t number = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

std::string_view field(std::string_view line, int index) {
  for (; index > 0; --index) {
    std::size_t end = line.find(':');
    if (end == std::string_view::npos) return {};
    line.remove_prefix(end + 1);
  }
  return line.substr(0, line.find(':'));
}

// The lines of a passwd or group file; lines that do not parse are skipped.
std::vector<Account> parse_accounts(std::string_view text, bool groups) {
  std::vector<Account> accounts;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    Account account;
    account.name = field(line, 0);
    std::optional<std::uint32_t> id = number_of(field(line, 2));
    if (account.name.empty() || !id) continue;
    account.id = *id;
    if (groups) {
      account.members = field(line, 3);
    } else {
      account.group = number_of(field(line, 3)).value_or(0);
      account.home = field(line, 5);
    }
    accounts.push_back(account);
  }
  return accounts;
}

const Account* find_account(const std::vector<Account>& accounts, std::string_view wanted) {
  for (const Account& account : accounts) {
    if (account.name == wanted) return &account;
  }
  std::optional<std::uint32_t> number = number_of(wanted);
  if (!number) return nullptr;
  for (const Account& account : accounts) {
    if (account.id == *number) return &account;
  }
  return nullptr;
}

bool is_member(std::string_view members, std::string_view name) {
  while (!members.empty()) {
    std::size_t end = std::min(members.find(','), members.size());
    if (members.substr(0, end) == name) return true;
    members.remove_prefix(std::min(end + 1, members.size()));
  }
  return false;
}

// Images without users have neither file.
std::string read_or_nothing(const std::filesystem::path& root, std::string_view path) {
  Result<std::string> text = read_file_in_root(root, path);
  return text ? std::move(*text) : std::string();
}

// Docker's messages of additional groups begin with a capital.
Result<gid_t> resolve_group(const std::vector<Account>& groups, std::string_view wanted,
                            std::string_view unable) {
  if (const Account* account = find_account(groups, wanted)) return account->id;
  if (std::optional<std::uint32_t> number = number_of(wanted)) return *number;
  return make_error(Code::invalid_argument,
                    "{} to find group {}: no matching entries in group file", unable, wanted);
}

constexpr std::uint32_t id_max = 2'147'483'647;

Error out_of_range() {
  return make_error(Code::invalid_argument, "uids and gids must be in range 0-{}", id_max);
}

}  // namespace

Result<User> resolve_user(const std::filesystem::path& root, const std::string& text,
                          const std::vector<std::string>& additional_groups) {
  std::string passwd_text = read_or_nothing(root, "/etc/passwd");
  std::string group_text = read_or_nothing(root, "/etc/group");
  std::vector<Account> accounts = parse_accounts(passwd_text, false);
  std::vector<Account> groups = parse_accounts(group_text, true);
  std::string_view user_part = std::string_view(text).substr(0, text.find(':'));
  std::string_view group_part;
  if (std::size_t colon = text.find(':'); colon != std::string::npos)
    group_part = std::string_view(text).substr(colon + 1);
  User user;
  std::string_view wanted = user_part.empty() ? std::string_view("0") : user_part;
  const Account* account = find_account(accounts, wanted);
  if (account != nullptr) {
    user.uid = account->id;
    user.gid = account->group;
    user.home = account->home;
  } else if (std::optional<std::uint32_t> number = number_of(wanted)) {
    if (*number > id_max) return out_of_range();
    user.uid = *number;
  } else if (wanted.starts_with('-') && number_of(wanted.substr(1))) {
    return out_of_range();
  } else {
    return make_error(Code::invalid_argument,
                      "unable to find user {}: no matching entries in passwd file", wanted);
  }
  if (!group_part.empty()) {
    LAB_TRY(user.gid, resolve_group(groups, group_part, "unable"));
  } else if (account != nullptr) {
    for (const Account& group : groups) {
      if (is_member(group.members, account->name)) user.groups.push_back(group.id);
    }
  }
  for (const std::string& name : additional_groups) {
    LAB_TRY(gid_t group, resolve_group(groups, name, "Unable"));
    user.groups.push_back(group);
  }
  return user;
}

}  // namespace lab::engine::container
