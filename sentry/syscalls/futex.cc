// futex(2) and robust lists.

#include <linux/futex.h>

#include <utility>
#include <vector>

#include "sentry/ipc/futex_manager.h"
#include "sentry/syscalls/futex_pi.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"

namespace cloister::syscalls {
namespace {

using ipc::FutexKey;
using ipc::FutexManager;
using ipc::FutexWaiter;
using task::Block;
using wait::Restart;

bool IsWait(int op) {
  const int command = op & FUTEX_CMD_MASK;
  return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
}

Outcome SleepOnHost(const platform::HostOp& op, Restart at_signal) {
  Block block;
  block.host_sleep = op;
  block.at_signal = at_signal;
  return block;
}

// Leaves the futex's queue with the call.
class QueuedWaiter {
 public:
  QueuedWaiter() = default;
  explicit QueuedWaiter(Ref<FutexWaiter> waiter) : waiter_(std::move(waiter)) {}
  QueuedWaiter(QueuedWaiter&&) = default;
  QueuedWaiter& operator=(QueuedWaiter&& other) {
    std::swap(waiter_, other.waiter_);
    return *this;
  }
  ~QueuedWaiter() {
    if (waiter_) waiter_->Drop();
  }
  const Ref<FutexWaiter>& get() const { return waiter_; }

 private:
  Ref<FutexWaiter> waiter_;
};

struct FutexCall {
  QueuedWaiter waiter;
  Answer answer = 0;  // where nothing is waited for
  wait::MonotonicNs until = wait::kNever;

  static ErrnoOr<FutexCall> Begin(Task& task, const SyscallArgs& args) {
    const int op = args.Int(1);
    const bool shared = !(op & FUTEX_PRIVATE_FLAG);
    const int command = op & FUTEX_CMD_MASK;
    const bool waits = IsWait(op);
    if ((op & FUTEX_CLOCK_REALTIME) && command != FUTEX_WAIT_BITSET) return Errno::kNoSys;
    FutexCall call;
    if (waits) {
      TRY_VOID(call.BeginWait(task, args, shared));
    } else {
      call.answer = task::ToAnswer(Others(task, args, command, shared));
    }
    return call;
  }

  ErrnoOrVoid BeginWait(Task& task, const SyscallArgs& args, bool shared) {
    const int op = args.Int(1);
    const bool with_bitset = (op & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
    const uint32_t bitset = with_bitset ? args.Uint(5) : FUTEX_BITSET_MATCH_ANY;
    if (bitset == 0) return Errno::kInval;
    if (args.Addr(3) != 0) {
      const int64_t time = TRY(CopyInDuration(task, args.Addr(3)));
      until = !with_bitset                  ? DeadlineAfter(time)
              : (op & FUTEX_CLOCK_REALTIME) ? DeadlineAtRealtime(time)
                                            : time;
    }
    FutexManager& manager = FutexManager::Get();
    const FutexKey key = TRY(manager.KeyOf(task.mm(), args.Addr(0), shared));
    waiter = QueuedWaiter(TRY(manager.Wait(task.mm(), args.Addr(0), key, args.Uint(2), bitset)));
    return {};
  }

  static ErrnoOr<int> Others(Task& task, const SyscallArgs& args, int command, bool shared) {
    FutexManager& manager = FutexManager::Get();
    const FutexKey key = TRY(manager.KeyOf(task.mm(), args.Addr(0), shared));
    const int count = args.Int(2);
    const int second_count = static_cast<int>(args.Raw(3));
    switch (command) {
      case FUTEX_WAKE:
        return manager.Wake(key, count > 0 ? count : 1, FUTEX_BITSET_MATCH_ANY);
      case FUTEX_WAKE_BITSET:
        if (args.Uint(5) == 0) return Errno::kInval;
        return manager.Wake(key, count > 0 ? count : 1, args.Uint(5));
      case FUTEX_REQUEUE:
      case FUTEX_CMP_REQUEUE: {
        if (count < 0 || second_count < 0) return Errno::kInval;
        const FutexKey to = TRY(manager.KeyOf(task.mm(), args.Addr(4), shared));
        const uint32_t expected = args.Uint(5);
        return manager.Requeue(task.mm(), args.Addr(0), key, to, count, second_count,
                               command == FUTEX_CMP_REQUEUE ? &expected : nullptr);
      }
      case FUTEX_WAKE_OP: {
        const FutexKey second = TRY(manager.KeyOf(task.mm(), args.Addr(4), shared));
        return manager.WakeOp(task.mm(), args.Addr(4), key, second, count, second_count, args.Uint(5));
      }
      default:
        task.kernel().CountUnimplemented(args.number());
        return Errno::kNoSys;
    }
  }

  Outcome Step(Task&) {
    if (!waiter.get()) return answer;
    if (waiter.get()->TakeWake()) return Answer(0);
    Block block;
    block.on.push_back({Ref<RefCounted>(waiter.get()), &waiter.get()->queue(), wait::Poll::kIn});
    block.until = until;
    block.at_signal = until == wait::kNever ? Restart::kSys : Restart::kRestartBlock;
    return block;
  }
};

// Where the waiters are the host's: the thread carries out the call itself.
struct NativeFutexCall {
  platform::HostOp op;
  bool waits = false, restarts_block = false;

