#include "platform/systrap/thread.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log/log.h"
#include "platform/systrap/core.h"
#include "platform/systrap/dispatcher.h"

namespace cloister::systrap {
namespace {

constexpr uint32_t kBornBit = 1;
constexpr uint32_t kAnsweredBit = 2;
constexpr uint64_t kUserCs = 0x33;  // asm/segment.h: __USER_CS and __USER_DS
constexpr uint64_t kUserSs = 0x2b;

static_assert(platform::kQuickSignalMask == stub::kQuickSignalMask &&
              platform::kQuickRobustList == stub::kQuickRobustList &&
              platform::kQuickAdvise == stub::kQuickAdvise && platform::kQuickIds == stub::kQuickIds &&
              platform::kQuickFutex == stub::kQuickFutex && platform::kQuickYield == stub::kQuickYield &&
              platform::kQuickTidAddress == stub::kQuickTidAddress &&
              platform::kQuickSetFs == stub::kQuickSetFs && platform::kQuickRseq == stub::kQuickRseq);

// Words of the context page that both sides change.
std::atomic_ref<uint64_t> Quick(uint64_t& word) { return std::atomic_ref<uint64_t>(word); }
std::atomic_ref<uint32_t> Word(uint32_t& word) { return std::atomic_ref<uint32_t>(word); }

// Whether the stub's filter hands the call to the sentry, where the flags are no unusual ones.
bool WillNotify(const stub::Op& op) {
  if (op.nr == SYS_mremap) return op.args[2] > op.args[1];
  return (op.args[3] & MAP_PRIVATE) == 0;
}

// A fresh process has no selectors yet; what else is wrong makes rt_sigreturn fault the guest.
void FillSelectors(platform::Registers* regs) {
  if (regs->cs == 0) regs->cs = kUserCs;
  if (regs->ss == 0) regs->ss = kUserSs;
}

}  // namespace

Thread::Thread(Core* core, Ref<HostProcess> process, uint32_t slot, platform::TrapHandler* handler,
               bool starts_stopped)
    : core_(core),
      process_(std::move(process)),
      slot_(slot),
      context_(process_->space().context(slot)),
      starts_stopped_(starts_stopped),
      state_(starts_stopped ? State::kStopped : State::kRunning),
      birth_(starts_stopped ? 0 : kBornBit),
      memory_(MakeRef<ProgramMemory>(Ref<Space>(&process_->space()))),
      window_(&process_->space(), context_),
      lender_(slot),
      handler_(handler) {
  Quick(context_->quick.calls).store(0);  // the slot's last user has left its own
  Quick(context_->quick.held).store(0);
  context_->self = stub::ContextAddress(slot);
  context_->magic = STUB_MAGIC;
  context_->stack = stub::StackAddress(slot) + stub::kStackBytes;
  context_->token = 0;
  context_->keeps = 0;
  Word(context_->adopted).store(0);
  Word(context_->interrupted).store(0);
  Word(context_->asleep).store(0);
  Word(context_->request).store(stub::kUnwatched);
  std::atomic_ref<int32_t>(context_->host_tid).store(0);
  if (!starts_stopped) core_->turns.GuestRuns();
}

void Thread::GiveQuickState(const platform::QuickState& state) {
  Quick(context_->quick.signal_mask).store(state.signal_mask, std::memory_order_relaxed);
  Quick(context_->quick.robust_list).store(state.robust_list, std::memory_order_relaxed);
  Quick(context_->quick.clear_child_tid).store(state.clear_child_tid, std::memory_order_relaxed);
  Quick(context_->quick.calls).store(state.calls, std::memory_order_release);
}

void Thread::GiveQuickIds(const platform::QuickIds& ids) {
  stub::Quick& quick = context_->quick;
  const std::pair<uint32_t&, uint32_t> words[] = {
      {quick.pid, ids.pid},  {quick.tid, ids.tid},   {quick.parent_pid, ids.parent_pid},
      {quick.uid, ids.uid},  {quick.euid, ids.euid}, {quick.gid, ids.gid},
      {quick.egid, ids.egid}};
  for (const auto& [word, id] : words) Word(word).store(id, std::memory_order_relaxed);
}

bool Thread::HasNativeFutexes() const { return core_->native_futexes; }
bool Thread::ReadsFiles() const { return core_->native_reads; }

bool Thread::SleepsInFutex() const {
  return state_.load(std::memory_order_relaxed) == State::kRunning &&
         Word(context_->asleep).load(std::memory_order_relaxed) != 0;
}

void Thread::WithholdQuickCalls() { Quick(context_->quick.calls).store(0); }

platform::QuickState Thread::TakeQuickState() const {
  platform::QuickState state;
  state.signal_mask = Quick(context_->quick.signal_mask).load(std::memory_order_relaxed);
  state.robust_list = Quick(context_->quick.robust_list).load(std::memory_order_relaxed);
  state.clear_child_tid = Quick(context_->quick.clear_child_tid).load(std::memory_order_relaxed);
  auto refused = Quick(context_->quick.refused_rseq);
  state.refused_rseq = refused.load(std::memory_order_relaxed) != 0;
  if (state.refused_rseq) refused.store(0, std::memory_order_relaxed);
  return state;
}

// Sequentially consistent, as the stub's own order is: it writes the mask, then looks at held.
uint64_t Thread::HoldSignalMask() {
  Quick(context_->quick.held).store(1);
  return Quick(context_->quick.signal_mask).load();
}

void Thread::ReleaseSignalMask() { Quick(context_->quick.held).store(0); }

bool Thread::BeginAnswer() {
  State expected = State::kStopped;
  if (state_.compare_exchange_strong(expected, State::kRunning)) {
    // One that was told to rest is answered like one that has posted.
    posted_ |= long_wait_.End();
    return true;
  }
  if (expected == State::kRunning) LOG(kError, "host thread %d was answered twice", tid_.load());
  return false;
}

// Only what differs: the page's lines are in the other core's cache.
void Thread::WriteRegisters() {
  FillSelectors(&regs_);
  static_assert(sizeof(platform::Registers) % sizeof(uint64_t) == 0);
  constexpr size_t kWords = sizeof(platform::Registers) / sizeof(uint64_t);
  const auto* own = reinterpret_cast<const uint64_t*>(&regs_);
  auto* page = reinterpret_cast<uint64_t*>(&context_->regs);
  for (size_t i = 0; i < kWords; ++i) {
    if (Quick(page[i]).load(std::memory_order_relaxed) != own[i]) {
      Quick(page[i]).store(own[i], std::memory_order_relaxed);
    }
  }
}

// Counted as running already; nobody else can own it before it is answered.
void Thread::WatchNext() {
  leaves_core_ = false;
  if (!Dispatcher::IsWorker()) return;
  const Watch::Verdict verdict = core_->watch.Add(*this);
  if (verdict != Watch::Verdict::kSpin) return;
  leaves_core_ = true;
  Dispatcher::SpinNext();
}

void Thread::FinishAnswer(stub::Answer answer) {
  answer_ = answer;
  if (const uint32_t writes = window_.Publish(); writes != 0) context_->writes = writes;
  const bool born = (birth_.load() & kBornBit) != 0;
  // What is to be checked by a notification is watched from there on.
  const bool notifies =
      (answer == stub::Answer::kClone && clone_expected_) || (answer == stub::Answer::kOps && notifies_);
  if (posted_) Word(context_->request).store(stub::kUnwatched, std::memory_order_relaxed);
  core_->turns.GuestRuns();
  leaves_core_ = false;
  const bool sleeps = answer == stub::Answer::kOps && sleeps_;
  if (born && !notifies && !sleeps && answer != stub::Answer::kExit) WatchNext();
  if ((birth_.fetch_or(kAnsweredBit) & kBornBit) != 0) Deliver();
}

// Before a notification is answered: the thread runs on on this core, as it is waited for; or, where it is
// not, or this worker spins, on the one that it was on.
void Thread::PlaceAnswer() {
  const bool away = leaves_core_ || in_background_ || answer_ == stub::Answer::kExit;
  core_->listener->WakeOnSameCore(!away).IgnoreError();
}

// The stub has said that it sleeps, and its doorbell has come.
void Thread::SendToSleeper() {
  const uint64_t id = sleep_id_.load();
  const auto answer = static_cast<int64_t>(answer_);
  PlaceAnswer();
  sleep_.store(0);
  core_->listener->Send(id, answer);
}

// Nothing of the thread is looked at behind the wake: it runs.
void Thread::WakeRested() {
  sleep_.store(0);
  Word(context_->rested).store(1);
  syscall(SYS_futex, &context_->rested, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

bool Thread::Rest(int64_t parked_before) {
  if (state_.load() != State::kStopped) return false;
  if (long_wait_.since() > parked_before) return true;
  if (long_wait_.Tell()) {
    core_->listener->Send(notif_id_, static_cast<int64_t>(stub::Answer::kRest));
  } else if (uint32_t rang = kRang; sleep_.compare_exchange_strong(rang, kTold)) {
    core_->listener->Send(sleep_id_.load(), static_cast<int64_t>(stub::Answer::kRest));
  }
  return false;
}

void Thread::Deliver() {
  answered_at_ = NowNs();
  if (posted_) {
    std::atomic_ref<int64_t>(context_->answer)
        .store(static_cast<int64_t>(answer_), std::memory_order_relaxed);
    const bool rests = long_wait_.HasLeft();
    const uint32_t before = Word(context_->reply).exchange(stub::kReplied);
    const uint32_t sleep = before == stub::kSleeping ? sleep_.fetch_or(kAnswered) : 0;
    if (rests || (sleep & kTold) != 0) WakeRested();
    if ((sleep & kRang) != 0) SendToSleeper();
  } else {
    PlaceAnswer();
    const bool sent = answer_ == stub::Answer::kOps && lender_.LendAndSend(*core_->listener, notif_id_);
    if (!sent && !core_->listener->Send(notif_id_, static_cast<int64_t>(answer_)) &&
        answer_ == stub::Answer::kClone && child_) {
      core_->housekeeper.PostGone(std::move(child_));  // the thread is dead and will make no child
    }
  }
  // From here on the thread may be anyone's; atomics only.
  if (interrupt_.load()) process_->Interrupt(tid_.load());
}

void Thread::Resume() {
  if (!BeginAnswer()) return;
  WriteRegisters();
  FinishAnswer(stub::Answer::kResume);
}

void Thread::Exit() {
  if (!BeginAnswer()) return;
  if (birth_.load() == 0) process_->Kill();
  const bool has_frame = !posted_ && std::atomic_ref(context_->frame).load() != 0;
  idles_ = has_frame && process_->MayIdle(*this);
  if (idles_ || process_->KeepFirst(*this)) {
    window_.Settle();
    state_.store(State::kStopped);
  } else {
    FinishAnswer(stub::Answer::kExit);
  }
  core_->housekeeper.PostGone(Ref<Thread>(this));
}

void Thread::LeaveAtLast() {
  answer_ = stub::Answer::kExit;
  Deliver();
}

bool Thread::MayStartAfresh() { return process_->IsAlone(*this) && process_->space().HasOnly(slot_); }

void Thread::LeaveMemory() {
  window_.Clear();
  memory_->End();
  memory_ = MakeRef<ProgramMemory>(Ref<Space>(&process_->space()));
}

void Thread::WillWait() {
  window_.Settle();
  habit.Waits();
  if (posted_) Word(context_->wait_long).store(1, std::memory_order_relaxed);
  long_wait_.Begin(NowNs(), !posted_);
  core_->rests.Parked(core_->threads.size());
}

// A thread that has not rung yet looks at `interrupted` before it runs, after the host has written its id.
void Thread::Interrupt() {
  interrupt_.store(true);
  if (state_.load() != State::kRunning) return;
  pid_t tid = tid_.load();
  if (tid == 0 && kind_ == platform::CloneKind::kThread) {
    Word(context_->interrupted).store(1);
    tid = host_tid();
  }
  if (tid != 0) process_->Interrupt(tid);
}

// Before the thread's first doorbell the id is what the page says: one of the process at least.
pid_t Thread::host_tid() const {
  const pid_t bound = tid_.load();
  if (bound != 0 || kind_ != platform::CloneKind::kThread) return bound;
  const pid_t told = std::atomic_ref<int32_t>(context_->host_tid).load();
  return told > 0 && process_->HasThread(told) ? told : 0;
}

stub::Op Thread::Translate(const platform::HostOp& op) {
  using Kind = platform::HostOp::Kind;
  stub::Op out = {stub::OpKind::kCall, 0, {}};
  std::copy(std::begin(op.args), std::end(op.args), out.args);
  switch (op.kind) {
    case Kind::kMmap:
      out.nr = SYS_mmap;
      out.args[4] = op.fd >= 0 ? static_cast<uint64_t>(lender_.NumberFor(op.fd)) : ~0ull;
      break;
    case Kind::kMunmap:
      out.nr = SYS_munmap;
      break;
    case Kind::kMprotect:
      out.nr = SYS_mprotect;
      break;
    case Kind::kMremap:
      out.nr = SYS_mremap;
      break;
    case Kind::kMadvise:
      out.nr = SYS_madvise;
      break;
    case Kind::kArchPrctl:
      out.nr = SYS_arch_prctl;
      break;
    case Kind::kStoreFpState:
      out.kind = stub::OpKind::kStoreFpState;
      break;
    case Kind::kLoadFpState:
      out.kind = stub::OpKind::kLoadFpState;
      break;
    case Kind::kCompareExchange:
      out.kind = stub::OpKind::kCompareExchange;
      break;
    case Kind::kStartAfresh:
      lender_.EndReading();
      out.kind = stub::OpKind::kStartAfresh;
      break;
    case Kind::kUnpatchCalls:
      out.kind = stub::OpKind::kUnpatchCalls;
      break;
    case Kind::kPatchCall:
      out.kind = stub::OpKind::kPatchCall;
      break;
    case Kind::kFutex:
      out.kind = stub::OpKind::kFutex;
      break;
    case Kind::kFutexWaitv:
      out.kind = stub::OpKind::kFutexWaitv;
      break;
    case Kind::kReadFile:
      out.kind = stub::OpKind::kReadFile;
      out.args[0] = static_cast<uint64_t>(lender_.NumberForReading(op.fd, op.args[3]));
      std::copy_n(op.args, 3, out.args + 1);
      break;
  }
  return out;
}

void Thread::RunOps(std::span<const platform::HostOp> ops, platform::AfterOps after) {
  if (!BeginAnswer()) return;
  op_count_ = static_cast<uint32_t>(std::min(ops.size(), kMaxOps));
  expected_.Clear();
  lender_.Begin(std::atomic_ref(context_->keeps).load(std::memory_order_relaxed) == 1);
  notifies_ = sleeps_ = false;
  bool lends = false;
  for (uint32_t i = 0; i < op_count_; ++i) {
    const stub::Op op = Translate(ops[i]);
    context_->ops[i] = op;
    sleeps_ |= op.kind == stub::OpKind::kFutex || op.kind == stub::OpKind::kFutexWaitv;
    if (op.kind != stub::OpKind::kCall || (op.nr != SYS_mmap && op.nr != SYS_mremap)) continue;
    expected_.Add(op);
    notifies_ |= WillNotify(op);
    lends |= ops[i].fd >= 0;
  }
  context_->lends = lends ? 1 : 0;
  fetches_ = posted_ && lender_.HasNew();
  context_->fetch = fetches_ ? 1 : 0;
  pending_ = Pending::kOps;
  report_ = after == platform::AfterOps::kReport;
  context_->op_count = op_count_;
  context_->report = report_ ? 1 : 0;
  WriteRegisters();
  FinishAnswer(stub::Answer::kOps);
}

bool Thread::Adopt(platform::TrapHandler* handler) {
  absl::MutexLock lock(&handler_mu_);
  if (gone_) return false;
  handler_.store(handler);
  return true;
}

void Thread::Gone(int host_status) {
  platform::TrapHandler* handler;
  {
    absl::MutexLock lock(&handler_mu_);
    if (gone_) return;
    gone_ = true;
    handler = handler_.load();
  }
  const Ref<Thread> self(this);
  core_->watch.LetGo(*this);  // its host thread may go on as another one's
  if (state_.exchange(State::kGone) == State::kRunning) core_->turns.GuestStops();
  if (const uint64_t token = token_.load(); token != 0) core_->births.Take(token);
  core_->threads.Remove(tid_.load(), this);
  process_->space().GiveSlot(slot_);
  process_->Remove(this);
  handler->OnGone(*this, host_status);
}

}  // namespace cloister::systrap
