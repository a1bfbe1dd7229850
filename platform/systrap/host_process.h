#ifndef CLOISTER_PLATFORM_SYSTRAP_HOST_PROCESS_H_
#define CLOISTER_PLATFORM_SYSTRAP_HOST_PROCESS_H_

#include <sys/types.h>

#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "platform/systrap/space.h"

namespace cloister::systrap {

class Thread;

// One stub process. Holds its threads until they are gone (a cycle that ends there).
// Lock order: Processes::mu_, then HostProcess::mu_.
class HostProcess final : public RefCounted {
 public:
  explicit HostProcess(Ref<Space> space) : space_(std::move(space)) {}

  Space& space() { return *space_; }
  // 0 until Bind, and again once it has been reaped.
  pid_t pid() const ABSL_LOCKS_EXCLUDED(mu_);

  // The process exists from now on. Kills it if that was asked for before.
  void Bind(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);
  void Kill() ABSL_LOCKS_EXCLUDED(mu_);
  // Whether Kill was called.
  bool killed() const ABSL_LOCKS_EXCLUDED(mu_);
  // Sends the interrupt signal to one thread.
  void Interrupt(pid_t tid) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether a thread of this process has that id.
  bool HasThread(pid_t tid) ABSL_LOCKS_EXCLUDED(mu_);

  // False if the process is dead already.
  bool Add(Ref<Thread> thread) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(Thread* thread) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether no other host thread lives in it.
  bool IsAlone(const Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);
  // A host process whose first thread has exited is a zombie to whoever looks at its memory. True: this
  // is the first, there are others, and so its host thread stays in its doorbell until they are gone.
  bool KeepFirst(Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);
  // Host threads that have ended for the guest, and sleep until they are made another thread of this process
  // or the last one is gone. MayIdle, before a thread is gone: whether it may become one of them.
  bool MayIdle(const Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);
  // One for a child of `maker`, which inherits its CPU affinity; null if there is none.
  Ref<Thread> TakeIdle(pid_t maker) ABSL_LOCKS_EXCLUDED(mu_);

  // The process is dead and about to be reaped: its pid is used no more. Returns who is left.
  std::vector<Ref<Thread>> Bury() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  ~HostProcess() override;

  const Ref<Space> space_;
  mutable absl::Mutex mu_;
  pid_t pid_ ABSL_GUARDED_BY(mu_) = 0;
  bool buried_ ABSL_GUARDED_BY(mu_) = false;
  bool kill_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Ref<Thread>> threads_ ABSL_GUARDED_BY(mu_);
  Ref<Thread> kept_first_ ABSL_GUARDED_BY(mu_);
  std::vector<Ref<Thread>> idle_ ABSL_GUARDED_BY(mu_);
  size_t may_idle_ ABSL_GUARDED_BY(mu_) = 0;  // those in idle_, and those on their way
};

// The stub processes that exist, by pid, from their birth until they are reaped.
class Processes {
 public:
  void Add(pid_t pid, Ref<HostProcess> process) ABSL_LOCKS_EXCLUDED(mu_);
  bool Has(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);

  // Takes a dead child out. Where it is not one of ours, reaps it at once and returns null.
  Ref<HostProcess> TakeDead(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);
  // For a child that died while it was being added: true if it had been reaped as a stranger, so
  // that nobody else will announce its death; it is taken out then.
  bool TakeIfReaped(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);

  bool Empty() ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<Ref<HostProcess>> All() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Mutex mu_;
  absl::flat_hash_map<pid_t, Ref<HostProcess>> by_pid_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_HOST_PROCESS_H_
