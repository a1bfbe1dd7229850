#include "sentry/syscalls/futex_pi.h"

#include <linux/futex.h>

#include <utility>

#include "sentry/ipc/pi_futexes.h"
#include "sentry/syscalls/time_arguments.h"

namespace cloister::syscalls {
namespace {

using ipc::FutexKey;
using ipc::FutexManager;
using ipc::PiFutexes;
using ipc::PiWaiter;
using task::Block;
using wait::Restart;
using Next = PiFutexes::Progress::Next;

// Leaves the lock's queue with the call.
class QueuedPiWaiter {
 public:
  QueuedPiWaiter() = default;
  explicit QueuedPiWaiter(Ref<PiWaiter> waiter) : waiter_(std::move(waiter)) {}
  QueuedPiWaiter(QueuedPiWaiter&&) = default;
  QueuedPiWaiter& operator=(QueuedPiWaiter&& other) {
    std::swap(waiter_, other.waiter_);
    return *this;
  }
  ~QueuedPiWaiter() {
    if (waiter_) waiter_->Drop();
  }
  const Ref<PiWaiter>& get() const { return waiter_; }

 private:
  Ref<PiWaiter> waiter_;
};

bool IsShared(const SyscallArgs& args) { return (args.Int(1) & FUTEX_PRIVATE_FLAG) == 0; }

ErrnoOr<FutexKey> KeyOf(Task& task, uint64_t addr, const SyscallArgs& args) {
  return FutexManager::Get().KeyOf(task.mm(), addr, IsShared(args));
}

// An absolute time, where one is given.
ErrnoOr<wait::MonotonicNs> Deadline(Task& task, const SyscallArgs& args, bool realtime) {
  if (args.Addr(3) == 0) return wait::kNever;
  const int64_t time = TRY(CopyInDuration(task, args.Addr(3)));
  return realtime ? DeadlineAtRealtime(time) : time;
}

// What asks after owners keeps them until the locks are left.
struct Owners {
  Task& task;
  Ref<Task> last;

  PiFutexes::Owner StateOf(pid_t tid) {
    last = task.kernel().FindTask(tid);
    if (!last) return PiFutexes::Owner::kNone;
    return last->StateLetter() == 'Z' ? PiFutexes::Owner::kGoes : PiFutexes::Owner::kLives;
  }
  Block UntilGone(wait::MonotonicNs until) const {
    Block block;
    block.on.push_back({Ref<RefCounted>(&last->group()), &last->group().exit_queue, wait::Poll::kIn});
    block.until = until;
    block.at_signal = Restart::kNoIntr;
    return block;
  }
};

Outcome Exchange(uint64_t addr, const PiFutexes::Progress& progress) {
  return task::RunHostOps{{platform::HostOp::CompareExchange(addr, progress.expected, progress.desired)},
                          true};
}

// A wait for the lock to be handed over.
Outcome AwaitGrant(PiWaiter& waiter, wait::MonotonicNs until) {
  const ErrnoOrVoid granted = waiter.TakeGrant();
  if (granted.ok() || granted.error() != Errno::kAgain) return task::ToAnswer(granted);
  Block block;
  block.on.push_back({Ref<RefCounted>(&waiter), &waiter.queue(), wait::Poll::kIn});
  block.until = until;
  block.at_signal = Restart::kNoIntr;
  return block;
}

// FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_TRYLOCK_PI.
struct LockPiCall {
  QueuedPiWaiter waiter;
  uint64_t addr = 0;
  wait::MonotonicNs until = wait::kNever;
  bool try_only = false;
  bool queued = false;
  bool exchanging = false;
  PiFutexes::Progress asked;

  static ErrnoOr<LockPiCall> Begin(Task& task, const SyscallArgs& args) {
    const int command = args.Int(1) & FUTEX_CMD_MASK;
    LockPiCall call;
    call.addr = args.Addr(0);
    call.try_only = command == FUTEX_TRYLOCK_PI;
    const bool realtime = command == FUTEX_LOCK_PI || (args.Int(1) & FUTEX_CLOCK_REALTIME) != 0;
    if (!call.try_only) call.until = TRY(Deadline(task, args, realtime));
    const FutexKey key = TRY(KeyOf(task, call.addr, args));
    call.waiter =
        QueuedPiWaiter(MakeRef<PiWaiter>(Ref<mm::MemoryManager>(&task.mm()), call.addr, key, task.tid()));
    return call;
  }

