#ifndef CLOISTER_SENTRY_MM_MEMORY_MANAGER_H_
#define CLOISTER_SENTRY_MM_MEMORY_MANAGER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "platform/api/address_space.h"
#include "platform/api/host_op.h"
#include "sentry/mm/mappable.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::mm {

using platform::AddressSpace;
using platform::HostOp;

inline constexpr uint64_t kPageSize = 4096;

// One mapping. Linux: struct vm_area_struct.
struct Area {
  uint64_t start = 0;
  uint64_t end = 0;          // exclusive
  int prot = 0;              // PROT_…
  int flags = 0;             // MAP_SHARED or MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_NORESERVE, MAP_LOCKED
  MappedFile file;           // empty for anonymous memory
  uint64_t offset = 0;       // of start in file
  bool may_write = true;     // a shared mapping of a file that is not open for writing: false
  bool dont_fork = false;    // MADV_DONTFORK
  bool wipe_on_fork = false; // MADV_WIPEONFORK
  std::string name;          // "[stack]", "[heap]", "[vdso]"; empty otherwise
};

// What the stopped guest thread is to run, and what the syscall then returns. The areas have been
// changed already; if an operation fails on the host, call Failed with the plan.
struct Plan {
  uint64_t result = 0;
  absl::InlinedVector<HostOp, 4> ops;
  std::vector<MappedFile> keep;  // files whose descriptors ops use
  uint64_t start = 0, end = 0;   // the range that is touched
};

struct Limits {
  uint64_t address_space = ~uint64_t{0};  // RLIMIT_AS
  uint64_t data = ~uint64_t{0};           // RLIMIT_DATA
  uint64_t stack = 8 << 20;               // RLIMIT_STACK
  uint64_t locked = ~uint64_t{0};         // RLIMIT_MEMLOCK
};

// The list of a process' mappings. Linux: struct mm_struct. Decides; the guest's own stopped thread
// carries out. Shared by tasks made with CLONE_VM. Thread-safe.
//
// Two threads of one process must not have operations under way at once, or a late munmap would
// hit a new mapping: the dispatcher holds the OpToken from the decision until the host is done
// (not needed while only one thread uses the memory).
class MemoryManager : public RefCounted {
 public:
  // task_size: mappings end at or below it. Randomised bases are chosen here.
  MemoryManager(Ref<AddressSpace> space, uint64_t task_size);

  AddressSpace& space() const { return *space_; }
  uint64_t task_size() const { return task_size_; }

  // mmap(2): addr and flags as given. file empty for MAP_ANONYMOUS; the caller has checked access
  // modes of the descriptor and gives what mprotect may allow later.
  struct MapRequest {
    uint64_t addr = 0;
    uint64_t length = 0;
    int prot = 0;
    int flags = 0;
    MappedFile file;
    uint64_t offset = 0;
    bool may_write = true;
    std::string name;
  };
  ErrnoOr<Plan> Map(const MapRequest& request, const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Plan> Unmap(uint64_t addr, uint64_t length) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Plan> Protect(uint64_t addr, uint64_t length, int prot) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Plan> Remap(uint64_t old_addr, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr,
                      const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Plan> Advise(uint64_t addr, uint64_t length, int advice) ABSL_LOCKS_EXCLUDED(mu_);
  // brk(2): result is the new (or, refused, the old) break. No errors, as Linux.
  Plan Brk(uint64_t addr, const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_);
  // A plan's operation failed on the host: forgets the range that is not known any more.
  void Failed(const Plan& plan) ABSL_LOCKS_EXCLUDED(mu_);

  // The break's place after a program's segments: exec sets it.
  void SetBrkBase(uint64_t base) ABSL_LOCKS_EXCLUDED(mu_);

  // The list for a forked child on its own copy of the memory. `extra` receives operations that the
  // child must run first (MADV_DONTFORK: unmap, MADV_WIPEONFORK: map afresh).
  Ref<MemoryManager> Fork(Ref<AddressSpace> child, std::vector<HostOp>* extra) ABSL_LOCKS_EXCLUDED(mu_);
  // fork(2) knows the child's AddressSpace only after it was asked for: a copy without one yet.
  void SetSpace(Ref<AddressSpace> space) { space_ = std::move(space); }

  // A copy of the area that holds addr.
  std::optional<Area> AreaAt(uint64_t addr) const ABSL_LOCKS_EXCLUDED(mu_);
  // All areas by address: /proc/PID/maps.
  std::vector<Area> Areas() const ABSL_LOCKS_EXCLUDED(mu_);
  // Whether all of [addr, addr + length) is mapped: mincore(2), msync(2).
  bool IsMapped(uint64_t addr, uint64_t length) const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t TotalBytes() const ABSL_LOCKS_EXCLUDED(mu_);

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

  // One operation at a time among many threads. TryTakeOp is false while another has it: then wait
  // for kIn on op_queue and ask again.
  bool TryTakeOp() ABSL_LOCKS_EXCLUDED(mu_);
  void ReleaseOp() ABSL_LOCKS_EXCLUDED(mu_);
  wait::WaitQueue& op_queue() { return op_queue_; }

 private:
  using AreaMap = std::map<uint64_t, Area>;  // by start

  Ref<AddressSpace> space_;
  const uint64_t task_size_;
  wait::WaitQueue op_queue_;
  mutable absl::Mutex mu_;  // leaf, but for Mappables' own locks
  AreaMap areas_ ABSL_GUARDED_BY(mu_);
  uint64_t mmap_base_ ABSL_GUARDED_BY(mu_) = 0;  // top-down search begins here
  uint64_t brk_base_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t brk_ ABSL_GUARDED_BY(mu_) = 0;
  Layout layout_ ABSL_GUARDED_BY(mu_);
  bool op_taken_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace cloister::mm

#endif  // CLOISTER_SENTRY_MM_MEMORY_MANAGER_H_
