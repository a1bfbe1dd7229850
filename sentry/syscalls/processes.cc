#include "sentry/syscalls/processes.h"

#include <atomic>

#include "sentry/task/pid_file.h"

namespace cloister::syscalls {

using task::Task;
using task::ThreadGroup;

ErrnoOr<Ref<ThreadGroup>> ProcessOfPidFd(vfs::FileDescription& file) {
  event::AnonFile* const anon = file.AsAnon();
  task::PidFile* const pid_file = anon != nullptr ? anon->AsPid() : nullptr;
  if (pid_file == nullptr) return Errno::kBadf;
  return Ref<ThreadGroup>(&pid_file->process());
}

bool MaySignal(Task& task, ThreadGroup& target, int signo) {
  const auth::Credentials& cred = *task.cred();
  if (cred.Has(CAP_KILL) || &target == &task.group()) return true;
  const auth::CredRef other = target.tasks.empty() ? nullptr : target.tasks.front()->GetCred();
  if (other == nullptr) return cred.uid == target.uid;
  if (cred.euid == other->suid || cred.euid == other->uid || cred.uid == other->suid ||
      cred.uid == other->uid)
    return true;
  return signo == SIGCONT && target.process_group->session() == task.group().process_group->session();
}

siginfo_t SenderInfo(Task& task, int signo, int code) {
  siginfo_t info = {};
  info.si_signo = signo;
  info.si_code = code;
  info.si_pid = task.pid();
  info.si_uid = task.cred()->uid;
  return info;
}

ErrnoOrVoid CheckQueuedInfo(const siginfo_t& info, bool to_itself) {
  if ((info.si_code >= 0 || info.si_code == SI_TKILL) && !to_itself) return Errno::kPerm;
  return {};
}

ErrnoOr<siginfo_t> CopyInQueuedInfo(Task& task, uint64_t addr, bool to_itself) {
  const siginfo_t info = TRY(task.CopyIn(usermem::UserPtr<const siginfo_t>(addr)));
  TRY_VOID(CheckQueuedInfo(info, to_itself));
  return info;
}

bool MayReach(Task& task, Task& other) {
  if (&task.group() == &other.group()) return true;
  const auth::Credentials& ours = *task.cred();
  if (ours.Has(CAP_SYS_PTRACE)) return true;
  const auth::CredRef theirs = other.GetCred();
  if (!theirs || !std::atomic_ref(other.dumpable).load(std::memory_order_relaxed)) return false;
  return ours.uid == theirs->euid && ours.uid == theirs->suid && ours.uid == theirs->uid &&
         ours.gid == theirs->egid && ours.gid == theirs->sgid && ours.gid == theirs->gid &&
         theirs->permitted.IsSubsetOf(ours.permitted);
}

}  // namespace cloister::syscalls
