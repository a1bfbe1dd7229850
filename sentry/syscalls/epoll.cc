// epoll(7).

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "sentry/fs/event/epoll_file.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"

namespace cloister::syscalls {
namespace {

using event::EpollFile;
using task::Block;
using usermem::UserPtr;
using vfs::FileDescription;
using wait::Poll;

constexpr int kMaxEvents = INT32_MAX / static_cast<int>(sizeof(epoll_event));  // EP_MAX_EVENTS
constexpr int kMostAtOnce = 4096;  // one call may give fewer events than it was asked for

ErrnoOr<int> MakeEpoll(Task& task, int flags) {
  if (flags & ~EPOLL_CLOEXEC) return Errno::kInval;
  return task.InstallFile(MakeRef<EpollFile>(task.cred()), (flags & EPOLL_CLOEXEC) != 0);
}

ErrnoOr<int> EpollCreate(Task& task, const SyscallArgs& args) {
  if (args.Int(0) <= 0) return Errno::kInval;
  return MakeEpoll(task, 0);
}
ErrnoOr<int> EpollCreate1(Task& task, const SyscallArgs& args) { return MakeEpoll(task, args.Int(0)); }

ErrnoOrVoid EpollCtl(Task& task, const SyscallArgs& args) {
  const int operation = args.Int(1), fd = args.Int(2);
  epoll_event event = {};
  if (operation != EPOLL_CTL_DEL) event = TRY(task.CopyIn(args.Ptr<const epoll_event>(3)));
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  const Ref<FileDescription> target = TRY(task.GetFile(fd));
  if (target->wait_queue() == nullptr) return Errno::kPerm;
  EpollFile* const epoll = file->AsEpoll();
  if (epoll == nullptr || file == target) return Errno::kInval;
  switch (operation) {
    case EPOLL_CTL_ADD:
      return epoll->core().Add(fd, *target, event);
    case EPOLL_CTL_MOD:
      return epoll->core().Modify(fd, *target, event);
    case EPOLL_CTL_DEL:
      return epoll->core().Remove(fd, *target);
    default:
      return Errno::kInval;
  }
}

// epoll_wait(2) and its kin.
struct EpollWaitCall {
  Ref<FileDescription> file;
  uint64_t events = 0;
  int max = 0;
  bool may_block = true;
  wait::MonotonicNs until = wait::kNever;
  std::optional<signal::SignalSet> mask;

  static ErrnoOr<EpollWaitCall> On(Task& task, const SyscallArgs& args) {
    EpollWaitCall call;
    call.max = args.Int(2);
    if (call.max <= 0 || call.max > kMaxEvents) return Errno::kInval;
    call.max = std::min(call.max, kMostAtOnce);
    call.events = args.Addr(1);
    call.file = TRY(task.GetFile(args.Int(0)));
    if (call.file->AsEpoll() == nullptr) return Errno::kInval;
    return call;
  }

  // Nanoseconds; negative: for ever.
  void SetTimeout(int64_t ns) {
    may_block = ns != 0;
    if (ns > 0) until = DeadlineAfter(ns);
  }

  ErrnoOrVoid SetMask(Task& task, uint64_t addr, size_t size) {
    if (addr == 0) return {};
    if (size != sizeof(uint64_t)) return Errno::kInval;
    mask = signal::SignalSet(TRY(task.CopyIn(UserPtr<const uint64_t>(addr))));
    return {};
  }

  static ErrnoOr<EpollWaitCall> Begin(Task& task, const SyscallArgs& args) {
    EpollWaitCall call = TRY(On(task, args));
    call.SetTimeout(int64_t{args.Int(3)} * 1'000'000);
    return call;
  }

  Outcome Step(Task& task) {
    EpollFile& epoll = *file->AsEpoll();
    const ErrnoOr<size_t> count =
        epoll.core().Collect(static_cast<size_t>(max), [&](std::span<const epoll_event> found) {
          return usermem::CopyOutArray(task.space(), UserPtr<epoll_event>(events), found);
        });
    if (!count.ok() || *count > 0 || !may_block) return task::ToAnswer(count);
    if (mask) task.SetTemporaryMask(*std::exchange(mask, std::nullopt));
    Block block;
    block.on.push_back({Ref<RefCounted>(file), epoll.wait_queue(), Poll::kIn});
    block.until = until;
    block.at_deadline = 0;
    block.at_signal = Errno::kIntr;
    return block;
  }
};

struct EpollPwaitCall : EpollWaitCall {
  static ErrnoOr<EpollPwaitCall> Begin(Task& task, const SyscallArgs& args) {
    EpollPwaitCall call{TRY(EpollWaitCall::Begin(task, args))};
    TRY_VOID(call.SetMask(task, args.Addr(4), args.Size(5)));
    return call;
  }
};

struct EpollPwait2Call : EpollWaitCall {
  static ErrnoOr<EpollPwait2Call> Begin(Task& task, const SyscallArgs& args) {
    int64_t timeout = -1;
    if (args.Addr(3) != 0) timeout = TRY(CopyInDuration(task, args.Addr(3)));
    EpollPwait2Call call{TRY(On(task, args))};
    call.SetTimeout(timeout);
    TRY_VOID(call.SetMask(task, args.Addr(4), args.Size(5)));
    return call;
  }
};

constexpr Entry kEntries[] = {
    {SYS_epoll_create, Plain<EpollCreate>},
    {SYS_epoll_create1, Plain<EpollCreate1>},
    {SYS_epoll_ctl, Plain<EpollCtl>},
    {SYS_epoll_wait, Blocking<EpollWaitCall>},
    {SYS_epoll_pwait, Blocking<EpollPwaitCall>},
    {SYS_epoll_pwait2, Blocking<EpollPwait2Call>},
};

}  // namespace

std::span<const Entry> EpollSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
