#include "runsc/cmd/filter_tables.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"

namespace cloister::cmd {
namespace {

struct Rule {
  std::string name;
  std::string reason;
};

struct Table {
  std::string process;
  std::vector<Rule> rules;
};

std::vector<Table>& Tables() {
  static std::vector<Table>* const tables = new std::vector<Table>;
  return *tables;
}

void (*source)(std::string_view) = nullptr;
std::string (*syscall_source)() = nullptr;

}  // namespace

void SetFilterSource(void (*add_all)(std::string_view)) { source = add_all; }

void SetSyscallSource(std::string (*as_json)()) { syscall_source = as_json; }

std::string FormatSyscalls() { return syscall_source != nullptr ? syscall_source() : "[]\n"; }

void AddFilterRule(std::string_view process, std::string_view name, std::string_view reason) {
  std::vector<Table>& tables = Tables();
  auto table =
      std::find_if(tables.begin(), tables.end(), [&](const Table& t) { return t.process == process; });
  if (table == tables.end()) table = tables.insert(tables.end(), Table{std::string(process), {}});
  table->rules.push_back({std::string(name), std::string(reason)});
}

std::string FormatFilters(std::string_view platform) {
  if (source != nullptr && Tables().empty()) source(platform);
  std::string text;
  for (const Table& table : Tables()) {
    absl::StrAppendFormat(&text, "%s: %d host system calls\n", table.process, table.rules.size());
    for (const Rule& rule : table.rules) absl::StrAppendFormat(&text, "  %-20s %s\n", rule.name, rule.reason);
  }
  return text;
}

}  // namespace cloister::cmd
