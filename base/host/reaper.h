#ifndef CLOISTER_BASE_HOST_REAPER_H_
#define CLOISTER_BASE_HOST_REAPER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace cloister {

// How a process ended.
struct Exit {
  uint32_t status = 0;  // the exit code, or 128 and the signal
  absl::Time at;
};

// A program to run. Descriptors that are not listed are closed in it, if they are close-on-exec.
struct Command {
  std::vector<std::string> argv;                       // argv[0] is the program's path
  std::string directory;                               // empty: the caller's
  std::vector<std::string> environment;                // "NAME=value", on top of the caller's
  std::vector<int> fds;                                // the caller's descriptors that become 0, 1, 2 …
  bool dies_with_caller = false;                       // with the calling thread: PR_SET_PDEATHSIG
  absl::Duration patience = absl::InfiniteDuration();  // Run: killed after that
};

// The parent of all processes that this one starts, and of those that they leave behind (subreaper): a
// container's processes among them. One thread waits for all; whoever wants to know a process' end says so
// here. One for each process, which is never destroyed.
class Reaper {
 public:
  using OnExit = std::function<void(const Exit&)>;
  static constexpr uint32_t kLost = 255;

  Reaper();

  // Starts it. on_exit runs once, on the reaper's thread, and must not wait for other processes.
  absl::StatusOr<pid_t> Spawn(const Command& command, OnExit on_exit) ABSL_LOCKS_EXCLUDED(mu_);

  // Spawn, and wait for its end. Deadline exceeded where it had to be killed.
  absl::StatusOr<Exit> Run(const Command& command) ABSL_LOCKS_EXCLUDED(mu_);

  // While one lives, the ends of unknown processes are kept: create it before the command that leaves a
  // process behind, and Watch() the process before it goes.
  class Expectation {
   public:
    explicit Expectation(Reaper* reaper) : reaper_(reaper) { reaper_->Expect(1); }
    ~Expectation() { reaper_->Expect(-1); }
    Expectation(const Expectation&) = delete;

   private:
    Reaper* const reaper_;
  };

  // As for Spawn; where the process has ended already on_exit runs at once, on the caller's thread. The
  // status of one that somebody else has reaped is kLost.
  void Watch(pid_t pid, OnExit on_exit) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void KillIfWaiting(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);
  void Expect(int change) ABSL_LOCKS_EXCLUDED(mu_);
  void Loop() ABSL_LOCKS_EXCLUDED(mu_);
  void Reap(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);

  // Leaf. Held across fork and wait4, so that no process ends before it is known, and one that is gone has
  // been entered below.
  absl::Mutex mu_;
  std::map<pid_t, OnExit> waiting_ ABSL_GUARDED_BY(mu_);
  std::map<pid_t, Exit> unknown_ ABSL_GUARDED_BY(mu_);
  int expectations_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t spawned_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cloister

#endif  // CLOISTER_BASE_HOST_REAPER_H_
