// Processes by descriptor: pidfd_open, pidfd_send_signal, pidfd_getfd, process_mrelease; and kcmp.

#include <fcntl.h>
#include <linux/kcmp.h>

#include "sentry/mm/random.h"
#include "sentry/syscalls/processes.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/task/pid_file.h"

namespace cloister::syscalls {
namespace {

using task::Kernel;
using task::ThreadGroup;

// pidfd_open(2).
ErrnoOr<int> PidfdOpen(Task& task, const SyscallArgs& args) {
  constexpr uint32_t kNonblock = O_NONBLOCK;  // PIDFD_NONBLOCK
  const pid_t pid = args.Int(0);
  if ((args.Uint(1) & ~kNonblock) || pid <= 0) return Errno::kInval;
  Ref<ThreadGroup> process = task.kernel().FindGroup(pid);
  if (!process) return task.kernel().FindTask(pid) ? Errno::kInval : Errno::kSrch;
  return task.InstallFile(
      MakeRef<task::PidFile>(static_cast<int>(args.Uint(1)), task.cred(), std::move(process)), true);
}

// pidfd_send_signal(2).
ErrnoOr<int> PidfdSendSignal(Task& task, const SyscallArgs& args) {
  const int signo = args.Int(1);
  if (args.Uint(3) != 0) return Errno::kInval;
  const Ref<vfs::FileDescription> file = TRY(task.GetFile(args.Int(0)));
  const Ref<ThreadGroup> process = TRY(ProcessOfPidFd(*file));
  siginfo_t info = SenderInfo(task, signo, SI_USER);
  if (args.Addr(2) != 0) {
    info = TRY(task.CopyIn(usermem::UserPtr<const siginfo_t>(args.Addr(2))));
    if (info.si_signo != signo) return Errno::kInval;
    TRY_VOID(CheckQueuedInfo(info, process.get() == &task.group()));
  }
  if (signo != 0 && !signal::IsValid(signo)) return Errno::kInval;
  absl::MutexLock lock(&task.kernel().tree_mu());
  if (process->state == ThreadGroup::State::kReaped) return Errno::kSrch;
  if (!MaySignal(task, *process, signo)) return Errno::kPerm;
  if (signo != 0) Task::SendToGroupLocked(*process, info);
  return 0;
}

// The first of a process' living threads.
ErrnoOr<Ref<Task>> LeaderOf(ThreadGroup& process) {
  absl::MutexLock lock(&Kernel::tree_mu());
  if (process.tasks.empty()) return Errno::kSrch;
  return Ref<Task>(process.tasks.front());
}

// pidfd_getfd(2).
ErrnoOr<int> PidfdGetfd(Task& task, const SyscallArgs& args) {
  if (args.Uint(2) != 0) return Errno::kInval;
  const Ref<vfs::FileDescription> file = TRY(task.GetFile(args.Int(0)));
  const Ref<ThreadGroup> process = TRY(ProcessOfPidFd(*file));
  const Ref<Task> other = TRY(LeaderOf(*process));
  if (!MayReach(task, *other)) return Errno::kPerm;
  const Ref<vfs::FdTable> files = other->GetFiles();
  if (!files) return Errno::kSrch;
  return task.InstallFile(TRY(files->Get(args.Int(1))), true);
}

// process_mrelease(2). A process that is to die has lost its memory: the host's process was killed with it.
ErrnoOr<int> ProcessMrelease(Task& task, const SyscallArgs& args) {
  if (args.Uint(1) != 0) return Errno::kInval;
  const Ref<vfs::FileDescription> file = TRY(task.GetFile(args.Int(0)));
  const Ref<ThreadGroup> process = TRY(ProcessOfPidFd(*file));
  absl::MutexLock lock(&task.kernel().tree_mu());
  if (process->tasks.empty()) return Errno::kSrch;
  if (process->state == ThreadGroup::State::kRunning) return Errno::kInval;
  return 0;
}

// An order of objects that tells nothing of where they lie. Linux: kptr_obfuscate.
uint64_t Disguise(const void* object) {
  static const uint64_t mask = mm::RandomBelow(~uint64_t{0});
  static const uint64_t factor = mm::RandomBelow(~uint64_t{0}) | 1;
  return (reinterpret_cast<uint64_t>(object) ^ mask) * factor;
}

int Compare(const void* a, const void* b) {
  const uint64_t first = Disguise(a), second = Disguise(b);
  return first == second ? 0 : first < second ? 1 : 2;
}

ErrnoOr<Ref<vfs::FileDescription>> FileOf(const Task& task, uint64_t number) {
  const Ref<vfs::FdTable> files = task.GetFiles();
  if (!files || number > INT32_MAX) return Errno::kBadf;
  return files->Get(static_cast<int>(number));
}

// kcmp(2).
ErrnoOr<int> Kcmp(Task& task, const SyscallArgs& args) {
  const Ref<Task> first = task.kernel().FindTask(args.Int(0));
  const Ref<Task> second = task.kernel().FindTask(args.Int(1));
  if (!first || !second) return Errno::kSrch;
  if (!MayReach(task, *first) || !MayReach(task, *second)) return Errno::kPerm;
  switch (args.Int(2)) {
    case KCMP_FILE: {
      const Ref<vfs::FileDescription> a = TRY(FileOf(*first, args.Raw(3)));
      const Ref<vfs::FileDescription> b = TRY(FileOf(*second, args.Raw(4)));
      return Compare(a.get(), b.get());
    }
    case KCMP_VM:
      return Compare(first->GetMm().get(), second->GetMm().get());
    case KCMP_FILES:
      return Compare(first->GetFiles().get(), second->GetFiles().get());
    case KCMP_FS:
      return Compare(first->GetFs().get(), second->GetFs().get());
    case KCMP_SIGHAND: {
      absl::MutexLock lock(&task.kernel().tree_mu());
      return Compare(first->group().actions.get(), second->group().actions.get());
    }
    case KCMP_IO:  // CLONE_IO shares nothing here: nobody has a context of its own
      return 0;
    case KCMP_SYSVSEM:
    case KCMP_EPOLL_TFD:
      return Errno::kOpNotSupp;
    default:
      return Errno::kInval;
  }
}

constexpr Entry kEntries[] = {
    {SYS_pidfd_open, Plain<PidfdOpen>},
    {SYS_pidfd_send_signal, Plain<PidfdSendSignal>, Support::kPartial,
     "directories of proc are not taken for processes"},
    {SYS_pidfd_getfd, Plain<PidfdGetfd>},
    {SYS_process_mrelease, Plain<ProcessMrelease>},
    {SYS_kcmp, Plain<Kcmp>, Support::kPartial, "EOPNOTSUPP for KCMP_SYSVSEM and KCMP_EPOLL_TFD"},
};

}  // namespace

std::span<const Entry> PidfdSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
