#include "sentry/fs/tty/job_control.h"

#include <signal.h>

#include "sentry/task/current.h"
#include "sentry/task/task.h"
#include "sentry/wait/block.h"

namespace cloister::tty {
namespace {

using task::CurrentTask;
using task::Session;
using task::Task;
using task::ThreadGroup;
using usermem::UserPtr;

// kSys of wait::Restart as an Errno: the answer that starts the syscall again.
constexpr Errno kRestartSys = static_cast<Errno>(wait::Restart::kSys);

Session& SessionOf(const ThreadGroup& group) { return *group.process_group->session(); }

void SendToAllLocked(task::Kernel& kernel, pid_t id, int signo)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel.tree_mu()) {
  siginfo_t info = {};
  info.si_signo = signo;
  info.si_code = SI_KERNEL;
  for (const Ref<ThreadGroup>& group : kernel.GroupsLocked()) {
    if (group->process_group && group->process_group->id() == id) Task::SendToGroupLocked(*group, info);
  }
}

ErrnoOr<int64_t> SetControlling(Terminal& terminal, Task& task, bool steal) {
  absl::MutexLock lock(&task.kernel().tree_mu());
  ThreadGroup& group = task.group();
  Session& session = SessionOf(group);
  const bool leader = session.id() == group.pid();
  if (leader && session.terminal.get() == &terminal) return 0;
  if (!leader || session.terminal) return Errno::kPerm;
  if (const pid_t owner = terminal.session(); owner != 0) {
    if (!steal || !task.cred()->Has(CAP_SYS_ADMIN)) return Errno::kPerm;
    ThreadGroup* const old = task.kernel().FindGroupLocked(owner);
    if (old != nullptr && SessionOf(*old).terminal.get() == &terminal) SessionOf(*old).terminal.reset();
  }
  session.terminal = Ref<task::ControllingTerminal>(&terminal);
  terminal.SetSession(session.id(), group.process_group->id());
  return 0;
}

ErrnoOr<int64_t> GiveUp(Terminal& terminal, Task& task) {
  task::Kernel& kernel = task.kernel();
  absl::MutexLock lock(&kernel.tree_mu());
  Session& session = SessionOf(task.group());
  if (session.terminal.get() != &terminal) return Errno::kNotTy;
  // A terminal belongs to a session here: one that is not the leader cannot leave it alone.
  if (session.id() != task.pid()) return 0;
  session.terminal.reset();
  const pid_t foreground = terminal.Disassociate();
  if (foreground == 0) return 0;
  SendToAllLocked(kernel, foreground, SIGHUP);
  SendToAllLocked(kernel, foreground, SIGCONT);
  return 0;
}

ErrnoOr<int64_t> SetForeground(Terminal& terminal, Task& task, const vfs::IoctlRequest& request) {
  const ErrnoOrVoid allowed = CheckForeground(terminal, SIGTTOU);
  if (!allowed.ok()) return allowed.error() == Errno::kIo ? Errno::kNotTy : allowed.error();
  const pid_t wanted = TRY(usermem::CopyIn(request.space, UserPtr<const pid_t>(request.arg)));
  if (wanted < 0) return Errno::kInval;
  task::Kernel& kernel = task.kernel();
  absl::MutexLock lock(&kernel.tree_mu());
  const Session& session = SessionOf(task.group());
  if (session.terminal.get() != &terminal || terminal.session() != session.id()) return Errno::kNotTy;
  for (const Ref<ThreadGroup>& group : kernel.GroupsLocked()) {
    if (!group->process_group || group->process_group->id() != wanted) continue;
    if (&SessionOf(*group) != &session) return Errno::kPerm;
    terminal.SetForeground(wanted);
    return 0;
  }
  return Errno::kSrch;
}

ErrnoOrVoid CheckOwn(const Terminal& terminal, Task& task, bool master) {
  if (master) return {};
  absl::MutexLock lock(&task.kernel().tree_mu());
  if (SessionOf(task.group()).terminal.get() != &terminal) return Errno::kNotTy;
  return {};
}

}  // namespace

ErrnoOrVoid CheckForeground(Terminal& terminal, int signo) {
  Task* const task = CurrentTask::Get();
  if (task == nullptr) return {};
  task::Kernel& kernel = task->kernel();
  absl::MutexLock lock(&kernel.tree_mu());
  ThreadGroup& group = task->group();
  if (!group.process_group) return {};
  const pid_t own = group.process_group->id();
  const pid_t foreground = terminal.foreground_group();
  if (SessionOf(group).terminal.get() != &terminal || foreground == 0 || foreground == own) return {};
  if (task->signal_mask().Has(signo) || group.actions->Get(signo).is_ignore()) {
    if (signo == SIGTTIN) return Errno::kIo;
    return {};
  }
  if (Task::OrphanedGroupLocked(group)) return Errno::kIo;
  SendToAllLocked(kernel, own, signo);
  return kRestartSys;
}

void TakeIfFree(Terminal& terminal) {
  Task* const task = CurrentTask::Get();
  if (task == nullptr || terminal.session() != 0) return;
  static_cast<void>(SetControlling(terminal, *task, false).ok());
}

Ref<Terminal> CallersTerminal() {
  Task* const task = CurrentTask::Get();
  if (task == nullptr) return nullptr;
  absl::MutexLock lock(&task->kernel().tree_mu());
  // Every terminal that a session can have is one of this room.
  return Ref<Terminal>(static_cast<Terminal*>(SessionOf(task->group()).terminal.get()));
}

void BecomeControlling(Terminal& terminal, ThreadGroup& leader) {
  absl::MutexLock lock(&leader.kernel().tree_mu());
  Session& session = SessionOf(leader);
  session.terminal = Ref<task::ControllingTerminal>(&terminal);
  terminal.SetSession(session.id(), leader.process_group->id());
}

ErrnoOr<int64_t> JobIoctl(Terminal& terminal, const vfs::IoctlRequest& request, bool master) {
  Task* const task = CurrentTask::Get();
  if (task == nullptr) return Errno::kNotTy;
  switch (request.command) {
    case TIOCSCTTY:
      return SetControlling(terminal, *task, request.arg == 1);
    case TIOCNOTTY:
      return GiveUp(terminal, *task);
    case TIOCGPGRP:
      TRY_VOID(CheckOwn(terminal, *task, master));
      TRY_VOID(usermem::CopyOut(request.space, UserPtr<pid_t>(request.arg), terminal.foreground_group()));
      return 0;
    case TIOCSPGRP:
      return SetForeground(terminal, *task, request);
    case TIOCGSID: {
      TRY_VOID(CheckOwn(terminal, *task, master));
      const pid_t session = terminal.session();
      if (session == 0) return Errno::kNotTy;
      TRY_VOID(usermem::CopyOut(request.space, UserPtr<pid_t>(request.arg), session));
      return 0;
    }
    default:
      return Errno::kNotTy;
  }
}

}  // namespace cloister::tty
