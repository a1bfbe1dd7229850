// Files that carry events: pipes, eventfd, timerfd, signalfd.

#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include <utility>

#include "sentry/fs/event/event_fd.h"
#include "sentry/fs/event/signal_fd.h"
#include "sentry/fs/event/timer_fd.h"
#include "sentry/fs/pipe/pipe_file.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"
#include "sentry/task/current.h"

namespace cloister::syscalls {
namespace {

using event::EventFd;
using event::SignalFd;
using event::TimerFd;
using usermem::UserPtr;
using vfs::FileDescription;

ErrnoOr<int> MakePipe(Task& task, uint64_t where, int flags) {
  if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) return Errno::kInval;
  auto [reader, writer] = pipe::MakePipe(flags & ~O_CLOEXEC, task.cred());
  const bool cloexec = (flags & O_CLOEXEC) != 0;
  int fds[2];
  fds[0] = TRY(task.InstallFile(std::move(reader), cloexec));
  const ErrnoOr<int> second = task.InstallFile(std::move(writer), cloexec);
  if (!second.ok()) {
    static_cast<void>(task.files().Remove(fds[0]));
    return second.error();
  }
  fds[1] = *second;
  const ErrnoOrVoid copied = usermem::CopyOutBytes(task.space(), where, std::as_bytes(std::span(fds)));
  if (copied.ok()) return 0;
  static_cast<void>(task.files().Remove(fds[0]));
  static_cast<void>(task.files().Remove(fds[1]));
  return copied.error();
}

ErrnoOr<int> Pipe(Task& task, const SyscallArgs& args) { return MakePipe(task, args.Addr(0), 0); }
ErrnoOr<int> Pipe2(Task& task, const SyscallArgs& args) { return MakePipe(task, args.Addr(0), args.Int(1)); }

ErrnoOr<int> MakeEventFd(Task& task, uint32_t count, int flags) {
  if (flags & ~(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)) return Errno::kInval;
  const auto mode = (flags & EFD_SEMAPHORE) ? EventFd::Mode::kSemaphore : EventFd::Mode::kCounter;
  return task.InstallFile(MakeRef<EventFd>(O_RDWR | (flags & O_NONBLOCK), task.cred(), count, mode),
                          (flags & EFD_CLOEXEC) != 0);
}

ErrnoOr<int> Eventfd(Task& task, const SyscallArgs& args) { return MakeEventFd(task, args.Uint(0), 0); }
ErrnoOr<int> Eventfd2(Task& task, const SyscallArgs& args) {
  return MakeEventFd(task, args.Uint(0), args.Int(1));
}

ErrnoOr<int> TimerfdCreate(Task& task, const SyscallArgs& args) {
  const int flags = args.Int(1);
  if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK)) return Errno::kInval;
  clockid_t clock = args.Int(0);
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
      break;
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
      if (!task.cred()->Has(CAP_WAKE_ALARM)) return Errno::kPerm;
      clock = clock == CLOCK_REALTIME_ALARM ? CLOCK_REALTIME : CLOCK_BOOTTIME;
      break;
    default:
      return Errno::kInval;
  }
  return task.InstallFile(MakeRef<TimerFd>(O_RDWR | (flags & O_NONBLOCK), task.cred(), clock),
                          (flags & TFD_CLOEXEC) != 0);
}

// The timerfd behind a descriptor, kept by *file; kInval for other files.
ErrnoOr<TimerFd*> GetTimer(Task& task, int fd, Ref<FileDescription>* file) {
  *file = TRY(task.GetFile(fd));
  event::AnonFile* const anon = (*file)->AsAnon();
  TimerFd* const timer = anon != nullptr ? anon->AsTimer() : nullptr;
  if (timer == nullptr) return Errno::kInval;
  return timer;
}

itimerspec ToItimerspec(const TimerFd::Setting& setting) {
  return {ToTimespec(setting.interval_ns), ToTimespec(setting.value_ns)};
}

ErrnoOrVoid TimerfdSettime(Task& task, const SyscallArgs& args) {
  const int flags = args.Int(1);
  if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) return Errno::kInval;
  const itimerspec wanted = TRY(task.CopyIn(args.Ptr<const itimerspec>(2)));
  TimerFd::Setting setting;
  setting.value_ns = TRY(DurationOf(wanted.it_value));
  setting.interval_ns = TRY(DurationOf(wanted.it_interval));
  Ref<FileDescription> file;
  TimerFd* const timer = TRY(GetTimer(task, args.Int(0), &file));
  const TimerFd::Setting old = timer->Set(setting, (flags & TFD_TIMER_ABSTIME) != 0);
  if (args.Addr(3) != 0) TRY_VOID(task.CopyOut(args.Ptr<itimerspec>(3), ToItimerspec(old)));
  return {};
}

