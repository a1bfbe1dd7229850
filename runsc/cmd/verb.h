#ifndef CLOISTER_RUNSC_CMD_VERB_H_
#define CLOISTER_RUNSC_CMD_VERB_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runsc/cmd/flags.h"
#include "runsc/container/runtime.h"

namespace cloister::cmd {

// The options before the verb.
struct Globals {
  container::Runtime runtime;
  std::string overlay = "none";  // --overlay2; "do" has another default
  bool network_given = false;
};

// One subcommand. run answers with runsc's exit status, or an error whose one line is reported and
// which ends runsc with failure_status.
struct Verb {
  const char* name;
  const char* summary;
  absl::StatusOr<int> (*run)(const Globals& globals, const std::vector<std::string>& args);
  int failure_status = 1;
};

std::span<const Verb> AllVerbs();

// Checks the number of positionals; at_most < 0: any.
absl::Status CheckCount(const Flags& flags, std::string_view verb, int at_least, int at_most);

using Args = std::vector<std::string>;

absl::StatusOr<int> RunCreate(const Globals& globals, const Args& args);
absl::StatusOr<int> RunRun(const Globals& globals, const Args& args);
absl::StatusOr<int> RunDo(const Globals& globals, const Args& args);
absl::StatusOr<int> RunStart(const Globals& globals, const Args& args);
absl::StatusOr<int> RunState(const Globals& globals, const Args& args);
absl::StatusOr<int> RunKill(const Globals& globals, const Args& args);
absl::StatusOr<int> RunDelete(const Globals& globals, const Args& args);
absl::StatusOr<int> RunList(const Globals& globals, const Args& args);
absl::StatusOr<int> RunExec(const Globals& globals, const Args& args);
absl::StatusOr<int> RunPs(const Globals& globals, const Args& args);
absl::StatusOr<int> RunPause(const Globals& globals, const Args& args);
absl::StatusOr<int> RunResume(const Globals& globals, const Args& args);
absl::StatusOr<int> RunWait(const Globals& globals, const Args& args);
absl::StatusOr<int> RunUpdate(const Globals& globals, const Args& args);
absl::StatusOr<int> RunEvents(const Globals& globals, const Args& args);
absl::StatusOr<int> RunFeatures(const Globals& globals, const Args& args);
absl::StatusOr<int> RunInstall(const Globals& globals, const Args& args);
absl::StatusOr<int> RunUninstall(const Globals& globals, const Args& args);
absl::StatusOr<int> RunSpec(const Globals& globals, const Args& args);
absl::StatusOr<int> RunServe(const Globals& globals, const Args& args);
absl::StatusOr<int> RunDebug(const Globals& globals, const Args& args);

}  // namespace cloister::cmd

#endif  // CLOISTER_RUNSC_CMD_VERB_H_
