// Who a task is: pids, users, groups, process groups and sessions.

#include <linux/capability.h>
#include <linux/securebits.h>

#include <algorithm>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

using auth::Credentials;
using task::Kernel;
using task::ProcessGroup;
using task::Session;
using task::ThreadGroup;
using usermem::UserPtr;

constexpr uint32_t kUnchanged = ~uint32_t{0};

Answer GetPid(Task& task, const SyscallArgs&) { return task.pid(); }
Answer GetTid(Task& task, const SyscallArgs&) { return task.tid(); }
Answer GetUid(Task& task, const SyscallArgs&) { return task.cred()->uid; }
Answer GetEuid(Task& task, const SyscallArgs&) { return task.cred()->euid; }
Answer GetGid(Task& task, const SyscallArgs&) { return task.cred()->gid; }
Answer GetEgid(Task& task, const SyscallArgs&) { return task.cred()->egid; }

Answer GetPpid(Task& task, const SyscallArgs&) {
  absl::MutexLock lock(&task.kernel().tree_mu());
  return task.group().parent != nullptr ? task.group().parent->pid() : 0;
}

// Installs changed credentials, after the capability rules of an id change.
Answer Install(Task& task, Credentials now, bool uids_changed) {
  if (uids_changed) auth::AdjustForUidChange(*task.cred(), now);
  if (now.euid != task.cred()->euid || now.egid != task.cred()->egid) {
    task.dumpable = false;
    task.parent_death_signal = 0;
  }
  const uid_t uid = now.uid;
  task.SetCred(std::make_shared<const Credentials>(std::move(now)));
  absl::MutexLock lock(&task.kernel().tree_mu());
  task.group().uid = uid;
  return 0;
}

Answer SetUid(Task& task, const SyscallArgs& args) {
  Credentials now = *task.cred();
  const uid_t uid = args.Uint(0);
  if (uid == kUnchanged) return Errno::kInval;
  if (now.Has(CAP_SETUID)) {
    now.uid = now.suid = uid;
  } else if (uid != now.uid && uid != now.suid) {
    return Errno::kPerm;
  }
  now.euid = now.fsuid = uid;
  return Install(task, std::move(now), true);
}

Answer SetGid(Task& task, const SyscallArgs& args) {
  Credentials now = *task.cred();
  const gid_t gid = args.Uint(0);
  if (gid == kUnchanged) return Errno::kInval;
  if (now.Has(CAP_SETGID)) {
    now.gid = now.sgid = gid;
  } else if (gid != now.gid && gid != now.sgid) {
    return Errno::kPerm;
  }
  now.egid = now.fsgid = gid;
  return Install(task, std::move(now), false);
}

bool OneOf(uint32_t id, uint32_t a, uint32_t b, uint32_t c) {
  return id == kUnchanged || id == a || id == b || id == c;
}

Answer SetReuid(Task& task, const SyscallArgs& args) {
  Credentials now = *task.cred();
  const uid_t old_uid = now.uid;
  const uid_t ruid = args.Uint(0), euid = args.Uint(1);
  const bool capable = now.Has(CAP_SETUID);
  if (!capable && !OneOf(ruid, now.uid, now.euid, now.uid)) return Errno::kPerm;
  if (!capable && !OneOf(euid, now.uid, now.euid, now.suid)) return Errno::kPerm;
  if (ruid != kUnchanged) now.uid = ruid;
  if (euid != kUnchanged) now.euid = euid;
  if (ruid != kUnchanged || (euid != kUnchanged && euid != old_uid)) now.suid = now.euid;
  now.fsuid = now.euid;
  return Install(task, std::move(now), true);
}

Answer SetRegid(Task& task, const SyscallArgs& args) {
  Credentials now = *task.cred();
  const gid_t old_gid = now.gid;
  const gid_t rgid = args.Uint(0), egid = args.Uint(1);
  const bool capable = now.Has(CAP_SETGID);
  if (!capable && !OneOf(rgid, now.gid, now.egid, now.gid)) return Errno::kPerm;
  if (!capable && !OneOf(egid, now.gid, now.egid, now.sgid)) return Errno::kPerm;
  if (rgid != kUnchanged) now.gid = rgid;
  if (egid != kUnchanged) now.egid = egid;
  if (rgid != kUnchanged || (egid != kUnchanged && egid != old_gid)) now.sgid = now.egid;
  now.fsgid = now.egid;
  return Install(task, std::move(now), false);
}

