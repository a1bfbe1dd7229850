// seccomp(2).

#include "sentry/syscalls/seccomp.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <utility>
#include <vector>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/task/seccomp.h"
#include "sentry/task/seccomp_listener.h"

namespace cloister::syscalls {
namespace {

using seccomp::BpfProgram;
using usermem::UserPtr;

constexpr uint64_t kFlags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG |
                            SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_NEW_LISTENER |
                            SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

// Such pairs would not tell what the answer is, or mean nothing.
bool AreAtOdds(uint64_t flags) {
  const bool listens = (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;
  const bool syncs = (flags & SECCOMP_FILTER_FLAG_TSYNC) != 0;
  if (listens && syncs && !(flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH)) return true;
  return !listens && (flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
}

ErrnoOr<BpfProgram> CopyInProgram(Task& task, uint64_t addr) {
  const sock_fprog program = TRY(task.CopyIn(UserPtr<const sock_fprog>(addr)));
  if (program.len == 0 || program.len > BPF_MAXINSNS) return Errno::kInval;
  if (!task.no_new_privs && !task.cred()->Has(CAP_SYS_ADMIN)) return Errno::kAcces;
  const auto code = reinterpret_cast<uint64_t>(program.filter);
  if (code == 0) return Errno::kInval;
  return BpfProgram::Make(
      TRY(usermem::CopyInArray(task.space(), UserPtr<const sock_filter>(code), program.len)));
}

// The supervisor's descriptor.
ErrnoOr<int> InstallWithListener(Task& task, const BpfProgram& program, uint64_t flags) {
  const auto listener = MakeRef<task::SeccompListener>(flags);
  const int fd = TRY(task.InstallFile(MakeRef<task::SeccompListenerFile>(task.cred(), listener), true));
  const ErrnoOr<pid_t> installed = task::Seccomp::Install(task, program, flags, listener);
  if (installed.ok()) return fd;
  static_cast<void>(task.files().Remove(fd));
  return installed.error();
}

ErrnoOr<int64_t> SetFilter(Task& task, uint64_t flags, uint64_t addr) {
  if ((flags & ~kFlags) || AreAtOdds(flags)) return Errno::kInval;
  const BpfProgram program = TRY(CopyInProgram(task, addr));
  if (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) return TRY(InstallWithListener(task, program, flags));
  return TRY(task::Seccomp::Install(task, program, flags, nullptr));
}

ErrnoOr<int64_t> SetStrict(Task& task) {
  TRY_VOID(task::Seccomp::SetStrict(task));
  return 0;
}

ErrnoOr<int64_t> CheckAction(Task& task, uint64_t addr) {
  switch (TRY(task.CopyIn(UserPtr<const uint32_t>(addr)))) {
    case SECCOMP_RET_KILL_PROCESS:
    case SECCOMP_RET_KILL_THREAD:
    case SECCOMP_RET_TRAP:
    case SECCOMP_RET_ERRNO:
    case SECCOMP_RET_USER_NOTIF:
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_ALLOW:
      return 0;
    default:
      return Errno::kOpNotSupp;
  }
}

ErrnoOr<int64_t> TellNotifSizes(Task& task, uint64_t addr) {
  seccomp_notif_sizes sizes = {};
  sizes.seccomp_notif = sizeof(seccomp_notif);
  sizes.seccomp_notif_resp = sizeof(seccomp_notif_resp);
  sizes.seccomp_data = sizeof(seccomp_data);
  TRY_VOID(task.CopyOut(UserPtr<seccomp_notif_sizes>(addr), sizes));
  return 0;
}

ErrnoOr<int64_t> SeccompCall(Task& task, const SyscallArgs& args) {
  const uint32_t flags = args.Uint(1);
  const uint64_t addr = args.Addr(2);
  switch (args.Uint(0)) {
    case SECCOMP_SET_MODE_STRICT:
      if (flags != 0 || addr != 0) return Errno::kInval;
      return SetStrict(task);
    case SECCOMP_SET_MODE_FILTER:
      return SetFilter(task, flags, addr);
    case SECCOMP_GET_ACTION_AVAIL:
      if (flags != 0) return Errno::kInval;
      return CheckAction(task, addr);
    case SECCOMP_GET_NOTIF_SIZES:
      if (flags != 0) return Errno::kInval;
      return TellNotifSizes(task, addr);
    default:
      return Errno::kInval;
  }
}

constexpr Entry kEntries[] = {
    {SYS_seccomp, Plain<SeccompCall>, Support::kPartial,
     "strict mode leaves the time stamp counter readable"},
};

}  // namespace

ErrnoOr<int64_t> PrctlSeccomp(Task& task, uint64_t mode, uint64_t program) {
  switch (mode) {
    case SECCOMP_MODE_STRICT:
      return SetStrict(task);
    case SECCOMP_MODE_FILTER:
      return SetFilter(task, 0, program);
    default:
      return Errno::kInval;
  }
}

std::span<const Entry> SeccompSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
