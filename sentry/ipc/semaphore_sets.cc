#include "sentry/ipc/semaphore_sets.h"

#include <algorithm>

#include "sentry/wait/poll.h"

namespace cloister::ipc {
namespace {

constexpr int kMostInSet = 1 << 20;  // whatever the guest's root has set

semid64_ds StatusOf(const SemaphoreSet& set) {
  semid64_ds status = {};
  status.sem_perm = set.Describe();
  status.sem_otime = set.operation_time;
  status.sem_ctime = set.change_time;
  status.sem_nsems = set.semaphores.size();
  return status;
}

bool Alters(const std::vector<sembuf>& ops) {
  return std::any_of(ops.begin(), ops.end(), [](const sembuf& op) { return op.sem_op != 0; });
}

}  // namespace

class SemaphoreSets::Done {
 public:
  Done() = default;
  Done(const Done&) = delete;
  Done& operator=(const Done&) = delete;
  ~Done() {
    for (const Ref<SemOperation>& op : ops_) op->queue().Notify(wait::Poll::kIn);
  }
  void Add(Ref<SemOperation> op) { ops_.push_back(std::move(op)); }

 private:
  absl::InlinedVector<Ref<SemOperation>, 4> ops_;
};

SemOperation::SemOperation(std::vector<sembuf> ops, pid_t pid, SemUndoList* undo)
    : ops_(std::move(ops)), pid_(pid), undo_(undo), alters_(Alters(ops_)) {}

SemaphoreSets::Limits SemaphoreSets::limits() const {
  absl::MutexLock lock(&mu_);
  return limits_;
}

void SemaphoreSets::SetLimits(const Limits& limits) {
  absl::MutexLock lock(&mu_);
  limits_ = limits;
}

ErrnoOr<int> SemaphoreSets::Get(key_t key, int count, int flags, const auth::Credentials& cred) {
  absl::MutexLock lock(&mu_);
  if (count < 0 || count > limits_.per_set) return Errno::kInval;
  const auto check = [&](const SemaphoreSet& set) {
    return static_cast<size_t>(count) > set.semaphores.size() ? ErrnoOrVoid(Errno::kInval) : Ok();
  };
  return GetOrMake(table_, key, flags, cred, check, [&] {
    mu_.AssertHeld();
    return MakeLocked(key, count, flags, cred);
  });
}

// Linux: newary.
ErrnoOr<int> SemaphoreSets::MakeLocked(key_t key, int count, int flags, const auth::Credentials& cred) {
  if (count == 0) return Errno::kInval;
  if (count > kMostInSet) return Errno::kNoMem;
  if (semaphores_ + count > limits_.all || table_.in_use() >= limits_.sets) return Errno::kNoSpc;
  Ref<SemaphoreSet> set = MakeRef<SemaphoreSet>(key, flags, cred);
  set->semaphores.resize(static_cast<size_t>(count));
  set->change_time = NowSeconds();
  const int id = TRY(table_.Add(std::move(set), limits_.sets));
  semaphores_ += count;
  return id;
}

ErrnoOr<SemaphoreSet*> SemaphoreSets::FindLocked(int id, int access, const auth::Credentials& cred) const {
  SemaphoreSet* const set = table_.Find(id);
  if (set == nullptr) return Errno::kInval;
  TRY_VOID(set->CheckAccess(cred, access));
  return set;
}

ErrnoOr<Ref<SemOperation>> SemaphoreSets::Begin(int id, std::vector<sembuf> ops, pid_t pid, SemUndoList& undo,
                                                const auth::Credentials& cred) {
  const bool undoes =
      std::any_of(ops.begin(), ops.end(), [](const sembuf& op) { return op.sem_flg & SEM_UNDO; });
  if (undoes) undo.SetTable(*this);
  Ref<SemOperation> op = MakeRef<SemOperation>(std::move(ops), pid, undoes ? &undo : nullptr);
  Done done;
  absl::MutexLock lock(&mu_);
  SemaphoreSet* const set = table_.Find(id);
  if (set == nullptr) return Errno::kInval;
  for (const sembuf& each : op->ops_) {
    if (each.sem_num >= set->semaphores.size()) return Errno::kFBig;
  }
  TRY_VOID(set->CheckAccess(cred, op->alters_ ? 0222 : 0444));
  if (undoes) {
    set->undo[&undo].resize(set->semaphores.size());
    undo.sets_.insert(id);
  }
  if (TRY(TryLocked(*set, *op))) {
    op->result_ = Ok();
    set->operation_time = NowSeconds();
    if (op->alters_) UpdateLocked(*set, &done);
    return op;
  }
  op->set_ = Ref<SemaphoreSet>(set);
  SemaphoreSet::Waiting& waiting = set->ListFor(*op);
  op->place_ = waiting.insert(waiting.end(), op);
  return op;
}

// Linux: perform_atomic_semop_slow.
ErrnoOr<bool> SemaphoreSets::TryLocked(SemaphoreSet& set, SemOperation& op) {
  constexpr int kLargest = SEMVMX;
  std::vector<int16_t>* const undo = op.undo_ != nullptr ? &set.undo[op.undo_] : nullptr;
  size_t applied = 0;
  ErrnoOr<bool> outcome = true;
  for (; applied < op.ops_.size(); ++applied) {
    const sembuf& each = op.ops_[applied];
    SemaphoreSet::Semaphore& semaphore = set.semaphores[each.sem_num];
    const int value = semaphore.value + each.sem_op;
    if ((each.sem_op == 0 && value != 0) || value < 0) {
      op.blocking_ = applied;
      outcome = each.sem_flg & IPC_NOWAIT ? ErrnoOr<bool>(Errno::kAgain) : ErrnoOr<bool>(false);
      break;
    }
    if (value > kLargest) {
      outcome = Errno::kRange;
      break;
    }
    if (each.sem_flg & SEM_UNDO) {
      const int back = (*undo)[each.sem_num] - each.sem_op;
      if (back < -SEMAEM - 1 || back > SEMAEM) {
        outcome = Errno::kRange;
        break;
      }
      (*undo)[each.sem_num] = static_cast<int16_t>(back);
    }
    semaphore.value = value;
  }
  if (applied == op.ops_.size()) {
    for (const sembuf& each : op.ops_) set.semaphores[each.sem_num].pid = op.pid_;
    return true;
  }
  while (applied-- > 0) {
    const sembuf& each = op.ops_[applied];
    set.semaphores[each.sem_num].value -= each.sem_op;
    if (each.sem_flg & SEM_UNDO)
      (*undo)[each.sem_num] = static_cast<int16_t>((*undo)[each.sem_num] + each.sem_op);
  }
  return outcome;
}

void SemaphoreSets::FinishLocked(SemaphoreSet& set, SemOperation& op, ErrnoOrVoid result, Done* done) {
  Ref<SemOperation> finished(&op);
  set.ListFor(op).erase(op.place_);
  op.set_.reset();
  op.result_ = result;
  done->Add(std::move(finished));
}

bool SemaphoreSets::UpdateConstantLocked(SemaphoreSet& set, Done* done) {
  bool any = false;
  for (auto next = set.constant.begin(); next != set.constant.end();) {
    SemOperation& op = **next++;
    const ErrnoOr<bool> tried = TryLocked(set, op);
    if (tried.ok() && !*tried) continue;
    any |= tried.ok();
    FinishLocked(set, op, tried.ok() ? Ok() : tried.error(), done);
  }
  return any;
}

// Linux: do_smart_update. Whoever waits for a value of zero is served before it rises again.
bool SemaphoreSets::UpdateLocked(SemaphoreSet& set, Done* done) {
  const Ref<SemaphoreSet> keep(&set);
  bool any = UpdateConstantLocked(set, done);
  for (auto next = set.altering.begin(); next != set.altering.end();) {
    SemOperation& op = **next++;
    const ErrnoOr<bool> tried = TryLocked(set, op);
    if (tried.ok() && !*tried) continue;
    FinishLocked(set, op, tried.ok() ? Ok() : tried.error(), done);
    if (!tried.ok()) continue;
    any = true;
    UpdateConstantLocked(set, done);
    next = set.altering.begin();  // the change may help one that came earlier
  }
  if (any) set.operation_time = NowSeconds();
  return any;
}

std::optional<ErrnoOrVoid> SemaphoreSets::ResultOf(const SemOperation& op) const {
  absl::MutexLock lock(&mu_);
  return op.result_;
}

std::optional<ErrnoOrVoid> SemaphoreSets::Withdraw(SemOperation& op) {
  Ref<SemaphoreSet> set;
  const Ref<SemOperation> keep(&op);
  absl::MutexLock lock(&mu_);
  if (op.result_ || !op.set_) return op.result_;
  set = std::move(op.set_);
  set->ListFor(op).erase(op.place_);
  return std::nullopt;
}

ErrnoOr<Described<semid64_ds>> SemaphoreSets::Describe(int id, Lookup how,
                                                       const auth::Credentials& cred) const {
  absl::MutexLock lock(&mu_);
  const SemaphoreSet* const set = TRY(table_.Inspect(id, how, cred));
  return Described<semid64_ds>{set->id, StatusOf(*set)};
}

ErrnoOrVoid SemaphoreSets::Change(int id, const semid64_ds& wanted, const auth::Credentials& cred) {
  absl::MutexLock lock(&mu_);
  SemaphoreSet* const set = TRY(table_.FindToControl(id, cred));
  TRY_VOID(set->SetOwner(wanted.sem_perm));
  set->change_time = NowSeconds();
  return {};
}

ErrnoOrVoid SemaphoreSets::Remove(int id, const auth::Credentials& cred) {
  Ref<SemaphoreSet> gone;
  Done done;
  absl::MutexLock lock(&mu_);
  SemaphoreSet* const set = TRY(table_.FindToControl(id, cred));
  for (const auto& [undo, amounts] : set->undo) undo->sets_.erase(id);
  set->undo.clear();
  semaphores_ -= static_cast<int64_t>(set->semaphores.size());
  gone = table_.Remove(*set);
  while (!set->constant.empty()) FinishLocked(*set, *set->constant.front(), Errno::kIdRm, &done);
  while (!set->altering.empty()) FinishLocked(*set, *set->altering.front(), Errno::kIdRm, &done);
  return {};
}

ErrnoOr<std::vector<uint16_t>> SemaphoreSets::Values(int id, const auth::Credentials& cred) const {
  absl::MutexLock lock(&mu_);
  const SemaphoreSet* const set = TRY(FindLocked(id, 0444, cred));
  std::vector<uint16_t> values;
  values.reserve(set->semaphores.size());
  for (const SemaphoreSet::Semaphore& semaphore : set->semaphores)
    values.push_back(static_cast<uint16_t>(semaphore.value));
  return values;
}

ErrnoOr<size_t> SemaphoreSets::CountForSet(int id, const auth::Credentials& cred) const {
  absl::MutexLock lock(&mu_);
  return TRY(FindLocked(id, 0222, cred))->semaphores.size();
}

void SemaphoreSets::ForgetUndoLocked(SemaphoreSet& set) {
  for (auto& [undo, amounts] : set.undo) std::fill(amounts.begin(), amounts.end(), int16_t{0});
}

ErrnoOrVoid SemaphoreSets::SetValues(int id, std::span<const uint16_t> values, pid_t pid,
                                     const auth::Credentials& cred) {
  if (std::any_of(values.begin(), values.end(), [](uint16_t value) { return value > SEMVMX; }))
    return Errno::kRange;
  Done done;
  absl::MutexLock lock(&mu_);
  SemaphoreSet* const set = TRY(FindLocked(id, 0222, cred));
  if (values.size() != set->semaphores.size()) return Errno::kIdRm;  // another set has the number by now
  for (size_t i = 0; i < values.size(); ++i) set->semaphores[i] = {values[i], pid};
  ForgetUndoLocked(*set);
  set->change_time = NowSeconds();
  UpdateLocked(*set, &done);
  return {};
}

ErrnoOrVoid SemaphoreSets::SetValue(int id, int index, int value, pid_t pid, const auth::Credentials& cred) {
  if (value < 0 || value > SEMVMX) return Errno::kRange;
  Done done;
  absl::MutexLock lock(&mu_);
  SemaphoreSet* const set = table_.Find(id);
  if (set == nullptr || index < 0 || static_cast<size_t>(index) >= set->semaphores.size())
    return Errno::kInval;
  TRY_VOID(set->CheckAccess(cred, 0222));
  set->semaphores[static_cast<size_t>(index)] = {value, pid};
  for (auto& [undo, amounts] : set->undo) amounts[static_cast<size_t>(index)] = 0;
  set->change_time = NowSeconds();
  UpdateLocked(*set, &done);
  return {};
}

ErrnoOr<int> SemaphoreSets::Ask(int id, int index, int what, const auth::Credentials& cred) const {
  absl::MutexLock lock(&mu_);
  const SemaphoreSet* const set = TRY(FindLocked(id, 0444, cred));
  if (index < 0 || static_cast<size_t>(index) >= set->semaphores.size()) return Errno::kInval;
  const SemaphoreSet::Semaphore& semaphore = set->semaphores[static_cast<size_t>(index)];
  const auto waiting = [&](const SemaphoreSet::Waiting& list, bool for_zero) {
    return std::count_if(list.begin(), list.end(), [&](const Ref<SemOperation>& op) {
      const sembuf& blocking = op->ops_[op->blocking_];
      return blocking.sem_num == index && (for_zero ? blocking.sem_op == 0 : blocking.sem_op < 0);
    });
  };
  switch (what) {
    case GETVAL:
      return semaphore.value;
    case GETPID:
      return semaphore.pid;
    case GETNCNT:
      return static_cast<int>(waiting(set->altering, false));
    default:
      return static_cast<int>(waiting(set->altering, true) + waiting(set->constant, true));
  }
}

int SemaphoreSets::Info(bool usage, seminfo* info) const {
  absl::MutexLock lock(&mu_);
  info->semmni = limits_.sets;
  info->semmns = limits_.all;
  info->semmsl = limits_.per_set;
  info->semopm = limits_.ops;
  info->semvmx = SEMVMX;
  info->semmnu = SEMMNU;
  info->semmap = SEMMAP;
  info->semume = SEMUME;
  info->semusz = usage ? table_.in_use() : SEMUSZ;
  info->semaem = usage ? static_cast<int>(semaphores_) : SEMAEM;
  return table_.highest_index();
}

std::vector<Described<semid64_ds>> SemaphoreSets::List() const {
  std::vector<Described<semid64_ds>> listed;
  absl::MutexLock lock(&mu_);
  table_.Visit([&](const SemaphoreSet& set) { listed.push_back({set.id, StatusOf(set)}); });
  return listed;
}

// Linux: exit_sem. Here values are clipped, where semop(2) would wait or refuse.
void SemaphoreSets::TakeBack(SemUndoList& undo, pid_t pid) {
  Done done;
  absl::MutexLock lock(&mu_);
  for (const int id : std::exchange(undo.sets_, {})) {
    SemaphoreSet& set = *table_.Find(id);  // Remove has cleared the others
    const std::vector<int16_t> amounts = std::move(set.undo.extract(&undo).mapped());
    for (size_t i = 0; i < amounts.size(); ++i) {
      if (amounts[i] == 0) continue;
      SemaphoreSet::Semaphore& semaphore = set.semaphores[i];
      semaphore = {std::clamp(semaphore.value + amounts[i], 0, int{SEMVMX}), pid};
    }
    UpdateLocked(set, &done);
    set.operation_time = NowSeconds();
  }
}

}  // namespace cloister::ipc
