#ifndef CLOISTER_SENTRY_MM_MEMORY_MANAGER_H_
#define CLOISTER_SENTRY_MM_MEMORY_MANAGER_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "platform/api/address_space.h"
#include "sentry/mm/area_list.h"
#include "sentry/mm/mappable.h"
#include "sentry/mm/plan.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::mm {

using platform::AddressSpace;

// The list of a process' mappings. Linux: struct mm_struct. Decides; the guest's own stopped thread
// carries out. Shared by tasks made with CLONE_VM. Thread-safe. Every number may come from a
// hostile guest.
//
// Two threads of one process must not have operations under way at once, or a late munmap would
// hit a new mapping: the dispatcher holds the OpToken from the decision until the host is done
// (not needed while only one thread uses the memory).
//
// Deviation from Linux: a call over several areas of which a later one may not be changed changes
// none of them (Linux has then changed the earlier ones).
class MemoryManager : public RefCounted {
 public:
  // Linux: vm.mmap_min_addr and vm.max_map_count. Below, the platform may have memory of its own in the
  // guest.
  static constexpr uint64_t kMinAddress = 0x70000;
  static constexpr size_t kMaxAreas = 65530;

  // task_size: mappings end at or below it. Randomised bases are chosen here.
  MemoryManager(Ref<AddressSpace> space, uint64_t task_size);

  AddressSpace& space() const { return *space_; }
  uint64_t task_size() const { return task_size_; }
  // Where the stack of a program ends: randomised, with mmap_base well below it.
  uint64_t stack_top() const { return stack_top_; }

