#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"

namespace cloister::cmd {
namespace {

struct Row {
  spec::State state;
  spec::Status status;
};

std::vector<Row> Collect(const std::string& root, const std::vector<std::string>& ids) {
  std::vector<Row> rows;
  for (const std::string& id : ids) {
    const absl::StatusOr<container::Container> container = container::Container::Open(root, id);
    // It may have gone meanwhile, or be half made.
    if (container.ok()) rows.push_back({container->state(), container->Status()});
  }
  return rows;
}

void PrintJson(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) {
    absl::StrAppend(&text, text.empty() ? "" : ",", spec::OciState(row.state, row.status, ""));
  }
  // runc's list of nothing is Go's nil.
  printf("%s\n", text.empty() ? "null" : absl::StrCat("[", text, "]").c_str());
}

void PrintTable(const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> cells = {{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
  for (const Row& row : rows) {
    const int pid = row.status == spec::Status::kStopped ? 0 : row.state.monitor.pid;
    cells.push_back({row.state.id, absl::StrCat(pid), std::string(spec::StatusName(row.status)),
                     row.state.bundle, row.state.created, row.state.owner});
  }
  std::vector<size_t> widths(cells[0].size(), 11);  // as runc's, whose columns are 12 wide at least
  for (const auto& line : cells) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const auto& line : cells) {
    for (size_t i = 0; i + 1 < line.size(); ++i)
      printf("%-*s ", static_cast<int>(widths[i]), line[i].c_str());
    printf("%s\n", line.back().c_str());
  }
}

}  // namespace

absl::StatusOr<int> RunList(const Globals& globals, const Args& args) {
  std::string format = "table";
  bool quiet = false;
  Flags flags("runsc list", "[options]", "Lists the containers under --root.");
  flags.String("format,f", &format, "table or json");
  flags.Bool("quiet,q", &quiet, "ids only");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "list", 0, 0));
  if (format != "table" && format != "json") return absl::InvalidArgumentError("invalid format option");
  const std::vector<std::string> ids = TRY_STATUS(container::ListIds(globals.runtime.root));
  const std::vector<Row> rows = Collect(globals.runtime.root, ids);
  if (quiet) {
    for (const Row& row : rows) printf("%s\n", row.state.id.c_str());
  } else if (format == "json") {
    PrintJson(rows);
  } else {
    PrintTable(rows);
  }
  return 0;
}

}  // namespace cloister::cmd