Answer SetResuid(Task& task, const SyscallArgs& args) {
  Credentials now = *task.cred();
  const uid_t ruid = args.Uint(0), euid = args.Uint(1), suid = args.Uint(2);
  if (!now.Has(CAP_SETUID)) {
    for (const uid_t id : {ruid, euid, suid}) {
      if (!OneOf(id, now.uid, now.euid, now.suid)) return Errno::kPerm;
    }
  }
  if (ruid != kUnchanged) now.uid = ruid;
  if (euid != kUnchanged) now.euid = euid;
  if (suid != kUnchanged) now.suid = suid;
  now.fsuid = now.euid;
  return Install(task, std::move(now), true);
}

Answer SetResgid(Task& task, const SyscallArgs& args) {
  Credentials now = *task.cred();
  const gid_t rgid = args.Uint(0), egid = args.Uint(1), sgid = args.Uint(2);
  if (!now.Has(CAP_SETGID)) {
    for (const gid_t id : {rgid, egid, sgid}) {
      if (!OneOf(id, now.gid, now.egid, now.sgid)) return Errno::kPerm;
    }
  }
  if (rgid != kUnchanged) now.gid = rgid;
  if (egid != kUnchanged) now.egid = egid;
  if (sgid != kUnchanged) now.sgid = sgid;
  now.fsgid = now.egid;
  return Install(task, std::move(now), false);
}

Answer GetThree(Task& task, const SyscallArgs& args, uint32_t a, uint32_t b, uint32_t c) {
  const uint32_t ids[] = {a, b, c};
  for (int i = 0; i < 3; ++i) {
    if (!task.CopyOut(args.Ptr<uint32_t>(i), ids[i]).ok()) return Errno::kFault;
  }
  return 0;
}

Answer GetResuid(Task& task, const SyscallArgs& args) {
  const Credentials& c = *task.cred();
  return GetThree(task, args, c.uid, c.euid, c.suid);
}

Answer GetResgid(Task& task, const SyscallArgs& args) {
  const Credentials& c = *task.cred();
  return GetThree(task, args, c.gid, c.egid, c.sgid);
}

Answer SetFsuid(Task& task, const SyscallArgs& args) {
  Credentials now = *task.cred();
  const uid_t old = now.fsuid, uid = args.Uint(0);
  if (uid != kUnchanged && (now.Has(CAP_SETUID) || OneOf(uid, now.uid, now.euid, now.suid) || uid == old)) {
    now.fsuid = uid;
    Install(task, std::move(now), true);
  }
  return old;
}

Answer SetFsgid(Task& task, const SyscallArgs& args) {
  Credentials now = *task.cred();
  const gid_t old = now.fsgid, gid = args.Uint(0);
  if (gid != kUnchanged && (now.Has(CAP_SETGID) || OneOf(gid, now.gid, now.egid, now.sgid) || gid == old)) {
    now.fsgid = gid;
    Install(task, std::move(now), false);
  }
  return old;
}

ErrnoOr<int> GetGroups(Task& task, const SyscallArgs& args) {
  const std::vector<gid_t>& groups = task.cred()->groups;
  const int size = args.Int(0);
  if (size < 0) return Errno::kInval;
  if (size == 0) return static_cast<int>(groups.size());
  if (static_cast<size_t>(size) < groups.size()) return Errno::kInval;
  TRY_VOID(usermem::CopyOutArray(task.space(), args.Ptr<gid_t>(1), std::span<const gid_t>(groups)));
  return static_cast<int>(groups.size());
}

// One after the other, as Linux does: a bad one goes before a bad pointer behind it. Linux: groups_from_user.
ErrnoOr<std::vector<gid_t>> CopyInGroups(Task& task, uint64_t addr, uint32_t count) {
  std::vector<gid_t> groups(count);
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(groups));
  const size_t copied = task.space().Read(addr, bytes);
  constexpr gid_t kNone = ~gid_t{0};
  const auto end = groups.begin() + static_cast<ptrdiff_t>(copied / sizeof(gid_t));
  if (std::find(groups.begin(), end, kNone) != end) return Errno::kInval;
  if (copied < bytes.size()) return Errno::kFault;
  return groups;
}

