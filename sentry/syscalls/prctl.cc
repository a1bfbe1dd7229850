// prctl(2).

#include <linux/securebits.h>
#include <sys/prctl.h>

#include "sentry/syscalls/seccomp.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

using auth::CapSet;
using auth::Credentials;
using usermem::UserPtr;

ErrnoOr<int> Change(Task& task, Credentials now) {
  task.SetCred(std::make_shared<const Credentials>(std::move(now)));
  return 0;
}

ErrnoOr<int> SetName(Task& task, uint64_t addr) {
  char name[16] = {};
  // Up to 15 bytes; the rest of the page may be missing behind the NUL.
  const std::string text = TRY([&]() -> ErrnoOr<std::string> {
    const ErrnoOr<std::string> whole = usermem::CopyInString(task.space(), addr, sizeof name);
    if (whole.ok() || whole.error() != Errno::kNameTooLong) return whole;
    TRY_VOID(usermem::CopyInBytes(task.space(), addr, std::as_writable_bytes(std::span(name)).first(15)));
    return std::string(name, 15);
  }());
  task.SetName(text);
  return 0;
}

ErrnoOr<int> GetName(Task& task, uint64_t addr) {
  char name[16] = {};
  const std::string text = task.name();
  text.copy(name, 15);
  TRY_VOID(usermem::CopyOutBytes(task.space(), addr, std::as_bytes(std::span(name))));
  return 0;
}

ErrnoOr<int> DropBounding(Task& task, uint64_t cap) {
  if (!task.cred()->Has(CAP_SETPCAP)) return Errno::kPerm;
  if (cap > CAP_LAST_CAP) return Errno::kInval;
  Credentials now = *task.cred();
  now.bounding = now.bounding.Without(CapSet::Of(static_cast<int>(cap)));
  return Change(task, std::move(now));
}

ErrnoOr<int> Ambient(Task& task, const SyscallArgs& args) {
  Credentials now = *task.cred();
  const uint64_t cap = args.Raw(2);
  if (args.Raw(3) != 0 || args.Raw(4) != 0) return Errno::kInval;
  if (args.Raw(1) == PR_CAP_AMBIENT_CLEAR_ALL) {
    if (cap != 0) return Errno::kInval;
    now.ambient = CapSet();
    return Change(task, std::move(now));
  }
  if (cap > CAP_LAST_CAP) return Errno::kInval;
  const CapSet one = CapSet::Of(static_cast<int>(cap));
  switch (args.Raw(1)) {
    case PR_CAP_AMBIENT_IS_SET:
      return now.ambient.Has(static_cast<int>(cap)) ? 1 : 0;
    case PR_CAP_AMBIENT_RAISE:
      if (!one.IsSubsetOf(now.permitted & now.inheritable) ||
          (now.securebits & SECBIT_NO_CAP_AMBIENT_RAISE)) {
        return Errno::kPerm;
      }
      now.ambient = now.ambient | one;
      return Change(task, std::move(now));
    case PR_CAP_AMBIENT_LOWER:
      now.ambient = now.ambient.Without(one);
      return Change(task, std::move(now));
    default:
      return Errno::kInval;
  }
}

ErrnoOr<int> SetSecurebits(Task& task, uint64_t bits) {
  Credentials now = *task.cred();
  if (!now.Has(CAP_SETPCAP)) return Errno::kPerm;
  if (bits & ~uint64_t{SECURE_ALL_BITS | SECURE_ALL_LOCKS}) return Errno::kPerm;
  const uint32_t locked = (now.securebits & SECURE_ALL_LOCKS) >> 1;
  if ((now.securebits & locked) != (bits & locked)) return Errno::kPerm;
  if ((now.securebits & SECURE_ALL_LOCKS) & ~bits) return Errno::kPerm;
  now.securebits = static_cast<uint32_t>(bits);
  return Change(task, std::move(now));
}

ErrnoOr<int> SetKeepCaps(Task& task, uint64_t on) {
  if (on > 1) return Errno::kInval;
  Credentials now = *task.cred();
  if (now.securebits & SECBIT_KEEP_CAPS_LOCKED) return Errno::kPerm;
  now.securebits =
      on ? now.securebits | SECBIT_KEEP_CAPS : now.securebits & ~static_cast<uint32_t>(SECBIT_KEEP_CAPS);
  return Change(task, std::move(now));
}

