#ifndef CLOISTER_PLATFORM_STUB_CONTEXT_H_
#define CLOISTER_PLATFORM_STUB_CONTEXT_H_

#include <linux/filter.h>
#include <sys/user.h>

#include <cstddef>
#include <cstdint>

#include "platform/stub/layout.h"

// What a stub and the sentry tell each other. The guest can write all of it at any time: the sentry
// copies a field once and checks it, and keeps what it must rely on in its own memory.

namespace cloister::stub {

// First argument of the doorbell: why it rings.
enum class Event : uint64_t {
  kSyscall = 1,
  kFault = 2,
  kInterrupt = 3,
  kOpsDone = 4,  // operations or a clone that report, or that failed
  kHello = 5,    // a new host thread; the second argument is the token of its clone
  kBorn = 6,     // a new process that was told to stop before it runs
};

// What the doorbell returns. From kFirstInjectedFd on it is a descriptor, and means kOps.
enum class Answer : int64_t {
  kResume = 0,
  kOps = 1,
  kClone = 2,
  kExit = 3,
};

enum class OpKind : uint64_t {
  kCall = 0,  // the host call `nr` through the gate
  kStoreFpState = 1,
  kLoadFpState = 2,
  kCompareExchange = 3,
};

struct Op {
  OpKind kind;
  uint64_t nr;
  uint64_t args[6];
};

inline constexpr uint32_t kMaxOps = 32;

enum class CloneSort : uint64_t {
  kSharedMemory = 0,  // starts on the stack and context page of child_slot
  kFork = 1,          // starts on its own copies, in the slot of its parent
};

struct Clone {
  CloneSort sort;
  uint64_t flags;
  uint64_t tls;
  uint64_t token;
  uint64_t child_slot;
  uint64_t arena_offset;  // kFork: the child's context region
  uint64_t child_stops;   // kFork: ring kBorn before running
  user_regs_struct child_regs;
};

// Calls that the stub answers itself (Quick::calls).
inline constexpr uint64_t kQuickSignalMask = 1, kQuickRobustList = 2, kQuickAdvise = 4;

struct Quick {
  uint64_t calls;        // sentry to stub
  uint64_t held;         // sentry to stub: signals wait, the mask is not to be changed without it
  uint64_t signal_mask;  // both ways
  uint64_t robust_list;  // both ways
};

// Control page of one slot. Groups begin on cache lines of their own; the hole is for what spins
// (request and answer counters) and for patched call sites.
struct Context {
  // Both ways: the guest's registers at the trap, and those to resume with.
  alignas(64) user_regs_struct regs;

  // Stub to sentry.
  int32_t fault_signo;
  int32_t fault_code;
  uint64_t fault_addr;
  uint64_t fault_trapno;
  uint64_t fault_err;
  int64_t op_result;
  uint64_t ops_run;

  // Set by the sentry when it gives the slot out, cleared by the host's kernel when the thread has
  // left its stack for good (CLONE_CHILD_CLEARTID).
  alignas(64) uint32_t alive;

  alignas(64) Quick quick;
  uint64_t reserved[28];

  // Sentry to stub.
  alignas(64) uint64_t op_count;
  uint64_t report;  // 1: ring kOpsDone after the last operation; 0: resume
  Op ops[kMaxOps];
  Clone clone;
};
static_assert(sizeof(Op) == 64);
static_assert(sizeof(Context) <= 4096);
inline constexpr uint64_t kAliveOffset = offsetof(Context, alive);

// Both ways in the arena's slot 1 of the zygote while it boots.
struct Boot {
  uint32_t filter_length;   // instructions
  uint32_t fp_state_bytes;  // with the trailing magic
  // Where execve(2) put the vDSO's image and the data pages before it; all 0 where the host has none.
  uint64_t vdso_data, vdso_begin, vdso_end;
  sock_filter filter[512];
};
static_assert(sizeof(Boot) <= kContextBytes);

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_CONTEXT_H_