  static ErrnoOr<NativeFutexCall> Begin(Task& task, const SyscallArgs& args) {
    const int op = args.Int(1);
    NativeFutexCall call;
    if (!IsWait(op)) {
      call.op = {platform::HostOp::Kind::kFutex,
                 {args.Addr(0), args.Raw(1), args.Raw(2), args.Raw(3), args.Addr(4), args.Raw(5)}};
      return call;
    }
    call.waits = true;
    int host_op = op;
    uint32_t bitset = args.Uint(5);
    int64_t until = platform::HostOp::kNoDeadline;
    const bool is_relative = (op & FUTEX_CMD_MASK) == FUTEX_WAIT;
    if (is_relative) {
      if (op & FUTEX_CLOCK_REALTIME) return Errno::kNoSys;
      host_op = (op & ~FUTEX_CMD_MASK) | FUTEX_WAIT_BITSET;
      bitset = FUTEX_BITSET_MATCH_ANY;
    }
    if (args.Addr(3) != 0) {
      const int64_t time = TRY(CopyInDuration(task, args.Addr(3)));
      until = is_relative ? DeadlineAfter(time) : time;
      call.restarts_block = true;
    }
    call.op = platform::HostOp::FutexWait(args.Addr(0), host_op, args.Uint(2), until, bitset);
    return call;
  }

  Outcome Step(Task&) {
    if (!waits) return task::RunHostOps{{op}};
    return SleepOnHost(op, restarts_block ? Restart::kRestartBlock : Restart::kSys);
  }
};

bool HasOwner(int command) {
  switch (command) {
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_TRYLOCK_PI:
    case FUTEX_UNLOCK_PI:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_CMP_REQUEUE_PI:
      return true;
    default:
      return false;
  }
}

bool IsKnown(int command) { return command >= 0 && command <= FUTEX_WAKE_BITSET && command != FUTEX_FD; }

Outcome Futex(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>* parked) {
  const int command = args.Int(1) & FUTEX_CMD_MASK;
  if (HasOwner(command)) return FutexPi(task, args, parked);
  if (task.HasNativeFutexes() && IsKnown(command)) return Blocking<NativeFutexCall>(task, args, parked);
  return Blocking<FutexCall>(task, args, parked);
}

// futex_waitv(2): waits at many words; tells which of them was woken.
struct FutexWaitvCall {
  std::vector<QueuedWaiter> waiters;
  wait::MonotonicNs until = wait::kNever;

