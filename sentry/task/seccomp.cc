#include "sentry/task/seccomp.h"

#include <linux/audit.h>
#include <linux/ptrace.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "base/log/log.h"
#include "sentry/task/ptrace.h"
#include "sentry/task/seccomp_listener.h"

namespace cloister::task {
namespace {

using seccomp::Filter;

constexpr uint32_t kMaxErrno = 4095;
constexpr int kSysSeccomp = 1;  // si_code of SIGSYS

seccomp_data DataOf(const platform::Registers& regs) {
  seccomp_data data = {};
  data.nr = static_cast<int>(regs.orig_rax);
  data.arch = AUDIT_ARCH_X86_64;
  data.instruction_pointer = regs.rip;
  const uint64_t args[] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
  std::copy(std::begin(args), std::end(args), data.args);
  return data;
}

const char* NameOf(uint32_t action) {
  switch (action) {
    case SECCOMP_RET_KILL_THREAD:
      return "kill_thread";
    case SECCOMP_RET_TRAP:
      return "trap";
    case SECCOMP_RET_ERRNO:
      return "errno";
    case SECCOMP_RET_USER_NOTIF:
      return "user_notif";
    case SECCOMP_RET_TRACE:
      return "trace";
    case SECCOMP_RET_LOG:
      return "log";
    case SECCOMP_RET_ALLOW:
      return "allow";
    default:
      return "kill_process";
  }
}

// Linux: seccomp_log. What ends a task and SECCOMP_RET_LOG are told always, the others where the filter says
// so.
void Tell(const Task& task, int number, const Filter::Verdict& verdict) {
  if (verdict.action == SECCOMP_RET_ALLOW) return;
  const bool asked = verdict.by != nullptr && verdict.by->logs();
  const bool always =
      verdict.action == SECCOMP_RET_LOG || static_cast<int32_t>(verdict.action) < int32_t{SECCOMP_RET_TRAP};
  if (!asked && !always) return;
  LOG(kInfo, "seccomp: process %d, thread %d (%s): system call %d: %s", task.pid(), task.tid(), task.name(),
      number, NameOf(verdict.action));
}

}  // namespace

ErrnoOrVoid Seccomp::SetStrict(Task& task) {
  absl::MutexLock lock(&Kernel::tree_mu());
  if (task.filters.get() != nullptr) return Errno::kInval;
  task.filters.Set(Filter::Strict());
  return {};
}

ErrnoOr<pid_t> Seccomp::Install(Task& task, const seccomp::BpfProgram& program, uint64_t flags,
                                Ref<seccomp::Listener> listener) {
  for (;;) {
    Ref<const Filter> before;
    {
      absl::MutexLock lock(&Kernel::tree_mu());
      before = task.filters.ref();
    }
    if (before && before->is_strict()) return Errno::kInval;
    if (listener && before && before->HasListener()) return Errno::kBusy;
    Ref<const Filter> filter = TRY(Filter::Make(program, flags, before, listener));
    absl::MutexLock lock(&Kernel::tree_mu());
    if (task.filters.get() != before.get()) continue;  // another thread was faster
    if (flags & SECCOMP_FILTER_FLAG_TSYNC) {
      const pid_t other = FindUnsyncableLocked(task);
      if (other != 0 && (flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH)) return Errno::kSrch;
      if (other != 0) return other;
    }
    task.filters.Set(std::move(filter));
    if (flags & SECCOMP_FILTER_FLAG_TSYNC) SyncThreadsLocked(task);
    return 0;
  }
}

// Linux: seccomp_can_sync_threads.
pid_t Seccomp::FindUnsyncableLocked(Task& task) {
  for (const Task* other : task.group().tasks) {
    if (other == &task || other->owner_.load(std::memory_order_acquire) == Task::Owner::kDead) continue;
    const Filter* const theirs = other->filters.get();
    if (theirs != nullptr && !theirs->IsIn(task.filters.get())) return other->tid();
  }
  return 0;
}

// Linux: seccomp_sync_threads. What the platform may answer them by itself is worked out anew when they trap.
void Seccomp::SyncThreadsLocked(Task& task) {
  for (Task* other : task.group().tasks) {
    if (other == &task || other->owner_.load(std::memory_order_acquire) == Task::Owner::kDead) continue;
    if (task.no_new_privs) other->no_new_privs = true;
    other->filters.Set(task.filters.ref());
    absl::MutexLock lock(&other->own_mu_);
    if (other->thread_) other->thread_->WithholdQuickCalls();
  }
}

bool Seccomp::Answers(Task& task) { return Judge(task, false); }

// Linux: __seccomp_filter.
bool Seccomp::Judge(Task& task, bool traced) {
  const Filter* const filter = task.filters.get();
  if (filter->is_strict()) {
    LOG(kInfo, "seccomp: thread %d (%s): system call %d in strict mode", task.tid(), task.name(),
        static_cast<int>(task.args_.number()));
    task.Exit(SIGKILL, false);
    return true;
  }
  const seccomp_data data = DataOf(task.regs());
  const Filter::Verdict verdict = filter->Run(data);
  if (verdict.action != SECCOMP_RET_TRACE || !traced) Tell(task, data.nr, verdict);
  switch (verdict.action) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
      return false;
    case SECCOMP_RET_ERRNO:
      Fail(task, std::min(verdict.data, kMaxErrno));
      return true;
    case SECCOMP_RET_TRAP:
      Trap(task, data, verdict.data);
      return true;
    case SECCOMP_RET_TRACE:
      if (traced) return false;
      if (!StopForTracer(task, verdict.data)) Fail(task, ENOSYS);
      return true;
    case SECCOMP_RET_USER_NOTIF:
      if (auto* const listener = static_cast<SeccompListener*>(verdict.by->listener())) {
        if (std::optional<SeccompListener::Call> call = listener->Post(task, data)) {
          task.call_ = std::make_unique<RunningCallOf<SeccompListener::Call>>(*std::move(call));
          task.Finish(task.call_->Step(task));
          return true;
        }
      }
      Fail(task, ENOSYS);
      return true;
    case SECCOMP_RET_KILL_THREAD:
      Kill(task, false);
      return true;
    default:
      Kill(task, true);
      return true;
  }
}

