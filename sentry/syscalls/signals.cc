// Signals: actions, masks, sending, waiting.

#include <signal.h>
#include <sys/syscall.h>

#include "sentry/syscalls/processes.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"

namespace cloister::syscalls {
namespace {

using signal::Action;
using signal::SignalSet;
using task::Block;
using task::Kernel;
using task::ThreadGroup;
using usermem::UserPtr;
using wait::Poll;
using wait::Restart;

constexpr size_t kSetSize = sizeof(uint64_t);

ErrnoOr<int> RtSigaction(Task& task, const SyscallArgs& args) {
  const int signo = args.Int(0);
  if (args.Size(3) != kSetSize) return Errno::kInval;
  const uint64_t new_addr = args.Addr(1), old_addr = args.Addr(2);
  Action action;
  if (new_addr != 0) {
    action = TRY(task.CopyIn(UserPtr<const Action>(new_addr)));
  }
  if (!signal::IsValid(signo) || (new_addr != 0 && signal::kUnblockable.Has(signo))) return Errno::kInval;
  signal::SignalActions& actions = *task.group().actions;
  const Action old = new_addr != 0 ? actions.Set(signo, action) : actions.Get(signo);
  if (new_addr != 0 && actions.Ignores(signo)) task.DiscardPending(SignalSet::Of(signo));
  if (old_addr != 0) TRY_VOID(task.CopyOut(UserPtr<Action>(old_addr), old));
  return 0;
}

ErrnoOr<int> RtSigprocmask(Task& task, const SyscallArgs& args) {
  if (args.Size(3) != kSetSize) return Errno::kInval;
  const SignalSet old = task.signal_mask();
  if (args.Addr(1) != 0) {
    const SignalSet set(TRY(task.CopyIn(args.Ptr<const uint64_t>(1))));
    switch (args.Int(0)) {
      case SIG_BLOCK:
        task.SetSignalMask(old | set);
        break;
      case SIG_UNBLOCK:
        task.SetSignalMask(old.Without(set));
        break;
      case SIG_SETMASK:
        task.SetSignalMask(set);
        break;
      default:
        return Errno::kInval;
    }
  }
  if (args.Addr(2) != 0) TRY_VOID(task.CopyOut(args.Ptr<uint64_t>(2), old.bits()));
  return 0;
}

ErrnoOr<int> RtSigpending(Task& task, const SyscallArgs& args) {
  if (args.Size(1) > kSetSize) return Errno::kInval;
  const uint64_t bits = (task.PendingSet() & task.signal_mask()).bits();
  TRY_VOID(usermem::CopyOutBytes(task.space(), args.Addr(0),
                                 std::as_bytes(std::span(&bits, 1)).first(args.Size(1))));
  return 0;
}

// One process of kill(2).
ErrnoOrVoid SignalGroup(Task& task, ThreadGroup& group, int signo)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
  if (!MaySignal(task, group, signo)) return Errno::kPerm;
  if (signo != 0) Task::SendToGroupLocked(group, SenderInfo(task, signo, SI_USER));
  return {};
}

ErrnoOr<int> Kill(Task& task, const SyscallArgs& args) {
  const int pid = args.Int(0), signo = args.Int(1);
  if (signo != 0 && !signal::IsValid(signo)) return Errno::kInval;
  Kernel& kernel = task.kernel();
  absl::MutexLock lock(&kernel.tree_mu());
  if (pid > 0) {
    ThreadGroup* group = kernel.FindGroupLocked(pid);
    if (group == nullptr) {
      Task* const thread = kernel.FindTaskLocked(pid);
      if (thread == nullptr) return Errno::kSrch;
      group = &thread->group();
    }
    TRY_VOID(SignalGroup(task, *group, signo));
    return 0;
  }
  if (pid == INT32_MIN) return Errno::kSrch;
  const pid_t wanted = pid == 0 ? task.group().process_group->id() : -pid;
  bool found = false, sent = false;
  Errno error = Errno::kPerm;
  for (const Ref<ThreadGroup>& group : kernel.GroupsLocked()) {
    if (pid == -1 ? group.get() == &task.group() || group->is_container_init
                  : group->process_group->id() != wanted)
      continue;
    found = true;
    const ErrnoOrVoid result = SignalGroup(task, *group, signo);
    if (result.ok()) sent = true;
  }
  if (!found) return Errno::kSrch;
  if (!sent) return error;
  return 0;
}

// tgkill(2), tkill(2), rt_tgsigqueueinfo(2): tgid 0 is any.
ErrnoOr<int> SignalThread(Task& task, pid_t tgid, pid_t tid, const siginfo_t& info) {
  if (info.si_signo != 0 && !signal::IsValid(info.si_signo)) return Errno::kInval;
  absl::MutexLock lock(&task.kernel().tree_mu());
  Task* const target = task.kernel().FindTaskLocked(tid);
  if (target == nullptr || (tgid != 0 && target->pid() != tgid)) return Errno::kSrch;
  if (!MaySignal(task, target->group(), info.si_signo)) return Errno::kPerm;
  if (info.si_signo != 0) target->SendToThreadLocked(info);
  return 0;
}

ErrnoOr<int> Tgkill(Task& task, const SyscallArgs& args) {
  if (args.Int(0) <= 0 || args.Int(1) <= 0) return Errno::kInval;
  return SignalThread(task, args.Int(0), args.Int(1), SenderInfo(task, args.Int(2), SI_TKILL));
}

ErrnoOr<int> Tkill(Task& task, const SyscallArgs& args) {
  if (args.Int(0) <= 0) return Errno::kInval;
  return SignalThread(task, 0, args.Int(0), SenderInfo(task, args.Int(1), SI_TKILL));
}

ErrnoOr<int> RtSigqueueinfo(Task& task, const SyscallArgs& args) {
  const pid_t pid = args.Int(0);
  const int signo = args.Int(1);
  siginfo_t info = TRY(CopyInQueuedInfo(task, args.Addr(2), pid == task.pid()));
  info.si_signo = signo;
  if (signo != 0 && !signal::IsValid(signo)) return Errno::kInval;
  absl::MutexLock lock(&task.kernel().tree_mu());
  ThreadGroup* const group = task.kernel().FindGroupLocked(pid);
  if (group == nullptr) return Errno::kSrch;
  if (!MaySignal(task, *group, signo)) return Errno::kPerm;
  if (signo != 0) Task::SendToGroupLocked(*group, info);
  return 0;
}

ErrnoOr<int> RtTgsigqueueinfo(Task& task, const SyscallArgs& args) {
  if (args.Int(0) <= 0 || args.Int(1) <= 0) return Errno::kInval;
  siginfo_t info = TRY(CopyInQueuedInfo(task, args.Addr(3), args.Int(0) == task.pid()));
  info.si_signo = args.Int(2);
  return SignalThread(task, args.Int(0), args.Int(1), info);
}

// The kernel's stack_t.
struct UserStack {
  uint64_t sp;
  int32_t flags;
  uint64_t size;
};

ErrnoOr<int> Sigaltstack(Task& task, const SyscallArgs& args) {
  constexpr uint64_t kMinStack = 2048;
  const signal::AltStack old = task.alt_stack;
  const bool on_it = old.Holds(task.regs().rsp);
  if (args.Addr(0) != 0) {
    const UserStack wanted = TRY(task.CopyIn(args.Ptr<const UserStack>(0)));
    const int mode = wanted.flags & ~signal::kSsAutodisarm;
    if (on_it) return Errno::kPerm;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return Errno::kInval;
    if (mode == SS_DISABLE) {
      task.alt_stack = signal::AltStack();
    } else {
      if (wanted.size < kMinStack) return Errno::kNoMem;
      task.alt_stack = signal::AltStack{wanted.sp, wanted.flags & signal::kSsAutodisarm, wanted.size};
    }
  }
  if (args.Addr(1) != 0) {
    const int32_t flags = on_it ? SS_ONSTACK | (old.flags & signal::kSsAutodisarm) : old.flags;
    TRY_VOID(task.CopyOut(args.Ptr<UserStack>(1), UserStack{old.sp, flags, old.size}));
  }
  return 0;
}

Outcome RtSigreturn(Task&, const SyscallArgs&) { return task::SigreturnControl(); }

struct SigsuspendCall {
  static ErrnoOr<SigsuspendCall> Begin(Task& task, const SyscallArgs& args) {
    if (args.Size(1) != kSetSize) return Errno::kInval;
    task.SetTemporaryMask(SignalSet(TRY(task.CopyIn(args.Ptr<const uint64_t>(0)))));
    return SigsuspendCall();
  }
  Outcome Step(Task&) {
    Block block;
    block.at_signal = Restart::kNoHand;
    return block;
  }
};

struct PauseCall {
  static ErrnoOr<PauseCall> Begin(Task&, const SyscallArgs&) { return PauseCall(); }
  Outcome Step(Task&) {
    Block block;
    block.at_signal = Restart::kNoHand;
    return block;
  }
};

struct SigtimedwaitCall {
  SignalSet wanted;
  uint64_t info_addr = 0;
  wait::MonotonicNs until = wait::kNever;
  bool poll = false;