  static ErrnoOr<FutexWaitvCall> Begin(Task& task, const SyscallArgs& args) {
    const uint32_t count = args.Uint(1);
    if (args.Uint(2) != 0 || count == 0 || count > FUTEX_WAITV_MAX || args.Addr(0) == 0) return Errno::kInval;
    FutexWaitvCall call;
    if (args.Addr(3) != 0) {
      const int clock = args.Int(4);
      if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME) return Errno::kInval;
      const int64_t time = TRY(CopyInDuration(task, args.Addr(3)));
      call.until = clock == CLOCK_REALTIME ? DeadlineAtRealtime(time) : time;
    }
    const std::vector<futex_waitv> wanted =
        TRY(usermem::CopyInArray(task.space(), args.Ptr<const futex_waitv>(0), count));
    FutexManager& manager = FutexManager::Get();
    std::vector<FutexKey> keys;
    for (const futex_waitv& one : wanted) {
      constexpr uint32_t kKnown = FUTEX_PRIVATE_FLAG | FUTEX_32;
      if ((one.flags & ~kKnown) || !(one.flags & FUTEX_32) || one.__reserved != 0) return Errno::kInval;
      keys.push_back(TRY(manager.KeyOf(task.mm(), one.uaddr, !(one.flags & FUTEX_PRIVATE_FLAG))));
    }
    for (size_t i = 0; i < wanted.size(); ++i) {
      ErrnoOr<Ref<FutexWaiter>> waiter = manager.Wait(
          task.mm(), wanted[i].uaddr, keys[i], static_cast<uint32_t>(wanted[i].val), FUTEX_BITSET_MATCH_ANY);
      if (!waiter.ok() && call.Woken() >= 0) break;  // as Linux: a wake that came first is told
      call.waiters.emplace_back(TRY(std::move(waiter)));
    }
    return call;
  }

  int Woken() const {
    for (size_t i = 0; i < waiters.size(); ++i) {
      if (waiters[i].get()->TakeWake()) return static_cast<int>(i);
    }
    return -1;
  }

  Outcome Step(Task&) {
    if (const int woken = Woken(); woken >= 0) return Answer(woken);
    Block block;
    for (const QueuedWaiter& waiter : waiters)
      block.on.push_back({Ref<RefCounted>(waiter.get()), &waiter.get()->queue(), wait::Poll::kIn});
    block.until = until;
    return block;
  }
};

struct NativeFutexWaitvCall {
  platform::HostOp op;

  static ErrnoOr<NativeFutexWaitvCall> Begin(Task&, const SyscallArgs& args) {
    return NativeFutexWaitvCall{{platform::HostOp::Kind::kFutexWaitv,
                                 {args.Addr(0), args.Raw(1), args.Raw(2), args.Addr(3), args.Raw(4)}}};
  }

  Outcome Step(Task&) { return SleepOnHost(op, Restart::kSys); }
};

Outcome FutexWaitv(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>* parked) {
  return task.HasNativeFutexes() ? Blocking<NativeFutexWaitvCall>(task, args, parked)
                                 : Blocking<FutexWaitvCall>(task, args, parked);
}

ErrnoOr<int> SetRobustList(Task& task, const SyscallArgs& args) {
  if (args.Size(1) != sizeof(robust_list_head)) return Errno::kInval;
  task.robust_list = args.Addr(0);
  return 0;
}

ErrnoOr<int> GetRobustList(Task& task, const SyscallArgs& args) {
  uint64_t head = task.robust_list;
  if (args.Int(0) != 0 && args.Int(0) != task.tid()) {
    const Ref<Task> other = task.kernel().FindTask(args.Int(0));
    if (!other) return Errno::kSrch;
    if (!task.cred()->Has(CAP_SYS_PTRACE)) return Errno::kPerm;
    head = other->GetRobustList();
  }
  TRY_VOID(task.CopyOut(args.Ptr<uint64_t>(1), head));
  TRY_VOID(task.CopyOut(args.Ptr<size_t>(2), sizeof(robust_list_head)));
  return 0;
}

constexpr Entry kEntries[] = {
    {SYS_futex, Futex, Support::kPartial, "PI locks are handed over in order; no priority is inherited"},
    {SYS_futex_waitv, FutexWaitv},
    {SYS_set_robust_list, Plain<SetRobustList>},
    {SYS_get_robust_list, Plain<GetRobustList>},
};

}  // namespace

std::span<const Entry> FutexSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