ErrnoOr<int> SetGroups(Task& task, const SyscallArgs& args) {
  constexpr uint64_t kMaxGroups = 65536;  // NGROUPS_MAX
  if (!task.cred()->Has(CAP_SETGID)) return Errno::kPerm;
  if (args.Uint(0) > kMaxGroups) return Errno::kInval;
  Credentials now = *task.cred();
  now.groups = TRY(CopyInGroups(task, args.Addr(1), args.Uint(0)));
  std::sort(now.groups.begin(), now.groups.end());
  task.SetCred(std::make_shared<const Credentials>(std::move(now)));
  return 0;
}

ErrnoOr<pid_t> GroupOf(Task& task, pid_t pid, bool session) {
  absl::MutexLock lock(&task.kernel().tree_mu());
  ThreadGroup* const group = pid == 0 ? &task.group() : task.kernel().FindGroupLocked(pid);
  if (group == nullptr || group->process_group == nullptr) return Errno::kSrch;
  return session ? group->process_group->session()->id() : group->process_group->id();
}

ErrnoOr<pid_t> GetPgid(Task& task, const SyscallArgs& args) { return GroupOf(task, args.Int(0), false); }
ErrnoOr<pid_t> GetPgrp(Task& task, const SyscallArgs&) { return GroupOf(task, 0, false); }
ErrnoOr<pid_t> GetSid(Task& task, const SyscallArgs& args) { return GroupOf(task, args.Int(0), true); }

Ref<ProcessGroup> FindProcessGroupLocked(Kernel& kernel, pid_t id)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
  for (const Ref<ThreadGroup>& group : kernel.GroupsLocked()) {
    if (group->process_group->id() == id) return group->process_group;
  }
  return nullptr;
}

void MoveLocked(Kernel& kernel, ThreadGroup& group, Ref<ProcessGroup> to)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
  kernel.HoldIdLocked(to->id());
  kernel.HoldIdLocked(to->session()->id());
  kernel.DropIdLocked(group.process_group->id());
  kernel.DropIdLocked(group.process_group->session()->id());
  group.process_group = std::move(to);
}

ErrnoOr<int> SetPgid(Task& task, const SyscallArgs& args) {
  const pid_t pid = args.Int(0), wanted = args.Int(1);
  if (wanted < 0) return Errno::kInval;
  Kernel& kernel = task.kernel();
  absl::MutexLock lock(&kernel.tree_mu());
  ThreadGroup* const group = pid == 0 ? &task.group() : kernel.FindGroupLocked(pid);
  if (group == nullptr) return Errno::kSrch;
  const Ref<Session> session = task.group().process_group->session();
  if (group != &task.group()) {
    if (group->parent != &task.group()) return Errno::kSrch;
    if (group->process_group->session() != session) return Errno::kPerm;
    if (group->has_execed) return Errno::kAcces;
  }
  if (group->process_group->session()->id() == group->pid()) return Errno::kPerm;
  const pid_t id = wanted == 0 ? group->pid() : wanted;
  Ref<ProcessGroup> to = FindProcessGroupLocked(kernel, id);
  if (!to && id != group->pid()) return Errno::kPerm;
  if (to && to->session() != session) return Errno::kPerm;
  if (!to) to = MakeRef<ProcessGroup>(id, session);
  MoveLocked(kernel, *group, std::move(to));
  return 0;
}

ErrnoOr<pid_t> SetSid(Task& task, const SyscallArgs&) {
  Kernel& kernel = task.kernel();
  absl::MutexLock lock(&kernel.tree_mu());
  ThreadGroup& group = task.group();
  if (FindProcessGroupLocked(kernel, group.pid())) return Errno::kPerm;
  MoveLocked(kernel, group, MakeRef<ProcessGroup>(group.pid(), MakeRef<Session>(group.pid())));
  return group.pid();
}

ErrnoOr<int> CapVersion(Task& task, const SyscallArgs& args, __user_cap_header_struct* header) {
  *header = TRY(task.CopyIn(args.Ptr<const __user_cap_header_struct>(0)));
  switch (header->version) {
    case _LINUX_CAPABILITY_VERSION_1:
      return 1;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
      return 2;
    default:
      break;
  }
  header->version = _LINUX_CAPABILITY_VERSION_3;
  TRY_VOID(task.CopyOut(args.Ptr<__user_cap_header_struct>(0), *header));
  return 0;
}

