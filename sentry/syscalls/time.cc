// Clocks, sleeping, and the timers of a process.

#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include <algorithm>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"
#include "sentry/task/process_timers.h"
#include "sentry/task/usage.h"

namespace cloister::syscalls {
namespace {

using task::Block;
using task::ProcessTimers;
using task::TimerClock;
using usermem::UserPtr;
using wait::Restart;

constexpr int64_t kClockTick = 10'000'000;  // USER_HZ = 100

// Time since the sandbox booted is CLOCK_BOOTTIME here; CLOCK_MONOTONIC is the host's, as the vDSO shows it.
ErrnoOr<int64_t> ReadClock(Task& task, clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI: {
      timespec now;
      if (clock_gettime(clock, &now) != 0) return FromHostErrno(errno);
      return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
    }
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
      return static_cast<int64_t>(task::ProcessCpuNs(task.group()));
    default:
      break;
  }
  if (clock >= 0) return Errno::kInval;
  // CPUCLOCK of another process (clock_getcpuclockid(3)): ~pid << 3 and a kind.
  const pid_t pid = ~(clock >> 3);
  if ((clock & 3) == 3) return Errno::kInval;
  if (pid == 0) return static_cast<int64_t>(task::ProcessCpuNs(task.group()));
  const Ref<Task> other = task.kernel().FindTask(pid);
  if (!other) return Errno::kInval;
  return static_cast<int64_t>(task::ProcessCpuNs(other->group()));
}

ErrnoOr<int> ClockGettime(Task& task, const SyscallArgs& args) {
  const int64_t now = TRY(ReadClock(task, args.Int(0)));
  TRY_VOID(task.CopyOut(args.Ptr<timespec>(1), ToTimespec(now)));
  return 0;
}

ErrnoOr<int> ClockGetres(Task& task, const SyscallArgs& args) {
  const int clock = args.Int(0);
  TRY(ReadClock(task, clock));
  const bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
  if (args.Addr(1) != 0) TRY_VOID(task.CopyOut(args.Ptr<timespec>(1), timespec{0, coarse ? 4'000'000 : 1}));
  return 0;
}

ErrnoOr<int> ClockSettime(Task& task, const SyscallArgs& args) {
  const timespec time = TRY(task.CopyIn(args.Ptr<const timespec>(1)));
  TRY(DurationOf(time));
  if (args.Int(0) != CLOCK_REALTIME) return Errno::kInval;
  return Errno::kPerm;
}

ErrnoOr<int> Gettimeofday(Task& task, const SyscallArgs& args) {
  const int64_t now = TRY(ReadClock(task, CLOCK_REALTIME));
  if (args.Addr(0) != 0) {
    TRY_VOID(task.CopyOut(args.Ptr<timeval>(0), timeval{now / 1'000'000'000, now % 1'000'000'000 / 1000}));
  }
  if (args.Addr(1) != 0) TRY_VOID(task.CopyOut(args.Ptr<struct timezone>(1), {}));
  return 0;
}

ErrnoOr<int64_t> Time(Task& task, const SyscallArgs& args) {
  const int64_t seconds = TRY(ReadClock(task, CLOCK_REALTIME)) / 1'000'000'000;
  if (args.Addr(0) != 0) TRY_VOID(task.CopyOut(args.Ptr<int64_t>(0), seconds));
  return seconds;
}

ErrnoOr<int64_t> Times(Task& task, const SyscallArgs& args) {
  const int64_t own = static_cast<int64_t>(task::ProcessCpuNs(task.group())) / kClockTick;
  int64_t children;
  {
    absl::MutexLock lock(&task.kernel().tree_mu());
    children = static_cast<int64_t>(task::CpuNsOf(task.group().children_usage)) / kClockTick;
  }
  if (args.Addr(0) != 0) TRY_VOID(task.CopyOut(args.Ptr<tms>(0), tms{own, 0, children, 0}));
  return TRY(ReadClock(task, CLOCK_MONOTONIC)) / kClockTick;
}

// nanosleep(2), clock_nanosleep(2).
struct SleepCall {
  wait::MonotonicNs until = 0;
  uint64_t remain_addr = 0;  // 0: absolute, or not wanted
  bool absolute = false;

  static ErrnoOr<SleepCall> Begin(Task& task, const SyscallArgs& args) {
    SleepCall call;
    call.until = DeadlineAfter(TRY(CopyInDuration(task, args.Addr(0))));
    call.remain_addr = args.Addr(1);
    return call;
  }