  // mmap(2): addr and flags as given. file empty for MAP_ANONYMOUS (shared too: the host's own
  // shared memory then, inherited by fork); the caller has checked access modes of the descriptor
  // and gives what mprotect may allow later.
  struct MapRequest {
    uint64_t addr = 0;
    uint64_t length = 0;
    int prot = 0;
    int flags = 0;
    MappedFile file;
    uint64_t offset = 0;
    bool may_write = true;
    bool may_exec = true;
    std::string name;
  };
  ErrnoOr<Plan> Map(const MapRequest& request, const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Plan> Unmap(uint64_t addr, uint64_t length) ABSL_LOCKS_EXCLUDED(mu_);
  // shmdt(2): all that is left of what shmat(2) attached at addr; kInval where that is nothing.
  ErrnoOr<Plan> Detach(uint64_t addr) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Plan> Protect(uint64_t addr, uint64_t length, int prot, const Limits& limits = {})
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Plan> Remap(uint64_t old_addr, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr,
                      const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_);
  // madvise(2). Where advice goes to the host, so do its errors (holes, wrong kind of memory).
  ErrnoOr<Plan> Advise(uint64_t addr, uint64_t length, int advice) ABSL_LOCKS_EXCLUDED(mu_);
  // brk(2): result is the new (or, refused, the old) break. No errors, as Linux.
  Plan Brk(uint64_t addr, const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_);
  // An operation of the plan failed on the host, the ops_run-th. Puts the list back where nothing had
  // been done; else forgets the range, which is not known any more.
  void Failed(const Plan& plan, uint32_t ops_run = 1) ABSL_LOCKS_EXCLUDED(mu_);

  // mlock(2), munlock(2), mlockall(2), munlockall(2): bookkeeping against the limit alone; nothing
  // is pinned on the host. The plan populates, unless on_fault.
  ErrnoOr<Plan> Lock(uint64_t addr, uint64_t length, bool on_fault, const Limits& limits)
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Unlock(uint64_t addr, uint64_t length) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid LockAll(bool current, bool future, const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_);
  void UnlockAll() ABSL_LOCKS_EXCLUDED(mu_);

  // The process whose memory this is, for Mappable::OnAreaAdded.
  void SetOwner(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);
  // The break's place after a program's segments: exec sets it.
  void SetBrkBase(uint64_t base) ABSL_LOCKS_EXCLUDED(mu_);
  // Lists what the platform has mapped by itself outside the task's range ("[vdso]"). False where
  // it does not fit.
  bool AddSpecial(Area area) ABSL_LOCKS_EXCLUDED(mu_);

  // The list for a forked child on its own copy of the memory. `extra` receives operations that the
  // child must run first (MADV_DONTFORK: unmap, MADV_WIPEONFORK: map afresh).
  Ref<MemoryManager> Fork(Ref<AddressSpace> child, std::vector<HostOp>* extra) ABSL_LOCKS_EXCLUDED(mu_);
  // fork(2) knows the child's AddressSpace only after it was asked for: a copy without one yet.
  void SetSpace(Ref<AddressSpace> space) { space_ = std::move(space); }

  // A copy of the area that holds addr.
  std::optional<Area> AreaAt(uint64_t addr) const ABSL_LOCKS_EXCLUDED(mu_);
  // All areas by address: /proc/PID/maps.
  std::vector<Area> Areas() const ABSL_LOCKS_EXCLUDED(mu_);
  // Those that meet the range, cut to it: msync(2).
  std::vector<Area> AreasIn(uint64_t addr, uint64_t length) const ABSL_LOCKS_EXCLUDED(mu_);
  // Whether all of [addr, addr + length) is mapped: mincore(2), msync(2).
  bool IsMapped(uint64_t addr, uint64_t length) const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t TotalBytes() const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t LockedBytes() const ABSL_LOCKS_EXCLUDED(mu_);

  // How the call site at addr is patched (HostOp::PatchCall), with the protection of its pages changed
  // meanwhile. Empty where it is not to be: only in a file's text that is mapped for this process alone.
  absl::InlinedVector<HostOp, 3> PatchOps(uint64_t addr) const ABSL_LOCKS_EXCLUDED(mu_);

  // What a futex word is known by: private memory by (this, address), shared by file and offset.
  struct SharedKey {
    uint64_t device = 0, inode = 0, offset = 0;
    bool shared = false;
  };
  SharedKey FutexKey(uint64_t addr) const ABSL_LOCKS_EXCLUDED(mu_);

  // What execve(2) and prctl(PR_SET_MM) record for /proc/PID/{cmdline,environ,auxv,stat}.
  struct Layout {
    uint64_t start_code = 0, end_code = 0, start_data = 0, end_data = 0;
    uint64_t start_brk = 0, start_stack = 0;
    uint64_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
    std::vector<uint64_t> auxv;
  };
  Layout layout() const ABSL_LOCKS_EXCLUDED(mu_);
  void SetLayout(Layout layout) ABSL_LOCKS_EXCLUDED(mu_);

  // How many tasks run on this memory; with one, operations need no token.
  void AddUser() { users_.fetch_add(1, std::memory_order_acq_rel); }
  // The number that is left.
  int DropUser() { return users_.fetch_sub(1, std::memory_order_acq_rel) - 1; }
  int users() const { return users_.load(std::memory_order_acquire); }

  // One operation at a time among many threads. TryTakeOp is false while another has it: then wait
  // for kIn on op_queue and ask again.
  bool TryTakeOp() ABSL_LOCKS_EXCLUDED(mu_);
  void ReleaseOp() ABSL_LOCKS_EXCLUDED(mu_);
  wait::WaitQueue& op_queue() { return op_queue_; }

 private:
  struct Bases {
    uint64_t stack_top = 0, mmap_base = 0;
  };
  static Bases ChooseBases(uint64_t task_size);
  MemoryManager(Ref<AddressSpace> space, uint64_t task_size, Bases bases);

  // What mremap(2) was asked for, checked against the numbers alone.
  struct Move {
    uint64_t old_addr, old_len, new_len, new_addr;
    int flags;
  };
  ErrnoOr<Plan> Shrink(const Move& move) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOrVoid CheckGrowth(const Move& move, const Area& area, const Limits& limits, Plan* plan)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Plan> GrowInPlace(const Move& move, const Area& area, Plan plan) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Plan> MoveTo(const Move& move, uint64_t target, Plan plan) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // [addr, addr + length) for a mapping that the flags ask for. length is page-aligned, not 0.
  ErrnoOr<uint64_t> ChooseAddress(uint64_t addr, uint64_t length, int flags)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<uint64_t> FindFree(uint64_t length, bool low_2g) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOrVoid CheckLimits(uint64_t more, uint64_t more_data, const Limits& limits) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Plan> AdviseList(uint64_t start, uint64_t end, int advice) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Ref<AddressSpace> space_;
  const uint64_t task_size_;
  const uint64_t stack_top_;
  const uint64_t mmap_base_;  // top-down search begins here
  std::atomic<int> users_{1};
  wait::WaitQueue op_queue_;
  mutable absl::Mutex mu_;  // leaf, but for Mappables' own locks
  AreaList areas_ ABSL_GUARDED_BY(mu_);
  uint64_t brk_base_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t brk_ ABSL_GUARDED_BY(mu_) = 0;
  bool lock_future_ ABSL_GUARDED_BY(mu_) = false;  // MCL_FUTURE
  Layout layout_ ABSL_GUARDED_BY(mu_);
  bool op_taken_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace cloister::mm

#endif  // CLOISTER_SENTRY_MM_MEMORY_MANAGER_H_
