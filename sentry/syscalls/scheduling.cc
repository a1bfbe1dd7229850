// Scheduling: affinity, niceness, policies. One host thread runs each task, so the host's own
// scheduler does what is asked; what the sentry may not ask of it is refused.

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"

namespace cloister::syscalls {
namespace {

using usermem::UserPtr;

// The task that pid names; 0 is the caller. kSrch where there is none.
ErrnoOr<Ref<Task>> Target(Task& task, pid_t pid) {
  if (pid < 0) return Errno::kInval;
  if (pid == 0) return Ref<Task>(&task);
  Ref<Task> other = task.kernel().FindTask(pid);
  if (!other) return Errno::kSrch;
  return other;
}

bool MayChange(Task& task, Task& target) {
  const auth::CredRef theirs = target.GetCred();
  const auth::Credentials& ours = *task.cred();
  return ours.Has(CAP_SYS_NICE) || (theirs && (ours.euid == theirs->uid || ours.euid == theirs->euid));
}

// The host's id of a task; without one the host calls below would mean this worker.
ErrnoOr<pid_t> HostId(const Task& target) {
  const pid_t tid = target.host_tid();
  if (tid <= 0) return Errno::kSrch;
  return tid;
}

Answer SchedYield(Task&, const SyscallArgs&) { return 0; }

ErrnoOr<int> SchedSetaffinity(Task& task, const SyscallArgs& args) {
  const Ref<Task> target = TRY(Target(task, args.Int(0)));
  if (!MayChange(task, *target)) return Errno::kPerm;
  cpu_set_t set;
  CPU_ZERO(&set);
  const size_t size = std::min(args.Size(1), sizeof set);
  TRY_VOID(usermem::CopyInBytes(task.space(), args.Addr(2),
                                std::as_writable_bytes(std::span(&set, 1)).first(size)));
  const int refused = task.kernel().platform().SetAffinity(TRY(HostId(*target)), set);
  if (refused != 0) return FromHostErrno(refused);
  return 0;
}

ErrnoOr<int> SchedGetaffinity(Task& task, const SyscallArgs& args) {
  const Ref<Task> target = TRY(Target(task, args.Int(0)));
  const size_t needed = (task.kernel().machine().cpus + 63) / 64 * 8;
  if (args.Size(1) < needed || args.Size(1) % sizeof(uint64_t) != 0) return Errno::kInval;
  cpu_set_t set;
  CPU_ZERO(&set);
  const int refused = task.kernel().platform().GetAffinity(TRY(HostId(*target)), &set);
  if (refused != 0) return FromHostErrno(refused);
  const size_t size = std::min(args.Size(1), needed);
  TRY_VOID(usermem::CopyOutBytes(task.space(), args.Addr(2), std::as_bytes(std::span(&set, 1)).first(size)));
  return static_cast<int>(size);
}

// getcpu(2). A call is served on its caller's core or wakes it from its neighbour's: the worker's core is
// the best guess, where the caller may run there. One node.
ErrnoOr<int> Getcpu(Task& task, const SyscallArgs& args) {
  int cpu = std::max(sched_getcpu(), 0);
  cpu_set_t set;
  CPU_ZERO(&set);
  if (task.kernel().platform().GetAffinity(TRY(HostId(task)), &set) == 0 && !CPU_ISSET(cpu, &set)) {
    for (cpu = 0; cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &set);) ++cpu;
  }
  if (args.Addr(0) != 0) TRY_VOID(task.CopyOut(args.Ptr<uint32_t>(0), static_cast<uint32_t>(cpu)));
  if (args.Addr(1) != 0) TRY_VOID(task.CopyOut(args.Ptr<uint32_t>(1), 0));
  return 0;
}

ErrnoOr<int> SchedGetscheduler(Task& task, const SyscallArgs& args) {
  TRY(Target(task, args.Int(0)));
  return SCHED_OTHER;
}

// Real-time policies are the host's business alone.
ErrnoOr<int> CheckPolicy(int policy, int priority) {
  switch (policy & ~SCHED_RESET_ON_FORK) {
    case SCHED_OTHER:
    case SCHED_BATCH:
    case SCHED_IDLE:
      if (priority != 0) return Errno::kInval;
      return 0;
    case SCHED_FIFO:
    case SCHED_RR:
      if (priority < 1 || priority > 99) return Errno::kInval;
      return Errno::kPerm;
    default:
      return Errno::kInval;
  }
}

ErrnoOr<int> SchedSetscheduler(Task& task, const SyscallArgs& args) {
  TRY(Target(task, args.Int(0)));
  const sched_param param = TRY(task.CopyIn(args.Ptr<const sched_param>(2)));
  return CheckPolicy(args.Int(1), param.sched_priority);
}

ErrnoOr<int> SchedSetparam(Task& task, const SyscallArgs& args) {
  TRY(Target(task, args.Int(0)));
  const sched_param param = TRY(task.CopyIn(args.Ptr<const sched_param>(1)));
  return CheckPolicy(SCHED_OTHER, param.sched_priority);
}

ErrnoOr<int> SchedGetparam(Task& task, const SyscallArgs& args) {
  TRY(Target(task, args.Int(0)));
  TRY_VOID(task.CopyOut(args.Ptr<sched_param>(1), {0}));
  return 0;
}

ErrnoOr<int> Priority(int policy, int real_time) {
  if (policy == SCHED_FIFO || policy == SCHED_RR) return real_time;
  if (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE || policy == 6) return 0;
  return Errno::kInval;
}

ErrnoOr<int> SchedGetPriorityMax(Task&, const SyscallArgs& args) { return Priority(args.Int(0), 99); }
ErrnoOr<int> SchedGetPriorityMin(Task&, const SyscallArgs& args) { return Priority(args.Int(0), 1); }

ErrnoOr<int> SchedRrGetInterval(Task& task, const SyscallArgs& args) {
  TRY(Target(task, args.Int(0)));
  TRY_VOID(task.CopyOut(args.Ptr<timespec>(1), ToTimespec(4'000'000)));
  return 0;
}

// Every task that getpriority(2)'s `which` and `who` name.
ErrnoOr<std::vector<Ref<Task>>> PriorityTargets(Task& task, int which, int who) {
  std::vector<Ref<Task>> targets;
  absl::MutexLock lock(&task.kernel().tree_mu());
  for (const Ref<task::ThreadGroup>& group : task.kernel().GroupsLocked()) {
    const pid_t pgid = who == 0 ? task.group().process_group->id() : who;
    const uid_t uid = who == 0 ? task.cred()->uid : static_cast<uid_t>(who);
    for (Task* member : group->tasks) {
      if ((which == PRIO_PROCESS && member->tid() == (who == 0 ? task.tid() : who)) ||
          (which == PRIO_PGRP && group->process_group->id() == pgid) ||
          (which == PRIO_USER && group->uid == uid)) {
        targets.emplace_back(member);
      }
    }
  }
  if (which < PRIO_PROCESS || which > PRIO_USER) return Errno::kInval;
  if (targets.empty()) return Errno::kSrch;
  return targets;
}

ErrnoOr<int> Getpriority(Task& task, const SyscallArgs& args) {
  int best = 19;
  for (const Ref<Task>& target : TRY(PriorityTargets(task, args.Int(0), args.Int(1)))) {
    best = std::min(best, target->nice.load());
  }
  return 20 - best;
}

ErrnoOr<int> Setpriority(Task& task, const SyscallArgs& args) {
  const int nice = std::clamp(args.Int(2), -20, 19);
  for (const Ref<Task>& target : TRY(PriorityTargets(task, args.Int(0), args.Int(1)))) {
    if (!MayChange(task, *target)) return Errno::kPerm;
    if (nice < target->nice.load() && !task.cred()->Has(CAP_SYS_NICE)) return Errno::kAcces;
    target->nice = nice;
    // Lowering it on the host may be refused; the guest's number is its own.
    const ErrnoOr<pid_t> host = HostId(*target);
    if (host.ok()) static_cast<void>(setpriority(PRIO_PROCESS, static_cast<id_t>(*host), std::max(nice, 0)));
  }
  return 0;
}

ErrnoOr<int> IoprioGet(Task& task, const SyscallArgs& args) {
  constexpr int kProcess = 1;
  if (args.Int(0) != kProcess) return Errno::kInval;
  return TRY(Target(task, args.Int(1)))->io_priority;
}

ErrnoOr<int> IoprioSet(Task& task, const SyscallArgs& args) {
  constexpr int kProcess = 1, kClassRt = 1, kClassIdle = 3;
  const int io_class = args.Int(2) >> 13;
  if (args.Int(0) != kProcess || io_class < 0 || io_class > kClassIdle) return Errno::kInval;
  if (io_class == kClassRt && !task.cred()->Has(CAP_SYS_ADMIN)) return Errno::kPerm;
  TRY(Target(task, args.Int(1)))->io_priority = args.Int(2);
  return 0;
}

constexpr Entry kEntries[] = {
    {SYS_sched_yield, Plain<SchedYield>},
    {SYS_sched_setaffinity, Plain<SchedSetaffinity>},
    {SYS_sched_getaffinity, Plain<SchedGetaffinity>},
    {SYS_getcpu, Plain<Getcpu>},
    {SYS_sched_getscheduler, Plain<SchedGetscheduler>},
    {SYS_sched_setscheduler, Plain<SchedSetscheduler>, Support::kPartial, "no real-time policies"},
    {SYS_sched_setparam, Plain<SchedSetparam>},
    {SYS_sched_getparam, Plain<SchedGetparam>},
    {SYS_sched_get_priority_max, Plain<SchedGetPriorityMax>},
    {SYS_sched_get_priority_min, Plain<SchedGetPriorityMin>},
    {SYS_sched_rr_get_interval, Plain<SchedRrGetInterval>},
    {SYS_getpriority, Plain<Getpriority>},
    {SYS_setpriority, Plain<Setpriority>},
    {SYS_ioprio_get, Plain<IoprioGet>},
    {SYS_ioprio_set, Plain<IoprioSet>},
};

}  // namespace

std::span<const Entry> SchedulingSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