ErrnoOr<int> CapGet(Task& task, const SyscallArgs& args) {
  __user_cap_header_struct header;
  const int words = TRY(CapVersion(task, args, &header));
  if (words == 0) return args.Addr(1) == 0 ? ErrnoOr<int>(0) : Errno::kInval;
  if (header.pid < 0) return Errno::kInval;
  auth::CredRef cred = task.cred();
  if (header.pid != 0 && header.pid != task.tid()) {
    const Ref<Task> other = task.kernel().FindTask(header.pid);
    if (!other) return Errno::kSrch;
    cred = other->GetCred();
  }
  if (args.Addr(1) == 0) return 0;
  for (int i = 0; i < words; ++i) {
    const __user_cap_data_struct data = {static_cast<uint32_t>(cred->effective.bits() >> (32 * i)),
                                         static_cast<uint32_t>(cred->permitted.bits() >> (32 * i)),
                                         static_cast<uint32_t>(cred->inheritable.bits() >> (32 * i))};
    TRY_VOID(task.CopyOut(args.Ptr<__user_cap_data_struct>(1) + i, data));
  }
  return 0;
}

ErrnoOr<int> CapSetCall(Task& task, const SyscallArgs& args) {
  __user_cap_header_struct header;
  const int words = TRY(CapVersion(task, args, &header));
  if (words == 0) return Errno::kInval;
  if (header.pid != 0 && header.pid != task.tid()) return Errno::kPerm;
  uint64_t effective = 0, permitted = 0, inheritable = 0;
  for (int i = 0; i < words; ++i) {
    const auto data = TRY(task.CopyIn(args.Ptr<const __user_cap_data_struct>(1) + i));
    effective |= uint64_t{data.effective} << (32 * i);
    permitted |= uint64_t{data.permitted} << (32 * i);
    inheritable |= uint64_t{data.inheritable} << (32 * i);
  }
  Credentials now = *task.cred();
  const auth::CapSet e(effective), p(permitted), i(inheritable);
  if (!p.IsSubsetOf(now.permitted) || !e.IsSubsetOf(p)) return Errno::kPerm;
  if (!now.Has(CAP_SETPCAP) && !i.IsSubsetOf(now.inheritable | now.permitted)) return Errno::kPerm;
  if (!i.IsSubsetOf(now.inheritable | now.bounding)) return Errno::kPerm;
  now.effective = e;
  now.permitted = p;
  now.inheritable = i;
  now.ambient = now.ambient & p & i;
  task.SetCred(std::make_shared<const Credentials>(std::move(now)));
  return 0;
}

constexpr Entry kEntries[] = {
    {SYS_getpid, Plain<GetPid>},       {SYS_gettid, Plain<GetTid>},       {SYS_getppid, Plain<GetPpid>},
    {SYS_getuid, Plain<GetUid>},       {SYS_geteuid, Plain<GetEuid>},     {SYS_getgid, Plain<GetGid>},
    {SYS_getegid, Plain<GetEgid>},     {SYS_setuid, Plain<SetUid>},       {SYS_setgid, Plain<SetGid>},
    {SYS_setreuid, Plain<SetReuid>},   {SYS_setregid, Plain<SetRegid>},   {SYS_setresuid, Plain<SetResuid>},
    {SYS_setresgid, Plain<SetResgid>}, {SYS_getresuid, Plain<GetResuid>}, {SYS_getresgid, Plain<GetResgid>},
    {SYS_setfsuid, Plain<SetFsuid>},   {SYS_setfsgid, Plain<SetFsgid>},   {SYS_getgroups, Plain<GetGroups>},
    {SYS_setgroups, Plain<SetGroups>}, {SYS_getpgid, Plain<GetPgid>},     {SYS_getpgrp, Plain<GetPgrp>},
    {SYS_setpgid, Plain<SetPgid>},     {SYS_getsid, Plain<GetSid>},       {SYS_setsid, Plain<SetSid>},
    {SYS_capget, Plain<CapGet>},       {SYS_capset, Plain<CapSetCall>},
};

}  // namespace

std::span<const Entry> IdentitySyscalls() { return kEntries; }

}  // namespace cloister::syscalls
