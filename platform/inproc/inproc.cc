#include "platform/inproc/inproc.h"

#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace cloister::inproc {

using platform::AfterOps;
using platform::HostOp;

namespace {

constexpr size_t kFpBytes = 576 + 4;  // legacy area, XSAVE header, trailing magic
constexpr size_t kFpSize = (kFpBytes + 63) / 64 * 64;

bool Failed(int64_t result) { return result < 0 && result >= -4095; }

// The initial state of a processor, with the kernel's marks of an extended frame.
std::vector<std::byte> InitialFpState() {
  constexpr uint16_t kControl = 0x37f;
  constexpr uint32_t kMxcsr = 0x1f80, kMagic1 = 0x46505853, kMagic2 = 0x46505845;
  constexpr uint32_t kExtended = kFpBytes, kXstate = 576;
  constexpr uint64_t kX87AndSse = 3;
  std::vector<std::byte> state(kFpSize);
  const auto put = [&state](size_t at, const auto& value) {
    memcpy(state.data() + at, &value, sizeof(value));
  };
  put(0, kControl);
  put(24, kMxcsr);
  put(464, kMagic1);
  put(468, kExtended);
  put(472, kX87AndSse);
  put(480, kXstate);
  put(576, kMagic2);
  return state;
}

}  // namespace

// A host process that is not there: threads on one memory that end together.
struct Process : public RefCounted {
  Ref<Space> space;
  pid_t id = 0;
  std::vector<Thread*> threads;  // not gone: the platform holds them; under its lock
};

Thread::Thread(Inproc& platform, Ref<Process> process, platform::TrapHandler* handler, pid_t id)
    : platform_(platform), process_(std::move(process)), handler_(handler), id_(id), fp_(InitialFpState()) {}

Thread::~Thread() = default;

Space& Thread::space() const { return *process_->space; }
pid_t Thread::host_pid() const { return process_->id; }

Thread::State Thread::state() const {
  absl::MutexLock lock(&platform_.mu_);
  return state_;
}

uint64_t Thread::resumes() const {
  absl::MutexLock lock(&platform_.mu_);
  return resumes_;
}

std::vector<HostOp> Thread::ops() const {
  absl::MutexLock lock(&platform_.mu_);
  return ops_;
}

std::optional<int64_t> Thread::Syscall(uint64_t number, std::initializer_list<uint64_t> args) {
  uint64_t six[6] = {};
  std::copy_n(args.begin(), std::min<size_t>(args.size(), 6), six);
  regs_.orig_rax = number;
  regs_.rax = static_cast<uint64_t>(-ENOSYS);
  regs_.rdi = six[0];
  regs_.rsi = six[1];
  regs_.rdx = six[2];
  regs_.r10 = six[3];
  regs_.r8 = six[4];
  regs_.r9 = six[5];
  Trap({.kind = platform::Trap::Kind::kSyscall});
  absl::MutexLock lock(&platform_.mu_);
  if (state_ != State::kRunning) return std::nullopt;
  return static_cast<int64_t>(regs_.rax);
}

void Thread::Fault(const platform::Fault& fault) {
  regs_.orig_rax = ~uint64_t{0};
  Trap({.kind = platform::Trap::Kind::kFault, .fault = fault});
}

void Thread::Trap(const platform::Trap& trap) {
  const Ref<Thread> self(this);
  {
    absl::MutexLock lock(&platform_.mu_);
    if (state_ != State::kRunning) return;
    state_ = State::kStopped;
    platform_.PostLocked({.thread = self, .trap = trap});
  }
  platform_.Drain(this);
}

void Thread::Resume() {
  absl::MutexLock lock(&platform_.mu_);
  ++resumes_;
  if (state_ != State::kStopped) return;
  if (std::exchange(interrupt_pending_, false)) {
    platform_.PostLocked({.thread = Ref<Thread>(this), .trap = {.kind = platform::Trap::Kind::kInterrupt}});
    return;
  }
  state_ = State::kRunning;
}

int64_t Thread::RunOne(const HostOp& op) {
  const uint64_t addr = op.kind == HostOp::Kind::kArchPrctl ? op.args[1] : op.args[0];
  if (op.kind == HostOp::Kind::kStoreFpState) return space().Write(addr, fp_) == fp_.size() ? 0 : -EFAULT;
  if (op.kind == HostOp::Kind::kLoadFpState) return space().Read(addr, fp_) == fp_.size() ? 0 : -EFAULT;
  if (op.kind != HostOp::Kind::kArchPrctl) return space().Run(op);
  const bool fs = op.args[0] == ARCH_SET_FS || op.args[0] == ARCH_GET_FS;
  unsigned long long& base = fs ? regs_.fs_base : regs_.gs_base;
  if (op.args[0] == ARCH_SET_FS || op.args[0] == ARCH_SET_GS) {
    base = addr;
    return 0;
  }
  if (op.args[0] != ARCH_GET_FS && op.args[0] != ARCH_GET_GS) return -EINVAL;
  const auto bytes = std::as_bytes(std::span(&base, 1));
  return space().Write(addr, bytes) == bytes.size() ? 0 : -EFAULT;
}

