// The machine and the limits: uname, sysinfo, resource limits, randomness, kernel log.

#include <sys/personality.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstring>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/task/process_timers.h"
#include "sentry/task/usage.h"

namespace cloister::syscalls {
namespace {

using task::Machine;
using task::ThreadGroup;
using usermem::UserPtr;

void CopyName(char (&to)[65], std::string_view from) {
  const size_t n = std::min(from.size(), sizeof to - 1);
  memcpy(to, from.data(), n);
  to[n] = '\0';
}

ErrnoOr<int> Uname(Task& task, const SyscallArgs& args) {
  utsname names = {};
  CopyName(names.sysname, Machine::kSysname);
  CopyName(names.nodename, task.kernel().hostname());
  CopyName(names.release, Machine::kRelease);
  CopyName(names.version, Machine::kVersion);
  const bool as_32 = (task.personality.load() & PER_MASK) == PER_LINUX32;
  CopyName(names.machine, as_32 ? "i686" : Machine::kMachine);
  const std::string domain = task.kernel().domainname();
  CopyName(names.domainname, domain.empty() ? "(none)" : domain);
  TRY_VOID(task.CopyOut(args.Ptr<utsname>(0), names));
  return 0;
}

ErrnoOr<std::string> CopyInName(Task& task, const SyscallArgs& args) {
  constexpr int kMaxName = 64;  // __NEW_UTS_LEN
  if (!task.cred()->Has(CAP_SYS_ADMIN)) return Errno::kPerm;
  const int length = args.Int(1);
  if (length < 0 || length > kMaxName) return Errno::kInval;
  std::string name(static_cast<size_t>(length), '\0');
  TRY_VOID(usermem::CopyInBytes(task.space(), args.Addr(0), std::as_writable_bytes(std::span(name))));
  return name;
}

ErrnoOr<int> Sethostname(Task& task, const SyscallArgs& args) {
  task.kernel().SetHostname(TRY(CopyInName(task, args)));
  return 0;
}

ErrnoOr<int> Setdomainname(Task& task, const SyscallArgs& args) {
  task.kernel().SetDomainname(TRY(CopyInName(task, args)));
  return 0;
}

ErrnoOr<int> Sysinfo(Task& task, const SyscallArgs& args) {
  struct sysinfo info = {};
  // Linux rounds up: never 0.
  info.uptime = (wait::MonotonicNow() - task.kernel().boot_monotonic_ns()) / 1'000'000'000 + 1;
  info.totalram = task.kernel().machine().total_memory;
  uint64_t used = 0;
  for (const Ref<ThreadGroup>& group : task.kernel().Groups()) used += group->ResidentBytes();
  info.freeram = info.totalram - std::min<uint64_t>(used, info.totalram);
  info.procs = static_cast<unsigned short>(std::min<size_t>(task.kernel().task_count(), UINT16_MAX));
  info.mem_unit = 1;
  TRY_VOID(task.CopyOut(args.Ptr<struct sysinfo>(0), info));
  return 0;
}

// Raising a hard limit needs CAP_SYS_RESOURCE.
ErrnoOrVoid SetLimit(Task& task, ThreadGroup& group, int resource, rlimit wanted) {
  const rlimit old = group.Limit(resource);
  if (wanted.rlim_cur > wanted.rlim_max) return Errno::kInval;
  if (wanted.rlim_max > old.rlim_max && !task.cred()->Has(CAP_SYS_RESOURCE)) return Errno::kPerm;
  if (resource == RLIMIT_NOFILE && wanted.rlim_max > (1 << 20)) return Errno::kPerm;
  group.SetLimit(resource, wanted);
  if (resource == RLIMIT_CPU) group.timers().WatchCpuLimit();
  return {};
}

ErrnoOr<int> Prlimit(Task& task, const SyscallArgs& args) {
  const pid_t pid = args.Int(0);
  const int resource = args.Int(1);
  if (resource < 0 || resource >= RLIM_NLIMITS) return Errno::kInval;
  Ref<ThreadGroup> group(&task.group());
  if (pid != 0 && pid != task.pid()) {
    const Ref<Task> other = task.kernel().FindTask(pid);
    if (!other) return Errno::kSrch;
    const auth::CredRef theirs = other->GetCred(), ours = task.cred();
    const bool same = theirs && ours->uid == theirs->euid && ours->uid == theirs->suid &&
                      ours->uid == theirs->uid && ours->gid == theirs->egid && ours->gid == theirs->sgid &&
                      ours->gid == theirs->gid;
    if (!same && !ours->Has(CAP_SYS_RESOURCE)) return Errno::kPerm;
    group = Ref<ThreadGroup>(&other->group());
  }
  const rlimit old = group->Limit(resource);
  if (args.Addr(2) != 0) {
    TRY_VOID(SetLimit(task, *group, resource, TRY(task.CopyIn(args.Ptr<const rlimit>(2)))));
  }
  if (args.Addr(3) != 0) TRY_VOID(task.CopyOut(args.Ptr<rlimit>(3), old));
  return 0;
}

ErrnoOr<int> Getrlimit(Task& task, const SyscallArgs& args) {
  if (args.Uint(0) >= RLIM_NLIMITS) return Errno::kInval;
  TRY_VOID(task.CopyOut(args.Ptr<rlimit>(1), task.Limit(args.Int(0))));
  return 0;
}

ErrnoOr<int> Setrlimit(Task& task, const SyscallArgs& args) {
  if (args.Uint(0) >= RLIM_NLIMITS) return Errno::kInval;
  TRY_VOID(SetLimit(task, task.group(), args.Int(0), TRY(task.CopyIn(args.Ptr<const rlimit>(1)))));
  return 0;
}

ErrnoOr<int> Getrusage(Task& task, const SyscallArgs& args) {
  rusage usage = {};
  switch (args.Int(0)) {
    case RUSAGE_SELF:
    case RUSAGE_THREAD:
      task::AddCpuTime(usage, task::ProcessCpuNs(task.group()));
      usage.ru_maxrss = static_cast<long>(task.group().ResidentBytes() / 1024);
      break;
    case RUSAGE_CHILDREN: {
      absl::MutexLock lock(&task.kernel().tree_mu());
      usage = task.group().children_usage;
      break;
    }
    default:
      return Errno::kInval;
  }
  TRY_VOID(task.CopyOut(args.Ptr<rusage>(1), usage));
  return 0;
}

ErrnoOr<size_t> Getrandom(Task& task, const SyscallArgs& args) {
  if (args.Uint(2) & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) return Errno::kInval;
  if ((args.Uint(2) & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE)) return Errno::kInval;
  usermem::UserBuffer buffer = TRY(task.Buffer(args.Addr(0), std::min<size_t>(args.Size(1), INT32_MAX)));
  return buffer.FillFrom([](std::span<std::byte> space) -> ErrnoOr<size_t> {
    const ssize_t got = getrandom(space.data(), space.size(), 0);
    if (got < 0) return FromHostErrno(errno);
    return static_cast<size_t>(got);
  });
}

ErrnoOr<int> Personality(Task& task, const SyscallArgs& args) {
  const uint32_t wanted = args.Uint(0);
  // PER_LINUX and PER_LINUX32, with the flags that change nothing for a 64-bit program here: addresses are
  // the host's choice.
  constexpr uint32_t kHarmless = ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT | ADDR_LIMIT_32BIT | ADDR_LIMIT_3GB |
                                 SHORT_INODE | WHOLE_SECONDS | STICKY_TIMEOUTS;
  const uint32_t old = task.personality.load();
  if (wanted == 0xffffffff) return static_cast<int>(old);
  if ((wanted & ~(kHarmless | PER_MASK)) != 0) return Errno::kInval;
  if ((wanted & PER_MASK) != PER_LINUX && (wanted & PER_MASK) != PER_LINUX32) return Errno::kInval;
  task.personality = wanted;
  return static_cast<int>(old);
}

ErrnoOr<int> Syslog(Task& task, const SyscallArgs& args) {
  constexpr int kReadAll = 3, kReadClear = 4, kSizeUnread = 9, kSizeBuffer = 10;
  switch (args.Int(0)) {
    case kReadAll:
    case kSizeUnread:
      return 0;  // an empty log
    case kSizeBuffer:
      return 1 << 17;
    case kReadClear:
      if (!task.cred()->Has(CAP_SYSLOG)) return Errno::kPerm;
      return 0;
    default:
      return task.cred()->Has(CAP_SYSLOG) ? Errno::kInval : Errno::kPerm;
  }
}

constexpr Entry kEntries[] = {
    {SYS_uname, Plain<Uname>},
    {SYS_sethostname, Plain<Sethostname>},
    {SYS_setdomainname, Plain<Setdomainname>},
    {SYS_sysinfo, Plain<Sysinfo>},
    {SYS_prlimit64, Plain<Prlimit>},
    {SYS_getrlimit, Plain<Getrlimit>},
    {SYS_setrlimit, Plain<Setrlimit>},
    {SYS_getrusage, Plain<Getrusage>, Support::kPartial, "CPU time is all user time"},
    {SYS_getrandom, Plain<Getrandom>},
    {SYS_personality, Plain<Personality>, Support::kPartial, "PER_LINUX and PER_LINUX32"},
    {SYS_syslog, Plain<Syslog>},
    {SYS_reboot, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_swapon, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_swapoff, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_init_module, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_finit_module, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_delete_module, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_kexec_load, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_iopl, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_ioperm, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_acct, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_bpf, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_perf_event_open, Fails<Errno::kAcces>, Support::kUnsupported, "EACCES"},
    {SYS_userfaultfd, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
};

}  // namespace

std::span<const Entry> SystemSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
