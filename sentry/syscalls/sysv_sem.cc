// System V semaphores: semget, semop, semtimedop, semctl. Linux: ipc/sem.c.

#include <linux/sem.h>

#include <utility>

#include "sentry/ipc/ipc_namespace.h"
#include "sentry/ipc/semaphore_sets.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"

namespace cloister::syscalls {
namespace {

using ipc::Lookup;
using ipc::SemaphoreSets;
using ipc::SemOperation;
using task::Block;

constexpr uint32_t kMostOps = 1 << 20;

SemaphoreSets& SetsOf(Task& task) { return task.ipc().semaphores(); }

// Leaves the set's queue with the call.
class QueuedOperation {
 public:
  QueuedOperation() = default;
  QueuedOperation(SemaphoreSets& sets, Ref<SemOperation> op) : sets_(&sets), op_(std::move(op)) {}
  QueuedOperation(QueuedOperation&&) = default;
  QueuedOperation& operator=(QueuedOperation&& other) {
    std::swap(sets_, other.sets_);
    std::swap(op_, other.op_);
    return *this;
  }
  ~QueuedOperation() {
    if (op_) static_cast<void>(Withdraw());
  }

  const Ref<SemOperation>& op() const { return op_; }
  std::optional<Answer> Result() const { return ToAnswer(sets_->ResultOf(*op_)); }
  std::optional<Answer> Withdraw() { return ToAnswer(sets_->Withdraw(*op_)); }

 private:
  static std::optional<Answer> ToAnswer(const std::optional<ErrnoOrVoid>& result) {
    return result ? std::optional(task::ToAnswer(*result)) : std::nullopt;
  }

  Ref<SemaphoreSets> sets_;
  Ref<SemOperation> op_;
};

struct SemtimedopCall {
  QueuedOperation queued;
  wait::MonotonicNs until = wait::kNever;

  static ErrnoOr<SemtimedopCall> Begin(Task& task, const SyscallArgs& args) {
    const bool timed = args.number() == SYS_semtimedop && args.Addr(3) != 0;
    timespec timeout = {};
    if (timed) timeout = TRY(task.CopyIn(args.Ptr<const timespec>(3)));
    SemaphoreSets& sets = SetsOf(task);
    const uint32_t count = args.Uint(2);
    if (count > static_cast<uint32_t>(sets.limits().ops)) return Errno::k2Big;
    if (count == 0) return Errno::kInval;
    if (count > kMostOps) return Errno::kNoMem;  // whatever the guest's root has set
    std::vector<sembuf> ops = TRY(usermem::CopyInArray(task.space(), args.Ptr<const sembuf>(1), count));
    SemtimedopCall call;
    if (args.Int(0) < 0) return Errno::kInval;
    if (timed) call.until = DeadlineAfter(TRY(DurationOf(timeout)));
    Ref<SemOperation> op =
        TRY(sets.Begin(args.Int(0), std::move(ops), task.pid(), task.sem_undo(), *task.cred()));
    call.queued = QueuedOperation(sets, std::move(op));
    return call;
  }

  Outcome Step(Task&) {
    if (const std::optional<Answer> answer = queued.Result()) return *answer;
    Block block;
    block.on.push_back({Ref<RefCounted>(queued.op()), &queued.op()->queue(), wait::Poll::kIn});
    block.until = until;
    block.at_deadline = Errno::kAgain;
    block.at_signal = Errno::kIntr;  // signal(7): never restarted
    return block;
  }

  std::optional<Answer> Withdraw(Task&) { return queued.Withdraw(); }
};

ErrnoOr<int> Semget(Task& task, const SyscallArgs& args) {
  return SetsOf(task).Get(args.Int(0), args.Int(1), args.Int(2), *task.cred());
}

ErrnoOr<int> SemStat(Task& task, const SyscallArgs& args, Lookup how) {
  const auto found = TRY(SetsOf(task).Describe(args.Int(0), how, *task.cred()));
  TRY_VOID(task.CopyOut(args.Ptr<semid64_ds>(3), found.status));
  return how == Lookup::kById ? 0 : found.id;
}

ErrnoOr<int> SemInfo(Task& task, const SyscallArgs& args, bool usage) {
  seminfo info = {};
  const int highest = SetsOf(task).Info(usage, &info);
  TRY_VOID(task.CopyOut(args.Ptr<seminfo>(3), info));
  return highest;
}

ErrnoOr<int> GetAll(Task& task, const SyscallArgs& args) {
  const std::vector<uint16_t> values = TRY(SetsOf(task).Values(args.Int(0), *task.cred()));
  TRY_VOID(usermem::CopyOutArray(task.space(), args.Ptr<uint16_t>(3), std::span<const uint16_t>(values)));
  return 0;
}

ErrnoOr<int> SetAll(Task& task, const SyscallArgs& args) {
  SemaphoreSets& sets = SetsOf(task);
  const size_t count = TRY(sets.CountForSet(args.Int(0), *task.cred()));
  const std::vector<uint16_t> values =
      TRY(usermem::CopyInArray(task.space(), args.Ptr<const uint16_t>(3), count));
  TRY_VOID(sets.SetValues(args.Int(0), values, task.pid(), *task.cred()));
  return 0;
}

ErrnoOr<int> Semctl(Task& task, const SyscallArgs& args) {
  SemaphoreSets& sets = SetsOf(task);
  const auth::Credentials& cred = *task.cred();
  const int id = args.Int(0);
  if (id < 0) return Errno::kInval;
  switch (const int command = args.Int(2)) {
    case IPC_INFO:
    case SEM_INFO:
      return SemInfo(task, args, command == SEM_INFO);
    case IPC_STAT:
      return SemStat(task, args, Lookup::kById);
    case SEM_STAT:
      return SemStat(task, args, Lookup::kByIndex);
    case SEM_STAT_ANY:
      return SemStat(task, args, Lookup::kByIndexAny);
    case GETALL:
      return GetAll(task, args);
    case SETALL:
      return SetAll(task, args);
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
      return sets.Ask(id, args.Int(1), command, cred);
    case SETVAL:
      TRY_VOID(sets.SetValue(id, args.Int(1), static_cast<int>(args.Raw(3)), task.pid(), cred));
      return 0;
    case IPC_SET:
      TRY_VOID(sets.Change(id, TRY(task.CopyIn(args.Ptr<const semid64_ds>(3))), cred));
      return 0;
    case IPC_RMID:
      TRY_VOID(sets.Remove(id, cred));
      return 0;
    default:
      return Errno::kInval;
  }
}

constexpr Entry kEntries[] = {
    {SYS_semget, Plain<Semget>},
    {SYS_semop, Blocking<SemtimedopCall>},
    {SYS_semtimedop, Blocking<SemtimedopCall>},
    {SYS_semctl, Plain<Semctl>},
};

}  // namespace

std::span<const Entry> SemaphoreSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
