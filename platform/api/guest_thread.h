#ifndef CLOISTER_PLATFORM_API_GUEST_THREAD_H_
#define CLOISTER_PLATFORM_API_GUEST_THREAD_H_

#include <sys/types.h>

#include <cstdint>
#include <span>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "platform/api/address_space.h"
#include "platform/api/host_op.h"
#include "platform/api/quick_state.h"
#include "platform/api/trap.h"

namespace cloister::platform {

// What a new guest thread shares with the one that makes it.
enum class CloneKind {
  kThread,         // same host process: CLONE_VM | CLONE_THREAD
  kSharedProcess,  // another host process on the same memory: vfork, CLONE_VM alone
  kFork,           // another host process on a copy-on-write copy
};

struct CloneRequest {
  CloneKind kind = CloneKind::kThread;
  Registers child_regs = {};  // where the child begins; its FP state is the parent's
  bool set_tls = false;       // child starts with FS base = tls (else the parent's)
  uint64_t tls = 0;
  TrapHandler* child_handler = nullptr;
  // The child's first event is OnTrap(kOpsDone, ops_run 0), before it runs any guest instruction.
  bool stop_child = false;
  // kResume: the parent runs on with regs(). kReport: it stops at kOpsDone once the child exists
  // (result: 0). Where the host refuses, always kOpsDone with a negative errno.
  AfterOps after = AfterOps::kResume;
};

// One thread of the guest and the host thread that runs it. Linux: struct task_struct's thread part.
//
// It is *running* (owned by the host) or *stopped* (owned by whoever answers its trap). regs() and
// the answering calls are for the owner only; Interrupt, Kill and the ids are for anyone.
class GuestThread : public RefCounted {
 public:
  // The registers at the trap; what is written here is what the guest resumes with.
  virtual Registers& regs() = 0;

  virtual AddressSpace& address_space() = 0;

  // Answer: run on with regs().
  virtual void Resume() = 0;

  // Answer: run ops in order, stopping at the first that fails. The result of the last one goes
  // to Trap::result, and with kResume is not seen by the guest: put the value into regs().rax.
  // At most kMaxOps.
  virtual void RunOps(std::span<const HostOp> ops, AfterOps after) = 0;
  static constexpr size_t kMaxOps = 32;

  // Answer: make another thread. Returns it at once, not yet running; on failure of the host its
  // OnGone is called and the parent gets kOpsDone. An error here means no answer was given yet.
  virtual ErrnoOr<Ref<GuestThread>> Clone(const CloneRequest& request) = 0;

  // Owner: whether the host process may go on with another program: no other thread lives in it, and nobody
  // shares its memory. It is for the caller to unmap what is there, and to run HostOp::StartAfresh().
  virtual bool MayStartAfresh() { return false; }
  // Then: address_space() is another one, and the one before reaches nothing any more.
  virtual void LeaveMemory() {}

  // Answer: the host thread ends; OnGone follows. regs() is invalid from here on.
  virtual void Exit() = 0;

  // Makes a running thread stop soon with kInterrupt. On a stopped one it is remembered, and the
  // thread stops again soon after it resumes. Never blocks.
  virtual void Interrupt() = 0;

  // Ends the thread's host process (all threads of it) at once, whatever it does. OnGone follows
  // for each. Never blocks.
  virtual void KillProcess() = 0;

  // Quick calls (quick_state.h). Where there are none, every call traps.
  virtual bool HasQuickCalls() const { return false; }
  // Owner, before an answer that lets the guest run: from then on it may make them.
  virtual void GiveQuickState(const QuickState&) {}
  // Anyone, while the guest runs too: its ids from now on.
  virtual void GiveQuickIds(const QuickIds&) {}
  // What the guest made of it. Owner; copied once.
  virtual QuickState TakeQuickState() const { return {}; }
  // Anyone: from here on the guest changes its signal mask by a trap alone. Returns the mask.
  virtual uint64_t HoldSignalMask() { return 0; }
  // Owner: it may again.
  virtual void ReleaseSignalMask() {}

  // Whether HostOp::Kind::kFutex is there. The words' waiters are then the host's.
  virtual bool HasNativeFutexes() const { return false; }
  // Whether HostOp::Kind::kReadFile is there.
  virtual bool ReadsFiles() const { return false; }
  // Anyone: it runs, as far as was heard of it, but sleeps in a futex. The guest's own word.
  virtual bool SleepsInFutex() const { return false; }

  // Owner: no answer will come before something else happens.
  virtual void WillWait() {}

  // Ids in the sentry's host pid namespace; 0 where there is none now.
  virtual pid_t host_tid() const = 0;
  virtual pid_t host_pid() const = 0;

  // Anyone, while the guest runs too: it may make no quick calls, until it is given their state again. What
  // it has made of that so far is still to be taken.
  virtual void WithholdQuickCalls() {}
};

}  // namespace cloister::platform

#endif  // CLOISTER_PLATFORM_API_GUEST_THREAD_H_
