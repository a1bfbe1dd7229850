#ifndef CLOISTER_RUNSC_CMD_FLAGS_H_
#define CLOISTER_RUNSC_CMD_FLAGS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace cloister::cmd {

// The options of one command, as engines write them: --flag v, --flag=v, -flag v, -f v.
class Flags {
 public:
  // usage: what stands behind the command's name, "[options] ID".
  Flags(std::string command, std::string usage, std::string summary);

  // names: "detach,d". Targets keep their value where the option is absent, and must outlive Parse.
  void Bool(std::string_view names, bool* target, std::string help);
  void Int(std::string_view names, int* target, std::string help);
  void String(std::string_view names, std::string* target, std::string help);
  void Strings(std::string_view names, std::vector<std::string>* target, std::string help);

  // Options end at the first positional: what follows belongs to somebody else.
  void StopAtPositional() { stop_at_positional_ = true; }

  // Sets targets and positionals(). Cancelled, with the help text as its message, for --help.
  absl::Status Parse(const std::vector<std::string>& args);

  const std::vector<std::string>& positionals() const { return positionals_; }

 private:
  enum class Kind { kBool, kInt, kString, kStrings };
  struct Flag {
    std::string name;
    std::string letter;  // empty: none
    Kind kind;
    void* target;
    std::string help;
  };

  void Add(std::string_view names, Kind kind, void* target, std::string help);
  const Flag* Find(std::string_view name) const;
  // Splits args into options in the form "--name" or "--name=value", and positionals.
  absl::Status Normalise(const std::vector<std::string>& args, std::vector<std::string>* options);

  const std::string command_;
  const std::string usage_;
  const std::string summary_;
  bool stop_at_positional_ = false;
  std::vector<Flag> flags_;
  std::vector<std::string> positionals_;
};

}  // namespace cloister::cmd

#endif  // CLOISTER_RUNSC_CMD_FLAGS_H_
