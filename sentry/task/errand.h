#ifndef CLOISTER_SENTRY_TASK_ERRAND_H_
#define CLOISTER_SENTRY_TASK_ERRAND_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "platform/api/host_op.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/task/kernel.h"
#include "sentry/wait/block.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::task {

class Task;

// What one task wants done by another one's thread, because nobody else can: opening protected memory for
// a moment, reading and setting registers that are not in the trap's. Done as soon as the thread is in the
// sentry, whatever it waits for.
class Errand : public RefCounted {
 public:
  enum class Kind {
    kRead,           // bytes from addr, within one mapping
    kWrite,          // bytes to addr, within one private mapping
    kLoadRegisters,  // fs_base, gs_base and bytes: the FP state
    kStoreFp,        // bytes: the FP state
    kStoreBases,     // fs_base and gs_base
    kUnpatchCalls,   // its code as it was written
  };

  Errand(Kind kind, Ref<mm::MemoryManager> mm) : kind(kind), mm(std::move(mm)) {}

  // Fixed by who asks.
  const Kind kind;
  const Ref<mm::MemoryManager> mm;  // nothing is done if the task runs on other memory by then
  uint64_t addr = 0;

  // Both ways; for who asks before it is sent and after it is done.
  std::vector<std::byte> bytes;
  uint64_t fs_base = 0, gs_base = 0;
  size_t copied = 0;      // kRead, kWrite
  Errno error = Errno();  // what went wrong: kAgain asks for another try
  bool failed = false;

  bool done() const { return done_.load(std::memory_order_acquire); }
  // Notified (kIn) when it is done.
  wait::WaitQueue queue;
  // And this one (kIn and kOut), if it is set; `also_keep` holds its owner.
  Ref<RefCounted> also_keep;
  wait::WaitQueue* also = nullptr;

 private:
  friend class Errands;

  bool holds_op_ = false;  // the memory's operation token, given back when it is done
  // For who runs it: the operations before and after the copy, and how far it is.
  std::vector<platform::HostOp> before_, after_;
  std::optional<mm::Plan> map_plan_;
  uint64_t scratch_ = 0;
  size_t ops_done_ = 0;
  bool copied_ = false;
  std::atomic<bool> done_{false};
};

// How errands get to a task and are done there.
class Errands {
 public:
  // Sends it. What the caller has to wait for first, kAgain: *block says; kSrch: the task ends.
  static ErrnoOrVoid Send(Task& target, const Ref<Errand>& errand, wait::Block* block)
      ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  // Waits for one that was sent.
  static wait::Block BlockOn(const Ref<Errand>& errand);

  // ---- The task that does it (owner) ----
  // Begins the next one. True: the task is given away, Continue follows. False: there was nothing to run.
  static bool Begin(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  // Operations have ended.
  static void OnOpsDone(Task& task, int64_t result, uint32_t ops_run);
  // It ends: nothing more is done for anyone.
  static void AbortAll(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());

 private:
  static ErrnoOrVoid Prepare(Task& task, Errand& errand);
  static ErrnoOrVoid PrepareAccess(Errand& errand);
  static ErrnoOrVoid PrepareScratch(Task& task, Errand& errand);
  static void Copy(Task& task, Errand& errand);
  static bool RunNext(Task& task, Errand& errand);
  static void Finish(Task& task, const Ref<Errand>& errand, Errno error, bool failed);
  static void Continue(Task& task);
};

// Memory of another task, read or written whatever its protection says; plain data of a parked call.
// Linux: access_remote_vm with FOLL_FORCE.
class ForcedAccess {
 public:
  ForcedAccess() = default;
  // target: any living task on `mm`.
  ForcedAccess(Ref<Task> target, Ref<mm::MemoryManager> mm, bool write, uint64_t addr,
               std::vector<std::byte> bytes);

  // How many bytes were copied, up to the first page that cannot be. kAgain: wait for *block and ask again.
  ErrnoOr<size_t> Step(wait::Block* block);
  const std::vector<std::byte>& bytes() const { return bytes_; }
  // Another queue that is notified (kIn and kOut) when it is worth to ask again.
  void TellAlso(Ref<RefCounted> keep, wait::WaitQueue* queue) {
    also_keep_ = std::move(keep);
    also_ = queue;
  }

 private:
  bool TakeErrand();
  Ref<Errand> NextErrand() const;

  Ref<Task> target_;
  Ref<mm::MemoryManager> mm_;
  bool write_ = false;
  uint64_t addr_ = 0;
  std::vector<std::byte> bytes_;
  size_t done_ = 0;
  Ref<Errand> errand_;
  Ref<RefCounted> also_keep_;
  wait::WaitQueue* also_ = nullptr;
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_ERRAND_H_
