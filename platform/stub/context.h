#ifndef CLOISTER_PLATFORM_STUB_CONTEXT_H_
#define CLOISTER_PLATFORM_STUB_CONTEXT_H_

#include <linux/filter.h>
#include <sys/user.h>

#include <cstddef>
#include <cstdint>

#include "platform/stub/layout.h"
#include "platform/stub/offsets.h"

// What a stub and the sentry tell each other. The guest can write all of it at any time: the sentry
// copies a field once and checks it, and keeps what it must rely on in its own memory.

namespace cloister::stub {

// First argument of the doorbell: why it rings. The second is Context::token, but for kSleep and kHello.
enum class Event : uint64_t {
  kSyscall = 1,
  kFault = 2,
  kInterrupt = 3,
  kOpsDone = 4,  // operations or a clone that report, or that failed
  kHello = 5,    // a new host process on the same memory; the second argument is the token of its clone
  kBorn = 6,     // a new process that was told to stop before it runs
  kSleep = 7,    // the answer to a posted event is long in coming; the second argument is Context::cycle
  kFetch = 8,  // asks for the descriptors of the operations, which a reply without the doorbell cannot bring
};

// Context::request: whether a worker of the sentry looks at this thread, so that it need not be rung.
inline constexpr uint32_t kUnwatched = 0, kWatched = 1, kPosted = 2;
// Context::reply, to a posted event. The stub sleeps only after it has said so.
inline constexpr uint32_t kNoReply = 0, kSleeping = 1, kReplied = 2;

// What the doorbell returns. From kFirstInjectedFd on it is a descriptor, and means kOps.
enum class Answer : int64_t {
  kResume = 0,
  kOps = 1,
  kClone = 2,
  kExit = 3,
  kAdopt = 4,  // to a thread that is to end: it becomes another one, as soon as that one's maker was here
  kRest = 5,   // not the answer: that comes by Context::rested
};

// A forked child says which one it is when it maps its context region: the token of its clone is in those
// upper bits of mmap(2)'s flags that the host does not look at.
inline constexpr int kTokenShift = 32;

enum class OpKind : uint64_t {
  kCall = 0,  // the host call `nr` through the gate
  kStoreFpState = 1,
  kLoadFpState = 2,
  kCompareExchange = 3,
  kPatchCall = 4,
  kUnpatchCalls = 5,
  kStartAfresh = 6,
  kFutex = 7,  // HostOp::Kind::kFutex
  kFutexWaitv = 8,
  kReadFile = 9,  // pread(2) with these arguments, of all that was asked for
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
  kAdopt = 2,  // the thread that sleeps in child_slot becomes the child: kSharedMemory without the host
};

struct Clone {
  CloneSort sort;
  uint64_t flags;
  uint64_t tls;
  uint64_t token;
  uint64_t parent_tid;  // where the host puts the child's id, or 0
  uint64_t says_hello;  // kSharedMemory: the child rings before it runs
  uint64_t child_slot;
  uint64_t arena_offset;  // kFork: the child's context region
  uint64_t child_stops;   // kFork: ring kBorn before running
  user_regs_struct child_regs;
};

// Calls that the stub answers itself (Quick::calls): the groups of platform/api/quick_state.h.
inline constexpr uint64_t kQuickSignalMask = 1, kQuickRobustList = 2, kQuickAdvise = 4, kQuickIds = 8;
inline constexpr uint64_t kQuickFutex = 16, kQuickYield = 32, kQuickTidAddress = 64, kQuickSetFs = 128,
                          kQuickRseq = 256;

struct Quick {
  uint64_t calls;        // sentry to stub
  uint64_t held;         // sentry to stub: signals wait, the mask is not to be changed without it
  uint64_t signal_mask;  // both ways
  uint64_t robust_list, clear_child_tid;  // both ways
  uint64_t refused_rseq;                  // stub to sentry: 1 after an rseq(2)
  // Sentry to stub: what getpid(2) and its kin answer.
  uint32_t pid, tid, parent_pid, uid, euid, gid, egid;
};

// Control page of one slot. Groups begin on cache lines of their own.
struct Context {
  // Both ways: the guest's registers at the trap, and those to resume with.
  alignas(64) user_regs_struct regs;

  // The stub's own. The sentry fills self, magic and stack when it gives the slot out (GS points here).
  alignas(64) uint64_t self;
  uint32_t magic;
  uint32_t interrupted;  // both set it, the stub clears it: ring kInterrupt before the guest runs on
  uint64_t stack;        // where a patched call's stack begins
  uint64_t reframe_answer;
  uint64_t compares;  // the PatchEntry of a patched call that ends with a comparison, or 0

  // Hand-over without the doorbell.
  alignas(64) uint32_t request;  // kUnwatched …
  uint32_t wait_long;            // sentry to stub: the call is parked, it will take a while
  uint64_t cycle;                // sentry to stub: which watch this is
  alignas(64) uint32_t reply;    // kNoReply …
  uint32_t writes;               // sentry to stub, before reply: results in the window
  int64_t answer;                // sentry to stub, before reply or rested
  uint32_t rested;  // 1: the answer to a thread at rest, which waits for it by futex(2), is there

  // Stub to sentry.
  alignas(64) uint64_t event;  // of a posted request
  uint64_t window;             // kSyscall: 1 if the window holds ranges (window.h)
  uint64_t patch_site;         // kSyscall: a call site that is worth patching, or 0
  uint64_t keeps;              // 1: what was lent last is still open
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
  // The host's id of a thread, written by its kernel (CLONE_PARENT_SETTID).
  int32_t host_tid;
  // The stub's own. Of a thread that is to end: its signal frame, or 0 where it has none. Of one that is made
  // of it: where FS and GS point, and whether all that has been written.
  uint64_t frame;
  uint64_t fs_base, gs_base;
  uint32_t adopted;  // cleared by the sentry
  uint32_t asleep;   // stub to sentry: 1 in a futex
  // Sentry to stub: by which it knows a thread that rings for the first time.
  uint64_t token;
  uint64_t runs_at_birth;  // to a forked child: it need not ring kBorn, and its registers are here

  alignas(64) Quick quick;

  // The stub's own: how often calls came by a signal, by a hash of their place.
  alignas(64) uint8_t heat[256];

  // Sentry to stub.
  alignas(64) uint64_t op_count;
  uint64_t report;  // 1: ring kOpsDone after the last operation; 0: resume
  uint64_t lends;   // 1: an operation uses a descriptor that the sentry lends
  uint64_t fetch;   // 1: such a one has to be asked for first
  Op ops[kMaxOps];
  Clone clone;
};
static_assert(sizeof(Op) == 64);
static_assert(sizeof(Context) <= 4096);
static_assert(offsetof(Context, self) == STUB_CONTEXT_SELF && offsetof(Context, magic) == STUB_CONTEXT_MAGIC);
static_assert(offsetof(Context, interrupted) == STUB_CONTEXT_INTERRUPTED);
static_assert(offsetof(Context, stack) == STUB_CONTEXT_STACK);
static_assert(offsetof(Context, compares) == STUB_CONTEXT_COMPARES);
static_assert(offsetof(user_regs_struct, orig_rax) == STUB_REG_ORIG_RAX &&
              offsetof(user_regs_struct, ss) == STUB_REG_SS);
inline constexpr uint64_t kAliveOffset = offsetof(Context, alive);
inline constexpr uint64_t kHostTidOffset = offsetof(Context, host_tid);

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
