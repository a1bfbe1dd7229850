#ifndef CLOISTER_PLATFORM_PTRACE_PROCESS_H_
#define CLOISTER_PLATFORM_PTRACE_PROCESS_H_

#include <sys/types.h>

#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "platform/ptrace/space.h"

namespace cloister::ptrace {

class Thread;

// One stub process. Holds its threads until they are gone (a cycle that ends there). Thread-safe.
class Process final : public RefCounted {
 public:
  explicit Process(Ref<Space> space) : space_(std::move(space)) {}

  // 0 until Bind, and again once it has been reaped.
  pid_t pid() const ABSL_LOCKS_EXCLUDED(mu_);

  Ref<Space> space() const ABSL_LOCKS_EXCLUDED(mu_);
  // The process exists from now on. Kills it if that was asked for before.
  void Bind(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);
  void Kill() ABSL_LOCKS_EXCLUDED(mu_);
  // Whether Kill was called.
  bool killed() const ABSL_LOCKS_EXCLUDED(mu_);
  // Sends the interrupt signal to one thread.
  void Interrupt(pid_t tid) ABSL_LOCKS_EXCLUDED(mu_);

  // False if the process is dead already.
  bool Add(Ref<Thread> thread) ABSL_LOCKS_EXCLUDED(mu_);
  // Returns the first thread if it was kept, and this was the last of the others.
  Ref<Thread> Remove(Thread* thread) ABSL_LOCKS_EXCLUDED(mu_);
  // A process whose first thread has exited is a zombie to whoever looks at its memory. True: this is the
  // first, there are others, and so its host thread stays until they are gone.
  bool KeepFirst(Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether no other thread and no other process lives here.
  bool IsAlone(const Thread& thread) const ABSL_LOCKS_EXCLUDED(mu_);
  // It goes on with memory of its own name: whoever holds the former one reaches nothing by it.
  void MoveTo(Ref<Space> space) ABSL_LOCKS_EXCLUDED(mu_);

  // The process has been reaped: its pid is used no more. Returns who is left.
  std::vector<Ref<Thread>> Bury() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  ~Process() override;

  mutable absl::Mutex mu_;  // before that of the memory
  Ref<Space> space_ ABSL_GUARDED_BY(mu_);
  pid_t pid_ ABSL_GUARDED_BY(mu_) = 0;
  bool buried_ ABSL_GUARDED_BY(mu_) = false;
  bool kill_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Ref<Thread>> threads_ ABSL_GUARDED_BY(mu_);
  Ref<Thread> kept_first_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_PROCESS_H_
