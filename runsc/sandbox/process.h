#ifndef CLOISTER_RUNSC_SANDBOX_PROCESS_H_
#define CLOISTER_RUNSC_SANDBOX_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/host/unique_fd.h"
#include "runsc/spec/state.h"

namespace cloister::sandbox {

// Who pid is now. Not found if there is none, or only a zombie.
absl::StatusOr<spec::ProcessId> IdentifyProcess(pid_t pid);

// False for a zombie, for a later process with the same number, and for pid 0.
bool IsAlive(const spec::ProcessId& process);

// Sends SIGKILL, unless it is gone, and waits until it is dead (or a zombie of somebody else).
// A child of the caller is reaped. Deadline exceeded where it would not die.
absl::Status KillAndWait(const spec::ProcessId& process, absl::Duration patience);

// Waits until the process is dead without touching it.
absl::Status WaitForDeath(const spec::ProcessId& process, absl::Duration patience);

// Lets a child open as many files as its parent may let it: sentry and gofer hold one for every file
// that the container has open. Best effort.
void RaiseFileLimit(pid_t child);

// How willingly the host ends the process, and what it forks from then on, where memory runs out: -1000 to
// 1000. Lowering it takes CAP_SYS_RESOURCE, which a nested runsc may lack. Best effort.
void AdjustOomScore(pid_t pid, int score);

// A descriptor of the caller and its number in the child.
struct PlacedFd {
  int from;
  int to;
};

// How a child is made out of this very program: /proc/self/exe, started again under another argv[0].
//
// The program is executed by descriptor, because the child may have no file system any more, and is
// never reachable for the guest: stubs run another image, and the gofer is closed to it. So there is
// no path by which a container could open and overwrite it.
struct SpawnOptions {
  std::vector<std::string> argv;
  std::vector<PlacedFd> fds;   // 0, 1 and 2 are /dev/null where not listed; everything else is closed
  uint64_t clone_flags = 0;    // CLONE_NEW…, CLONE_PARENT
  bool block_signals = false;  // all of them, from the child's first moment on, and across exec
  // Runs in the parent between clone and the child's first step, with the child's pid.
  std::function<absl::Status(pid_t)> in_parent;
  // Runs in the child when descriptors are in place, before exec. An error ends the child; its text
  // goes to error_fd (a number of the child's, after placing) as 'E' and one line.
  std::function<absl::Status()> in_child;
  int error_fd = -1;
};

// Sets the calling thread's mask, bit n - 1 for signal n, and returns the former one. glibc's sigset_t
// functions leave out the two signals that it keeps for itself.
inline constexpr uint64_t kAllSignals = ~uint64_t{0};
uint64_t SetSignalMask(uint64_t mask);

// The child runs in a session of its own with default signal dispositions and no environment.
// A failing in_parent kills and reaps it. The caller must have one thread only.
absl::StatusOr<pid_t> SpawnSelf(const SpawnOptions& options);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_PROCESS_H_