  Outcome Step(Task& task) {
    const wait::MonotonicNs now = wait::MonotonicNow();
    if (now >= until) return Answer(0);
    Block block;
    block.until = until;
    block.at_deadline = 0;
    block.at_signal = absolute ? Restart::kNoHand : Restart::kRestartBlock;
    // A signal that interrupts finds what was left; the deadline itself stays where it is.
    if (remain_addr != 0 && task.interrupted()) {
      if (!task.CopyOut(UserPtr<timespec>(remain_addr), ToTimespec(until - now)).ok())
        return Answer(Errno::kFault);
    }
    return block;
  }
};

struct ClockSleepCall : SleepCall {
  static ErrnoOr<ClockSleepCall> Begin(Task& task, const SyscallArgs& args) {
    const clockid_t clock = args.Int(0);
    const int64_t time = TRY(CopyInDuration(task, args.Addr(2)));
    ClockSleepCall call;
    call.absolute = (args.Int(1) & TIMER_ABSTIME) != 0;
    switch (clock) {
      case CLOCK_REALTIME:
      case CLOCK_TAI:
        call.until = call.absolute ? DeadlineAtRealtime(time) : DeadlineAfter(time);
        break;
      case CLOCK_MONOTONIC:
        call.until = call.absolute ? time : DeadlineAfter(time);
        break;
      case CLOCK_BOOTTIME: {
        const int64_t now = TRY(ReadClock(task, CLOCK_BOOTTIME));
        call.until = DeadlineAfter(call.absolute ? std::max<int64_t>(0, time - now) : time);
        break;
      }
      case CLOCK_PROCESS_CPUTIME_ID:
      case CLOCK_MONOTONIC_COARSE:
      case CLOCK_REALTIME_COARSE:
      case CLOCK_MONOTONIC_RAW:
        return Errno::kOpNotSupp;
      default:
        return Errno::kInval;
    }
    if (!call.absolute) call.remain_addr = args.Addr(3);
    return call;
  }
};

ErrnoOr<ProcessTimers::Setting> CopyInSetting(Task& task, uint64_t addr) {
  const itimerval value = TRY(task.CopyIn(UserPtr<const itimerval>(addr)));
  for (const timeval& t : {value.it_interval, value.it_value}) {
    if (t.tv_usec < 0 || t.tv_usec >= 1'000'000 || t.tv_sec < 0) return Errno::kInval;
  }
  return ProcessTimers::Setting{
      TRY(DurationOf({value.it_value.tv_sec, value.it_value.tv_usec * 1000})),
      TRY(DurationOf({value.it_interval.tv_sec, value.it_interval.tv_usec * 1000}))};
}

timeval ToTimeval(int64_t ns) {
  const int64_t us = (ns + 999) / 1000;
  return {us / 1'000'000, us % 1'000'000};
}

ErrnoOr<int> Getitimer(Task& task, const SyscallArgs& args) {
  if (args.Int(0) < ITIMER_REAL || args.Int(0) > ITIMER_PROF) return Errno::kInval;
  const ProcessTimers::Setting now = task.group().timers().GetInterval(args.Int(0));
  TRY_VOID(
      task.CopyOut(args.Ptr<itimerval>(1), itimerval{ToTimeval(now.interval_ns), ToTimeval(now.value_ns)}));
  return 0;
}

ErrnoOr<int> Setitimer(Task& task, const SyscallArgs& args) {
  if (args.Int(0) < ITIMER_REAL || args.Int(0) > ITIMER_PROF) return Errno::kInval;
  ProcessTimers::Setting setting;
  if (args.Addr(1) != 0) setting = TRY(CopyInSetting(task, args.Addr(1)));
  const ProcessTimers::Setting old = task.group().timers().SetInterval(args.Int(0), setting);
  if (args.Addr(2) != 0) {
    TRY_VOID(
        task.CopyOut(args.Ptr<itimerval>(2), itimerval{ToTimeval(old.interval_ns), ToTimeval(old.value_ns)}));
  }
  return 0;
}

Answer Alarm(Task& task, const SyscallArgs& args) {
  const int64_t ns = int64_t{args.Uint(0)} * 1'000'000'000;
  const ProcessTimers::Setting old = task.group().timers().SetInterval(ITIMER_REAL, {ns, 0});
  return (old.value_ns + 500'000'000) / 1'000'000'000 +
         (old.value_ns > 0 && old.value_ns < 500'000'000 ? 1 : 0);
}

ErrnoOr<TimerClock> TimerClockOf(Task& task, clockid_t clock) {
  if (clock < 0) {
    // CPUCLOCK, as for clock_gettime; glibc makes these of CLOCK_PROCESS_CPUTIME_ID.
    const pid_t pid = ~(clock >> 3);
    if ((clock & 3) == 3) return Errno::kInval;
    if (pid == 0) return TimerClock::kProcessCpu;
    const Ref<Task> other = task.kernel().FindTask(pid);
    if (!other || &other->group() != &task.group()) return Errno::kInval;
    return TimerClock::kProcessCpu;
  }
  switch (clock) {
    case CLOCK_REALTIME:
      return TimerClock::kRealtime;
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
      return TimerClock::kMonotonic;
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
      return TimerClock::kProcessCpu;
    default:
      return Errno::kInval;
  }
}

// The kernel's struct sigevent, as far as it is read.
struct UserSigevent {
  uint64_t value;
  int32_t signo;
  int32_t notify;
  int32_t tid;
  int32_t padding[11];
};
static_assert(sizeof(UserSigevent) == 64);

ErrnoOr<int> TimerCreate(Task& task, const SyscallArgs& args) {
  const TimerClock clock = TRY(TimerClockOf(task, args.Int(0)));
  std::optional<ProcessTimers::Event> given;
  if (args.Addr(1) != 0) {
    const UserSigevent wanted = TRY(task.CopyIn(args.Ptr<const UserSigevent>(1)));
    ProcessTimers::Event& event = given.emplace();
    event.value = wanted.value;
    event.signo = wanted.signo;
    event.notify = wanted.notify != SIGEV_NONE;
    if (wanted.notify == SIGEV_THREAD_ID) {
      const Ref<Task> target = task.kernel().FindTask(wanted.tid);
      if (!target || &target->group() != &task.group()) return Errno::kInval;
      event.tid = wanted.tid;
    } else if (wanted.notify != SIGEV_SIGNAL && wanted.notify != SIGEV_NONE) {
      return Errno::kInval;
    }
    if (event.notify && !signal::IsValid(event.signo)) return Errno::kInval;
  }
  const int id = TRY(task.group().timers().Create(args.Int(0), clock, given));
  const ErrnoOrVoid copied = task.CopyOut(args.Ptr<int>(2), id);
  if (!copied.ok()) {
    TRY_VOID(task.group().timers().Delete(id));
    return copied.error();
  }
  return 0;
}

ErrnoOr<int> TimerSettime(Task& task, const SyscallArgs& args) {
  if (args.Addr(2) == 0) return Errno::kInval;
  const itimerspec wanted = TRY(task.CopyIn(args.Ptr<const itimerspec>(2)));
  const ProcessTimers::Setting setting = {TRY(DurationOf(wanted.it_value)),
                                          TRY(DurationOf(wanted.it_interval))};
  const ProcessTimers::Setting old =
      TRY(task.group().timers().Set(args.Int(0), setting, (args.Int(1) & TIMER_ABSTIME) != 0));
  if (args.Addr(3) != 0) {
    TRY_VOID(task.CopyOut(args.Ptr<itimerspec>(3),
                          itimerspec{ToTimespec(old.interval_ns), ToTimespec(old.value_ns)}));
  }
  return 0;
}

ErrnoOr<int> TimerGettime(Task& task, const SyscallArgs& args) {
  const ProcessTimers::Setting now = TRY(task.group().timers().Get(args.Int(0)));
  TRY_VOID(task.CopyOut(args.Ptr<itimerspec>(1),
                        itimerspec{ToTimespec(now.interval_ns), ToTimespec(now.value_ns)}));
  return 0;
}

ErrnoOr<int> TimerGetoverrun(Task& task, const SyscallArgs& args) {
  return task.group().timers().Overrun(args.Int(0));
}
ErrnoOr<void> TimerDelete(Task& task, const SyscallArgs& args) {
  return task.group().timers().Delete(args.Int(0));
}

constexpr Entry kEntries[] = {
    {SYS_clock_gettime, Plain<ClockGettime>, Support::kPartial, "a thread's CPU time is its process'"},
    {SYS_clock_getres, Plain<ClockGetres>},
    {SYS_clock_settime, Plain<ClockSettime>, Support::kPartial, "EPERM: the time is the host's"},
    {SYS_clock_nanosleep, Blocking<ClockSleepCall>},
    {SYS_nanosleep, Blocking<SleepCall>},
    {SYS_gettimeofday, Plain<Gettimeofday>},
    {SYS_settimeofday, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM: the time is the host's"},
    {SYS_time, Plain<Time>},
    {SYS_times, Plain<Times>},
    {SYS_getitimer, Plain<Getitimer>},
    {SYS_setitimer, Plain<Setitimer>},
    {SYS_alarm, Plain<Alarm>},
    {SYS_timer_create, Plain<TimerCreate>, Support::kPartial,
     "no CPU time of another process; a thread's is its process'"},
    {SYS_timer_settime, Plain<TimerSettime>},
    {SYS_timer_gettime, Plain<TimerGettime>},
    {SYS_timer_getoverrun, Plain<TimerGetoverrun>},
    {SYS_timer_delete, Plain<TimerDelete>},
    {SYS_adjtimex, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
    {SYS_clock_adjtime, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
};

}  // namespace

std::span<const Entry> TimeSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