  Outcome Step(Task& task) {
    if (queued) return AwaitGrant(*waiter.get(), until);
    bool exchanged = false;
    if (std::exchange(exchanging, false)) {
      if (task.ops_result < 0) return Answer(Errno::kFault);
      exchanged = static_cast<uint32_t>(task.ops_result) == asked.expected;
      if (exchanged && asked.takes) return Answer(0);
    }
    Owners owners{task, nullptr};
    const ErrnoOr<PiFutexes::Progress> progress = PiFutexes::Get().Lock(
        *waiter.get(), exchanged, try_only, [&](pid_t tid) { return owners.StateOf(tid); });
    if (!progress.ok()) return Answer(progress.error());
    switch (progress->next) {
      case Next::kDone:
        return Answer(0);
      case Next::kExchange:
        asked = *progress;
        exchanging = true;
        return Exchange(addr, asked);
      case Next::kQueued:
        queued = true;
        return AwaitGrant(*waiter.get(), until);
      case Next::kOwnerIsGoing:
        return owners.UntilGone(until);
    }
    return Answer(Errno::kInval);
  }
};

ErrnoOrVoid UnlockPi(Task& task, const SyscallArgs& args) {
  return PiFutexes::Get().Unlock(task.mm(), args.Addr(0), TRY(KeyOf(task, args.Addr(0), args)), task.tid());
}

// FUTEX_WAIT_REQUEUE_PI: a wait at one word that ends with the lock at another.
struct WaitRequeuePiCall {
  QueuedPiWaiter waiter;
  wait::MonotonicNs until = wait::kNever;

  static ErrnoOr<WaitRequeuePiCall> Begin(Task& task, const SyscallArgs& args) {
    if (args.Addr(0) == args.Addr(4)) return Errno::kInval;
    WaitRequeuePiCall call;
    call.until = TRY(Deadline(task, args, (args.Int(1) & FUTEX_CLOCK_REALTIME) != 0));
    const FutexKey lock = TRY(KeyOf(task, args.Addr(4), args));
    const FutexKey at = TRY(KeyOf(task, args.Addr(0), args));
    if (lock == at) return Errno::kInval;
    call.waiter =
        QueuedPiWaiter(MakeRef<PiWaiter>(Ref<mm::MemoryManager>(&task.mm()), args.Addr(4), lock, task.tid()));
    TRY_VOID(PiFutexes::Get().WaitForRequeue(*call.waiter.get(), args.Addr(0), at, args.Uint(2)));
    return call;
  }

  Outcome Step(Task&) { return AwaitGrant(*waiter.get(), until); }
};

// FUTEX_CMP_REQUEUE_PI.
struct CmpRequeuePiCall {
  uint64_t addr = 0, lock_addr = 0;
  FutexKey from, lock;
  uint32_t expected = 0;
  int most = 0;
  bool exchanging = false;
  PiFutexes::Progress asked;
  Ref<PiWaiter> chosen;

  static ErrnoOr<CmpRequeuePiCall> Begin(Task& task, const SyscallArgs& args) {
    const int more = static_cast<int>(args.Raw(3));
    if (args.Int(2) != 1 || more < 0 || args.Addr(0) == args.Addr(4)) return Errno::kInval;
    CmpRequeuePiCall call;
    call.addr = args.Addr(0);
    call.lock_addr = args.Addr(4);
    call.from = TRY(KeyOf(task, call.addr, args));
    call.lock = TRY(KeyOf(task, call.lock_addr, args));
    if (call.from == call.lock) return Errno::kInval;
    call.expected = args.Uint(5);
    call.most = more == INT32_MAX ? more : more + 1;
    return call;
  }

  Outcome Step(Task& task) {
    bool exchanged = false;
    if (std::exchange(exchanging, false)) {
      if (task.ops_result < 0) return Answer(Errno::kFault);
      exchanged = static_cast<uint32_t>(task.ops_result) == asked.expected;
    }
    Owners owners{task, nullptr};
    const ErrnoOr<PiFutexes::Progress> progress =
        PiFutexes::Get().Requeue({task.mm(), addr, lock_addr, from, lock, expected, most}, exchanged, &chosen,
                                 [&](pid_t tid) { return owners.StateOf(tid); });
    if (!progress.ok()) return Answer(progress.error());
    switch (progress->next) {
      case Next::kExchange:
        asked = *progress;
        exchanging = true;
        return Exchange(lock_addr, asked);
      case Next::kOwnerIsGoing:
        return owners.UntilGone(wait::kNever);
      case Next::kDone:
      case Next::kQueued:
        return Answer(progress->count);
    }
    return Answer(Errno::kInval);
  }
};

}  // namespace

Outcome FutexPi(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>* parked) {
  const int command = args.Int(1) & FUTEX_CMD_MASK;
  const bool takes_clock = command == FUTEX_LOCK_PI2 || command == FUTEX_WAIT_REQUEUE_PI;
  if ((args.Int(1) & FUTEX_CLOCK_REALTIME) && !takes_clock) return Answer(Errno::kNoSys);
  switch (command) {
    case FUTEX_UNLOCK_PI:
      return Plain<UnlockPi>(task, args, parked);
    case FUTEX_WAIT_REQUEUE_PI:
      return Blocking<WaitRequeuePiCall>(task, args, parked);
    case FUTEX_CMP_REQUEUE_PI:
      return Blocking<CmpRequeuePiCall>(task, args, parked);
    default:
      return Blocking<LockPiCall>(task, args, parked);
  }
}

}  // namespace cloister::syscalls
