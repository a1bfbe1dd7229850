#ifndef CLOISTER_RUNSC_SPEC_STATE_H_
#define CLOISTER_RUNSC_SPEC_STATE_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace cloister::spec {

// A host process that cannot be mistaken for a later one with the same number.
struct ProcessId {
  pid_t pid = 0;            // 0: none
  uint64_t start_time = 0;  // field 22 of /proc/PID/stat, in clock ticks since boot
};

// An exec'd process of the container.
struct ExecId {
  ProcessId monitor;
  int32_t guest_pid = 0;
};

// What {root}/{id}/state.json holds between two calls of runsc.
struct State {
  std::string oci_version;
  std::string id;
  std::string bundle;   // absolute
  std::string rootfs;   // absolute
  std::string created;  // RFC 3339 with nanoseconds
  std::string owner;
  std::map<std::string, std::string> annotations;
  bool ready = false;    // create has come to its end
  bool started = false;  // start was called
  ProcessId monitor;     // the pid that engines see
  ProcessId sentry;
  ProcessId gofer;
  std::vector<ExecId> execs;
  std::map<std::string, std::string> cgroups;  // controller to directory, see cgroup::Group
};

// state.json's text, and back.
std::string FormatState(const State& state);
absl::StatusOr<State> ParseState(std::string_view text);

enum class Status { kCreating, kCreated, kRunning, kPaused, kStopped };
std::string_view StatusName(Status status);

// What "runsc state" prints (and "list" in an array): the specification's state, with runc's
// rootfs, created and owner. pid is 0 when stopped.
std::string OciState(const State& state, Status status, std::string_view indent);

// What a hook reads on its standard input.
std::string HookState(const State& state, Status status);

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_STATE_H_
