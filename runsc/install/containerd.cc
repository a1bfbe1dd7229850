#include <toml++/toml.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/error/status.h"
#include "runsc/install/edit.h"

namespace cloister::install {
namespace {

// What containerd calls its CRI plugin, by the version of the file.
absl::StatusOr<const char*> CriPlugin(int64_t version) {
  if (version == 1) return "cri";
  if (version == 2) return "io.containerd.grpc.v1.cri";
  if (version == 3) return "io.containerd.cri.v1.runtime";
  return absl::InvalidArgumentError(absl::StrCat("version ", version, " is not known, 1 to 3 are"));
}

std::string Begin(const std::string& name) {
  return absl::StrCat("# runsc install: ", name, " (\"runsc uninstall\" takes it out)\n");
}
std::string End(const std::string& name) { return absl::StrCat("# end of runsc install: ", name, "\n"); }

absl::StatusOr<toml::table> Parse(std::string_view text) {
  toml::parse_result parsed = toml::parse(text);
  if (parsed) return std::move(parsed).table();
  return absl::InvalidArgumentError(absl::StrCat("not valid TOML, line ", parsed.error().source().begin.line,
                                                 ": ", std::string(parsed.error().description())));
}

// A file without a version is version 1; one that is not there yet gets ours.
absl::StatusOr<int64_t> VersionOf(const toml::table& table) {
  const toml::node* version = table.get("version");
  if (version == nullptr) return table.empty() ? 2 : 1;
  if (!version->is_integer()) return absl::InvalidArgumentError("version: not a number");
  return version->as_integer()->get();
}

// A TOML basic string.
std::string Quote(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
      absl::StrAppendFormat(&quoted, "\\u%04x", c);
    } else {
      quoted.push_back(c);
    }
  }
  return quoted + "\"";
}

// Where the block stands in the text; npos: nowhere.
struct Block {
  size_t begin = std::string_view::npos;
  size_t end = 0;
};

absl::StatusOr<Block> FindBlock(std::string_view text, const std::string& name) {
  const size_t begin = text.find(Begin(name));
  if (begin == std::string_view::npos) return Block{};
  const size_t end = text.find(End(name), begin);
  if (end == std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the end of the block of runsc install: ", name, " is missing"));
  }
  return Block{begin, end + End(name).size()};
}

std::string Without(std::string_view text, const Block& block) {
  std::string rest(text.substr(0, block.begin));
  // The empty line that was put before the block.
  if (absl::EndsWith(rest, "\n\n") || rest == "\n") rest.pop_back();
  return rest + std::string(text.substr(block.end));
}

// A file that names any runtime has to name all: containerd's own list, which has runc, is then not used.
bool NamesRuntimes(const toml::table& table, const char* plugin) {
  return table["plugins"][plugin]["containerd"]["runtimes"].is_table();
}

std::string RuncEntry(const char* plugin) {
  return absl::StrCat("[plugins.", Quote(plugin), ".containerd.runtimes.runc]\n",
                      "  runtime_type = \"io.containerd.runc.v2\"\n");
}

const toml::node* EntryOf(const toml::table& table, const char* plugin, const std::string& name) {
  return table["plugins"][plugin]["containerd"]["runtimes"][name].node();
}

// Docker's package of containerd, for one, switches off what Kubernetes talks to.
bool IsDisabled(const toml::table& table, std::string_view plugin) {
  const toml::array* disabled = table["disabled_plugins"].as_array();
  if (disabled == nullptr) return false;
  return std::any_of(disabled->begin(), disabled->end(), [plugin](const toml::node& one) {
    const std::string name = one.value_or(std::string());
    return name == "cri" || name == plugin;
  });
}

}  // namespace

absl::StatusOr<Edit> AddToContainerd(std::string_view text, const std::string& name,
                                     const std::string& options_path) {
  const Block old = TRY_STATUS(FindBlock(text, name));
  std::string rest(old.begin == std::string_view::npos ? text : Without(text, old));
  const toml::table before = TRY_STATUS(Parse(rest));
  const int64_t version = TRY_STATUS(VersionOf(before));
  const char* plugin = TRY_STATUS(CriPlugin(version));
  if (EntryOf(before, plugin, name) != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("has a runtime ", name, " that runsc install has not written"));
  }
  const std::string table = absl::StrCat("plugins.", Quote(plugin), ".containerd.runtimes.", Quote(name));
  std::string block = Begin(name);
  if (before.empty()) absl::StrAppend(&block, "version = 2\n");
  const bool had_runc = text.substr(0, old.end).find(RuncEntry(plugin), old.begin) != std::string_view::npos;
  if (EntryOf(before, plugin, "runc") == nullptr && name != "runc" &&
      (had_runc || !NamesRuntimes(before, plugin))) {
    block += RuncEntry(plugin);
  }
  absl::StrAppend(&block, "[", table, "]\n  runtime_type = \"io.containerd.runsc.v1\"\n", "[", table,
                  ".options]\n  TypeUrl = \"io.containerd.runsc.v1.options\"\n  ConfigPath = ",
                  Quote(options_path), "\n", End(name));
  if (!rest.empty() && rest.back() != '\n') rest.push_back('\n');
  const std::string after = absl::StrCat(rest, rest.empty() ? "" : "\n", block);
  if (after == text) return Edit{.text = after};
  // An inline table, say, cannot be added to; then nothing is written.
  const absl::StatusOr<toml::table> parsed = Parse(after);
  if (!parsed.ok() || EntryOf(*parsed, plugin, name) == nullptr) {
    return absl::FailedPreconditionError("its plugins are written in a way that nothing can be added to");
  }
  return Edit{after, absl::StrCat(old.begin == std::string_view::npos ? "added" : "changed",
                                  " the runtime class ", name, " (io.containerd.runsc.v1)",
                                  IsDisabled(before, plugin) ? "; disabled_plugins has the CRI plugin" : "")};
}

absl::StatusOr<Edit> RemoveFromContainerd(std::string_view text, const std::string& name) {
  const Block block = TRY_STATUS(FindBlock(text, name));
  if (block.begin == std::string_view::npos) return Edit{.text = std::string(text)};
  const std::string rest = Without(text, block);
  const toml::table table = TRY_STATUS(Parse(rest));
  const char* plugin = TRY_STATUS(CriPlugin(TRY_STATUS(VersionOf(table))));
  const std::string_view taken = text.substr(block.begin, block.end - block.begin);
  if (taken.find(RuncEntry(plugin)) != std::string_view::npos && NamesRuntimes(table, plugin)) {
    return absl::FailedPreconditionError(
        absl::StrCat("other runtimes would be left without the entry for runc that came with ", name,
                     ": take them out first"));
  }
  return Edit{rest, absl::StrCat("removed the runtime class ", name)};
}

std::string ShimOptions(const RuntimeEntry& entry) {
  std::string args;
  for (const std::string& arg : entry.args) absl::StrAppend(&args, args.empty() ? "" : ", ", Quote(arg));
  return absl::StrCat("# Written by \"runsc install\": what containerd-shim-runsc-v1 starts.\nbinary_name = ",
                      Quote(entry.binary), "\nruntime_args = [", args, "]\n");
}

}  // namespace cloister::install