  static ErrnoOr<SigtimedwaitCall> Begin(Task& task, const SyscallArgs& args) {
    if (args.Size(3) != kSetSize) return Errno::kInval;
    SigtimedwaitCall call;
    call.wanted = SignalSet(TRY(task.CopyIn(args.Ptr<const uint64_t>(0)))).Without(signal::kUnblockable);
    call.info_addr = args.Addr(1);
    if (args.Addr(2) != 0) {
      const int64_t timeout = TRY(CopyInDuration(task, args.Addr(2)));
      call.poll = timeout == 0;
      call.until = DeadlineAfter(timeout);
    }
    return call;
  }
  Outcome Step(Task& task) {
    if (const std::optional<siginfo_t> info = task.TakeSignal(wanted)) {
      if (info_addr != 0 && !task.CopyOut(UserPtr<siginfo_t>(info_addr), *info).ok())
        return Answer(Errno::kFault);
      return Answer(info->si_signo);
    }
    if (poll) return Answer(Errno::kAgain);
    Block block;
    block.on.push_back({Ref<RefCounted>(&task), &task.signal_queue(), Poll::kIn});
    block.until = until;
    block.at_deadline = Errno::kAgain;
    block.at_signal = Errno::kIntr;
    return block;
  }
};

Outcome RestartSyscall(Task& task, const SyscallArgs&, std::unique_ptr<RunningCall>* parked) {
  std::unique_ptr<RunningCall> call = std::move(task.restart_call);
  if (call == nullptr) return Answer(Errno::kIntr);
  Outcome outcome = call->Step(task);
  if (std::holds_alternative<Block>(outcome)) *parked = std::move(call);
  return outcome;
}

constexpr Entry kEntries[] = {
    {SYS_rt_sigaction, Plain<RtSigaction>},
    {SYS_rt_sigprocmask, Plain<RtSigprocmask>},
    {SYS_rt_sigpending, Plain<RtSigpending>},
    {SYS_rt_sigreturn, Plain<RtSigreturn>},
    {SYS_rt_sigsuspend, Blocking<SigsuspendCall>},
    {SYS_rt_sigtimedwait, Blocking<SigtimedwaitCall>},
    {SYS_rt_sigqueueinfo, Plain<RtSigqueueinfo>},
    {SYS_rt_tgsigqueueinfo, Plain<RtTgsigqueueinfo>},
    {SYS_pause, Blocking<PauseCall>},
    {SYS_kill, Plain<Kill>},
    {SYS_tgkill, Plain<Tgkill>},
    {SYS_tkill, Plain<Tkill>},
    {SYS_sigaltstack, Plain<Sigaltstack>},
    {SYS_restart_syscall, RestartSyscall},
};

}  // namespace

std::span<const Entry> SignalSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