ErrnoOrVoid TimerfdGettime(Task& task, const SyscallArgs& args) {
  Ref<FileDescription> file;
  TimerFd* const timer = TRY(GetTimer(task, args.Int(0), &file));
  return task.CopyOut(args.Ptr<itimerspec>(1), ToItimerspec(timer->Get()));
}

// The signals of whoever reads, as in Linux (signalfd_dequeue takes current's). Those who wait on the file
// are told of the signals of every process that ever asked for its queue.
class ReadersSignals final : public event::SignalSource {
 public:
  explicit ReadersSignals(Task& maker) : maker_(&maker) {}
  ~ReadersSignals() override {
    for (const std::unique_ptr<Followed>& one : followed_) one->group->signal_queue.Remove(one->entry);
  }

  std::optional<siginfo_t> Take(uint64_t mask) override {
    return Reader().TakeSignal(signal::SignalSet(mask));
  }
  uint64_t Pending() override { return Reader().PendingSet().bits(); }
  wait::WaitQueue& signal_queue() override ABSL_LOCKS_EXCLUDED(mu_) {
    Follow(Reader().group());
    return queue_;
  }

 private:
  struct Followed final : public wait::Waiter {
    Followed(task::ThreadGroup& process, wait::WaitQueue& to) : group(&process), queue(to) {}
    void OnEvent(wait::Poll events) override { queue.Notify(events); }
    const Ref<task::ThreadGroup> group;
    wait::WaitQueue& queue;
    wait::WaitEntry entry;
  };

  Task& Reader() {
    Task* const current = task::CurrentTask::Get();
    return current != nullptr ? *current : *maker_;
  }

  void Follow(task::ThreadGroup& group) {
    absl::MutexLock lock(&mu_);
    for (const std::unique_ptr<Followed>& one : followed_) {
      if (one->group.get() == &group) return;
    }
    std::erase_if(followed_, [](const std::unique_ptr<Followed>& one) {
      if (one->group->ref_count() > 1) return false;
      one->group->signal_queue.Remove(one->entry);  // long gone
      return true;
    });
    followed_.push_back(std::make_unique<Followed>(group, queue_));
    group.signal_queue.Add(followed_.back()->entry, *followed_.back(), wait::Poll::kAll);
  }

  const Ref<Task> maker_;
  wait::WaitQueue queue_;
  absl::Mutex mu_;  // above the queues
  std::vector<std::unique_ptr<Followed>> followed_ ABSL_GUARDED_BY(mu_);
};

ErrnoOr<int> MakeSignalFd(Task& task, const SyscallArgs& args, int flags) {
  if ((flags & ~(SFD_CLOEXEC | SFD_NONBLOCK)) || args.Size(2) != sizeof(uint64_t)) return Errno::kInval;
  const uint64_t mask = TRY(task.CopyIn(args.Ptr<const uint64_t>(1)));
  if (args.Int(0) == -1) {
    return task.InstallFile(
        MakeRef<SignalFd>(O_RDWR | (flags & O_NONBLOCK), task.cred(), MakeRef<ReadersSignals>(task), mask),
        (flags & SFD_CLOEXEC) != 0);
  }
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  event::AnonFile* const anon = file->AsAnon();
  SignalFd* const signals = anon != nullptr ? anon->AsSignal() : nullptr;
  if (signals == nullptr) return Errno::kInval;
  signals->SetMask(mask);
  return args.Int(0);
}

ErrnoOr<int> Signalfd(Task& task, const SyscallArgs& args) { return MakeSignalFd(task, args, 0); }
ErrnoOr<int> Signalfd4(Task& task, const SyscallArgs& args) { return MakeSignalFd(task, args, args.Int(3)); }

constexpr Entry kEntries[] = {
    {SYS_pipe, Plain<Pipe>},
    {SYS_pipe2, Plain<Pipe2>},
    {SYS_eventfd, Plain<Eventfd>},
    {SYS_eventfd2, Plain<Eventfd2>},
    {SYS_timerfd_create, Plain<TimerfdCreate>},
    {SYS_timerfd_settime, Plain<TimerfdSettime>, Support::kPartial, "TFD_TIMER_CANCEL_ON_SET never cancels"},
    {SYS_timerfd_gettime, Plain<TimerfdGettime>},
    {SYS_signalfd, Plain<Signalfd>},
    {SYS_signalfd4, Plain<Signalfd4>},
};

}  // namespace

std::span<const Entry> EventFileSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