ErrnoOr<int> SetNoNewPrivs(Task& task, const SyscallArgs& args) {
  if (args.Raw(1) != 1 || args.Raw(2) || args.Raw(3) || args.Raw(4)) return Errno::kInval;
  task.no_new_privs = true;
  return 0;
}

ErrnoOr<int> SetPdeathsig(Task& task, uint64_t signo) {
  if (signo > signal::kMaxSignal) return Errno::kInval;
  task.parent_death_signal = static_cast<int>(signo);
  return 0;
}

ErrnoOr<int> Subreaper(Task& task, const SyscallArgs& args) {
  absl::MutexLock lock(&task.kernel().tree_mu());
  task.group().is_subreaper = args.Raw(1) != 0 || task.group().is_container_init;
  return 0;
}

ErrnoOr<int> GetSubreaper(Task& task, uint64_t addr) {
  int on;
  {
    absl::MutexLock lock(&task.kernel().tree_mu());
    on = task.group().is_subreaper && !task.group().is_container_init;
  }
  TRY_VOID(task.CopyOut(UserPtr<int>(addr), on));
  return 0;
}

ErrnoOr<int64_t> Prctl(Task& task, const SyscallArgs& args) {
  const uint64_t arg = args.Raw(1);
  switch (args.Int(0)) {
    case PR_SET_NAME:
      return TRY(SetName(task, arg));
    case PR_GET_NAME:
      return TRY(GetName(task, arg));
    case PR_SET_PDEATHSIG:
      return TRY(SetPdeathsig(task, arg));
    case PR_GET_PDEATHSIG:
      TRY_VOID(task.CopyOut(UserPtr<int>(arg), task.parent_death_signal));
      return 0;
    case PR_GET_DUMPABLE:
      return task.dumpable ? 1 : 0;
    case PR_SET_DUMPABLE:
      if (arg > 1) return Errno::kInval;
      task.dumpable = arg == 1;
      return 0;
    case PR_GET_KEEPCAPS:
      return (task.cred()->securebits & SECBIT_KEEP_CAPS) ? 1 : 0;
    case PR_SET_KEEPCAPS:
      return TRY(SetKeepCaps(task, arg));
    case PR_CAPBSET_READ:
      if (arg > CAP_LAST_CAP) return Errno::kInval;
      return task.cred()->bounding.Has(static_cast<int>(arg)) ? 1 : 0;
    case PR_CAPBSET_DROP:
      return TRY(DropBounding(task, arg));
    case PR_CAP_AMBIENT:
      return TRY(Ambient(task, args));
    case PR_GET_SECUREBITS:
      return task.cred()->securebits;
    case PR_SET_SECUREBITS:
      return TRY(SetSecurebits(task, arg));
    case PR_SET_NO_NEW_PRIVS:
      return TRY(SetNoNewPrivs(task, args));
    case PR_GET_NO_NEW_PRIVS:
      if (arg || args.Raw(2) || args.Raw(3) || args.Raw(4)) return Errno::kInval;
      return task.no_new_privs ? 1 : 0;
    case PR_SET_CHILD_SUBREAPER:
      return TRY(Subreaper(task, args));
    case PR_GET_CHILD_SUBREAPER:
      return TRY(GetSubreaper(task, arg));
    case PR_GET_TIMERSLACK:
      return static_cast<int64_t>(task.timer_slack_ns);
    case PR_SET_TIMERSLACK:
      task.timer_slack_ns = arg == 0 ? 50'000 : arg;
      return 0;
    case PR_GET_TID_ADDRESS:
      TRY_VOID(task.CopyOut(UserPtr<uint64_t>(arg), task.clear_child_tid));
      return 0;
    case PR_GET_TSC:
      TRY_VOID(task.CopyOut(UserPtr<int>(arg), PR_TSC_ENABLE));
      return 0;
    case PR_GET_SECCOMP:
      return task.filters.mode();
    case PR_SET_SECCOMP:
      return PrctlSeccomp(task, arg, args.Raw(2));
    default:
      task.kernel().CountUnimplemented(args.number());
      return Errno::kInval;
  }
}

constexpr Entry kEntries[] = {
    {SYS_prctl, Plain<Prctl>, Support::kPartial, "process identity, capabilities, names and seccomp"},
};

}  // namespace

std::span<const Entry> PrctlSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
