#include "runsc/cmd/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"

namespace cloister::cmd {
namespace {

absl::string_view View(std::string_view text) { return absl::string_view(text.data(), text.size()); }

}  // namespace

Flags::Flags(std::string command, std::string usage, std::string summary)
    : command_(std::move(command)), usage_(std::move(usage)), summary_(std::move(summary)) {}

void Flags::Add(std::string_view names, Kind kind, void* target, std::string help) {
  const size_t comma = names.find(',');
  Flag flag{
      .name = std::string(names.substr(0, comma)), .kind = kind, .target = target, .help = std::move(help)};
  if (comma != std::string_view::npos) flag.letter = names.substr(comma + 1);
  flags_.push_back(std::move(flag));
}

void Flags::Bool(std::string_view names, bool* target, std::string help) {
  Add(names, Kind::kBool, target, std::move(help));
}
void Flags::Int(std::string_view names, int* target, std::string help) {
  Add(names, Kind::kInt, target, std::move(help));
}
void Flags::String(std::string_view names, std::string* target, std::string help) {
  Add(names, Kind::kString, target, std::move(help));
}
void Flags::Strings(std::string_view names, std::vector<std::string>* target, std::string help) {
  Add(names, Kind::kStrings, target, std::move(help));
}

const Flags::Flag* Flags::Find(std::string_view name) const {
  for (const Flag& flag : flags_) {
    if (flag.name == name || (!flag.letter.empty() && flag.letter == name)) return &flag;
  }
  return nullptr;
}

absl::Status Flags::Normalise(const std::vector<std::string>& args, std::vector<std::string>* options) {
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--") {
      positionals_.insert(positionals_.end(), args.begin() + static_cast<long>(i) + 1, args.end());
      return absl::OkStatus();
    }
    if (arg.size() < 2 || arg[0] != '-') {
      if (stop_at_positional_) {
        positionals_.assign(args.begin() + static_cast<long>(i), args.end());
        return absl::OkStatus();
      }
      positionals_.push_back(arg);
      continue;
    }
    const std::string_view bare = std::string_view(arg).substr(arg[1] == '-' ? 2 : 1);
    const size_t equals = bare.find('=');
    const std::string_view name = bare.substr(0, equals);
    const Flag* flag = Find(name);
    if (flag == nullptr) {
      if (name == "help" || name == "h") {
        options->push_back("--help");
        continue;
      }
      return absl::InvalidArgumentError(absl::StrCat("flag provided but not defined: -", View(name)));
    }
    if (equals != std::string_view::npos) {
      options->push_back(absl::StrCat("--", flag->name, "=", View(bare.substr(equals + 1))));
    } else if (flag->kind == Kind::kBool) {
      options->push_back(absl::StrCat("--", flag->name));
    } else if (i + 1 < args.size()) {
      options->push_back(absl::StrCat("--", flag->name, "=", args[++i]));
    } else {
      return absl::InvalidArgumentError(absl::StrCat("flag needs an argument: -", View(name)));
    }
  }
  return absl::OkStatus();
}

absl::Status Flags::Parse(const std::vector<std::string>& args) {
  positionals_.clear();
  std::vector<std::string> options;
  RETURN_IF_ERROR(Normalise(args, &options));
  CLI::App app(absl::StrCat(summary_, "\nUsage: ", command_, " ", usage_), command_);
  for (const Flag& flag : flags_) {
    const std::string names =
        absl::StrCat(flag.letter.empty() ? "" : absl::StrCat("-", flag.letter, ","), "--", flag.name);
    switch (flag.kind) {
      case Kind::kBool:
        app.add_flag(names, *static_cast<bool*>(flag.target), flag.help);
        break;
      case Kind::kInt:
        app.add_option(names, *static_cast<int*>(flag.target), flag.help)->take_last();
        break;
      case Kind::kString:
        app.add_option(names, *static_cast<std::string*>(flag.target), flag.help)->take_last();
        break;
      case Kind::kStrings:
        app.add_option(names, *static_cast<std::vector<std::string>*>(flag.target), flag.help)->take_all();
        break;
    }
  }
  std::reverse(options.begin(), options.end());  // CLI11 takes them from the back
  // CLI11 reports by exceptions; they end here.
  try {  // NOLINT(exception)
    app.parse(options);
  } catch (const CLI::CallForHelp&) {  // NOLINT(exception): the library has no other way
    return absl::CancelledError(app.help());
  } catch (const CLI::ParseError& error) {  // NOLINT(exception)
    return absl::InvalidArgumentError(error.what());
  }
  return absl::OkStatus();
}

}  // namespace cloister::cmd