void Thread::RunOps(std::span<const HostOp> ops, AfterOps after) {
  platform::Trap done = {.kind = platform::Trap::Kind::kOpsDone};
  for (const HostOp& op : ops.first(std::min(ops.size(), kMaxOps))) {
    done.result = RunOne(op);
    ++done.ops_run;
    if (Failed(done.result)) break;
  }
  const bool report = after == AfterOps::kReport || Failed(done.result);
  {
    absl::MutexLock lock(&platform_.mu_);
    ops_.insert(ops_.end(), ops.begin(), ops.begin() + done.ops_run);
    if (state_ == State::kStopped && report)
      platform_.PostLocked({.thread = Ref<Thread>(this), .trap = done});
  }
  if (!report) Resume();
}

ErrnoOr<Ref<platform::GuestThread>> Thread::Clone(const platform::CloneRequest& request) {
  Ref<Process> process = process_;
  if (request.kind != platform::CloneKind::kThread) {
    process = MakeRef<Process>();
    process->space = request.kind == platform::CloneKind::kFork ? space().Fork() : process_->space;
  }
  Ref<Thread> child;
  {
    absl::MutexLock lock(&platform_.mu_);
    const pid_t id = ++platform_.last_id_;
    if (process->id == 0) process->id = id;
    child = MakeRef<Thread>(platform_, process, request.child_handler, id);
    process->threads.push_back(child.get());
    platform_.live_.push_back(child);
  }
  child->regs_ = request.child_regs;
  child->regs_.fs_base = request.set_tls ? request.tls : regs_.fs_base;
  child->regs_.gs_base = regs_.gs_base;
  child->fp_ = fp_;
  request.child_handler->OnBorn(*child);
  const platform::Trap done = {.kind = platform::Trap::Kind::kOpsDone};
  {
    absl::MutexLock lock(&platform_.mu_);
    if (request.stop_child) {
      platform_.PostLocked({.thread = child, .trap = done});
    } else if (child->state_ == State::kStopped) {
      child->state_ = State::kRunning;
    }
    if (request.after == AfterOps::kReport && state_ == State::kStopped) {
      platform_.PostLocked({.thread = Ref<Thread>(this), .trap = done});
    }
  }
  if (request.after == AfterOps::kResume) Resume();
  return Ref<platform::GuestThread>(std::move(child));
}

void Thread::Exit() {
  absl::MutexLock lock(&platform_.mu_);
  platform_.EndLocked(*this, 0);
}

void Thread::Interrupt() {
  absl::MutexLock lock(&platform_.mu_);
  if (state_ == State::kStopped) interrupt_pending_ = true;
  if (state_ != State::kRunning) return;
  state_ = State::kStopped;
  platform_.PostLocked({.thread = Ref<Thread>(this), .trap = {.kind = platform::Trap::Kind::kInterrupt}});
}

void Thread::KillProcess() {
  absl::MutexLock lock(&platform_.mu_);
  const std::vector<Thread*> threads = process_->threads;
  for (Thread* thread : threads) platform_.EndLocked(*thread, SIGKILL);
}

Inproc::~Inproc() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (worker_.joinable()) worker_.join();
}

absl::Status Inproc::Start() {
  worker_ = std::thread([this] { Work(); });
  return absl::OkStatus();
}

void Inproc::Work() {
  absl::MutexLock lock(&mu_);
  const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !events_.empty(); };
  while (true) {
    mu_.Await(absl::Condition(&has_work));
    if (stopping_) return;
    DeliverFirst();
  }
}

ErrnoOr<Ref<platform::GuestThread>> Inproc::NewProcess(platform::TrapHandler* handler) {
  Ref<Process> process = MakeRef<Process>();
  process->space = MakeRef<Space>();
  absl::MutexLock lock(&mu_);
  process->id = ++last_id_;
  Ref<Thread> thread = MakeRef<Thread>(*this, process, handler, process->id);
  process->threads.push_back(thread.get());
  live_.push_back(thread);
  return Ref<platform::GuestThread>(std::move(thread));
}

std::vector<Ref<Thread>> Inproc::Threads() {
  absl::MutexLock lock(&mu_);
  return live_;
}

size_t Inproc::fp_state_size() const { return kFpSize; }

void Inproc::PostLocked(Event event) {
  ++event.thread->events_;
  events_.push_back(std::move(event));
}

void Inproc::EndLocked(Thread& thread, int signo) {
  if (thread.state_ == Thread::State::kGone) return;
  thread.state_ = Thread::State::kGone;
  const Ref<Thread> self(&thread);
  std::vector<Thread*>& threads = thread.process_->threads;
  threads.erase(std::find(threads.begin(), threads.end(), &thread));
  live_.erase(std::find(live_.begin(), live_.end(), self));
  // The trap that it had queued is not told any more.
  for (auto it = events_.begin(); it != events_.end();) {
    const bool stale = it->thread == self && !it->gone;
    if (stale) --thread.events_;
    it = stale ? events_.erase(it) : it + 1;
  }
  PostLocked({.thread = self, .gone = true, .host_status = threads.empty() ? signo : 0});
}

void Inproc::DeliverFirst() {
  Event event = std::move(events_.front());
  events_.pop_front();
  mu_.Unlock();
  if (event.gone) {
    event.thread->handler_->OnGone(*event.thread, event.host_status);
  } else {
    event.thread->handler_->OnTrap(*event.thread, event.trap);
  }
  mu_.Lock();
  --event.thread->events_;
}

void Inproc::Drain(Thread* own) {
  const Ref<Thread> keep(own);
  const auto settled = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !events_.empty() || own == nullptr || own->events_ == 0;
  };
  absl::MutexLock lock(&mu_);
  while (true) {
    mu_.Await(absl::Condition(&settled));
    if (events_.empty()) return;
    DeliverFirst();
  }
}

}  // namespace cloister::inproc
