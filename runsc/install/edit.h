#ifndef CLOISTER_RUNSC_INSTALL_EDIT_H_
#define CLOISTER_RUNSC_INSTALL_EDIT_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace cloister::install {

// runsc as an engine is told of it.
struct RuntimeEntry {
  std::string name;    // letters, digits, '-', '_', '.'
  std::string binary;  // absolute
  std::vector<std::string> args;
};

absl::Status CheckName(std::string_view name);

// A configuration file's text and what is to become of it.
struct Edit {
  std::string text;     // the new text; empty: the file has nothing else in it and goes
  std::string summary;  // what is different, for a person; empty: nothing is
};

// Docker's daemon.json. text: what is there, empty for no file. Everything else in it stays, in its order.
// Invalid argument where it is not a JSON object; failed precondition where the entry may not go because it
// is Docker's default.
absl::StatusOr<Edit> AddToDocker(std::string_view text, const RuntimeEntry& entry);
absl::StatusOr<Edit> RemoveFromDocker(std::string_view text, const std::string& name);

// containerd's config.toml: one marked block at the end, nothing else is touched. options_path: the file that
// the shim is to read (runsc/shim/runtime_config.h). Invalid argument where it is not TOML, with the line;
// failed precondition where somebody else has written an entry of that name.
absl::StatusOr<Edit> AddToContainerd(std::string_view text, const std::string& name,
                                     const std::string& options_path);
absl::StatusOr<Edit> RemoveFromContainerd(std::string_view text, const std::string& name);

// The text of the shim's file.
std::string ShimOptions(const RuntimeEntry& entry);

}  // namespace cloister::install

#endif  // CLOISTER_RUNSC_INSTALL_EDIT_H_