// The value may be one by which the sentry would begin the call anew: the guest gets it all the same.
void Seccomp::Fail(Task& task, uint32_t error) {
  const Answer answer(-static_cast<int64_t>(error));
  if (answer.wants_restart()) task.regs().orig_rax = ~uint64_t{0};
  task.EndCall(answer);
}

// Linux: force_sig_seccomp. A handler sees the registers as they were.
void Seccomp::Trap(Task& task, const seccomp_data& data, uint32_t reason) {
  siginfo_t info = {};
  info.si_signo = SIGSYS;
  info.si_code = kSysSeccomp;
  info.si_errno = static_cast<int>(reason);
  info.si_call_addr = reinterpret_cast<void*>(data.instruction_pointer);
  info.si_syscall = data.nr;
  info.si_arch = data.arch;
  task.regs().rax = task.regs().orig_rax;
  task.ForceSignal(info);
  task.LeaveSyscall();
}

// False: nobody traces it who wants to know.
bool Seccomp::StopForTracer(Task& task, uint32_t message) {
  task.regs().rax = static_cast<uint64_t>(-ENOSYS);
  return task.traced() && Ptrace::StopForEvent(task, PTRACE_EVENT_SECCOMP, message, AfterStop::kSeccomp);
}

void Seccomp::AfterTracer(Task& task) {
  bool killed;
  {
    absl::MutexLock lock(&Kernel::tree_mu());
    killed = task.killed_;
  }
  if (killed || static_cast<int>(task.regs().orig_rax) < 0) {
    task.LeaveSyscall();
    return;
  }
  task.args_ = SyscallArgs(task.regs());
  if (!Judge(task, true)) task.Dispatch();
}

void Seccomp::Kill(Task& task, bool process) {
  if (!process) {
    absl::MutexLock lock(&Kernel::tree_mu());
    process = task.group().tasks.size() == 1;
  }
  task.Exit(SIGSYS, process);
}

}  // namespace cloister::task
