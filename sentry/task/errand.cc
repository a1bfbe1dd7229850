#include "sentry/task/errand.h"

#include <asm/prctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "sentry/task/ptrace.h"
#include "sentry/task/task.h"
#include "sentry/wait/parker.h"

namespace cloister::task {
namespace {

using platform::HostOp;

constexpr size_t kMostAtOnce = 64 << 10;
constexpr uint64_t kFpOffset = 64;  // within the scratch memory, behind the two bases

bool IsError(int64_t result) { return result < 0 && result >= -4095; }

// What keeps a page from being read or written by force. Linux: check_vma_flags.
bool MayForce(const mm::Area& area, bool write) { return !write || !area.shared(); }

}  // namespace

ErrnoOrVoid Errands::Send(Task& target, const Ref<Errand>& errand, wait::Block* block) {
  // Other threads of that memory may change it meanwhile: not while its token is taken.
  if (errand->mm->users() > 1) {
    if (!errand->mm->TryTakeOp()) {
      block->on.clear();
      block->on.push_back({Ref<RefCounted>(errand->mm), &errand->mm->op_queue(), wait::Poll::kIn});
      block->killable_only = true;
      return Errno::kAgain;
    }
    errand->holds_op_ = true;
  }
  absl::MutexLock lock(&Kernel::tree_mu());
  if ((target.killed_ && !target.tracee_.ending) || target.errands_closed_) {
    if (std::exchange(errand->holds_op_, false)) errand->mm->ReleaseOp();
    return Errno::kSrch;
  }
  target.errands_.push_back(errand);
  if (target.trace_stopped()) target.tracee_.busy = true;
  target.MarkWorkLocked();
  return {};
}

wait::Block Errands::BlockOn(const Ref<Errand>& errand) {
  wait::Block block;
  block.on.push_back({Ref<RefCounted>(errand), &errand->queue, wait::Poll::kIn});
  block.killable_only = true;
  return block;
}

bool Errands::Begin(Task& task) {
  for (;;) {
    Ref<Errand> errand;
    {
      absl::MutexLock lock(&Kernel::tree_mu());
      if (task.errands_.empty()) {
        task.tracee_.busy = false;
        wait::WakeScope::NotifyLater(Ref<RefCounted>(&task), task.idle_queue_, wait::Poll::kIn);
        task.UpdateWorkPendingLocked();
        return false;
      }
      errand = std::move(task.errands_.front());
      task.errands_.pop_front();
    }
    const ErrnoOrVoid ready = Prepare(task, *errand);
    if (!ready.ok()) {
      Finish(task, errand, ready.error(), true);
      continue;
    }
    task.errand_ = errand;
    if (RunNext(task, *errand)) return true;
    Finish(task, std::exchange(task.errand_, nullptr), Errno(), false);
  }
}

ErrnoOrVoid Errands::Prepare(Task& task, Errand& errand) {
  if (task.mm_.get() != errand.mm.get() || !task.thread_) return Errno::kSrch;
  if (errand.mm->users() > 1 && !errand.holds_op_) return Errno::kAgain;
  switch (errand.kind) {
    case Errand::Kind::kRead:
    case Errand::Kind::kWrite:
      return PrepareAccess(errand);
    case Errand::Kind::kLoadRegisters:
    case Errand::Kind::kStoreFp:
      return PrepareScratch(task, errand);
    case Errand::Kind::kStoreBases:
      errand.before_.push_back(HostOp::ArchPrctl(ARCH_SET_FS, errand.fs_base));
      errand.before_.push_back(HostOp::ArchPrctl(ARCH_SET_GS, errand.gs_base));
      return {};
    case Errand::Kind::kUnpatchCalls:
      errand.before_.push_back(HostOp::UnpatchCalls());
      return {};
  }
  return Errno::kInval;
}

// The pages are opened, and closed again behind the copy. For a private mapping of a file the host makes
// the copy of the page then: copy-on-write.
ErrnoOrVoid Errands::PrepareAccess(Errand& errand) {
  const bool write = errand.kind == Errand::Kind::kWrite;
  const std::optional<mm::Area> area = errand.mm->AreaAt(errand.addr);
  if (!area || !MayForce(*area, write)) return Errno::kIo;
  errand.bytes.resize(std::min<uint64_t>(errand.bytes.size(), area->end - errand.addr));
  const uint64_t start = errand.addr & ~(mm::kPageSize - 1);
  const uint64_t end = (errand.addr + errand.bytes.size() + mm::kPageSize - 1) & ~(mm::kPageSize - 1);
  const int open = area->prot | PROT_READ | (write ? PROT_WRITE : 0);
  errand.before_.push_back(HostOp::Mprotect(start, end - start, open));
  errand.after_.push_back(HostOp::Mprotect(start, end - start, area->prot));
  return {};
}

// Memory of the guest's that is there for the length of the errand alone.
ErrnoOrVoid Errands::PrepareScratch(Task& task, Errand& errand) {
  mm::MemoryManager::MapRequest request;
  request.length = kFpOffset + task.kernel().platform().fp_state_size();
  request.prot = PROT_READ | PROT_WRITE;
  request.flags = MAP_PRIVATE | MAP_ANONYMOUS;
  mm::Plan plan = TRY(errand.mm->Map(request, mm::Limits()));
  const uint64_t scratch = errand.scratch_ = plan.result;
  const bool load = errand.kind == Errand::Kind::kLoadRegisters;
  errand.before_.assign(plan.ops.begin(), plan.ops.end());
  if (load) {
    errand.before_.push_back(HostOp::ArchPrctl(ARCH_GET_FS, scratch));
    errand.before_.push_back(HostOp::ArchPrctl(ARCH_GET_GS, scratch + sizeof(uint64_t)));
    errand.before_.push_back(HostOp::StoreFpState(scratch + kFpOffset));
    errand.bytes.resize(request.length);
  } else {
    errand.after_.push_back(HostOp::LoadFpState(scratch + kFpOffset));
  }
  errand.map_plan_ = std::move(plan);
  return {};
}

void Errands::Copy(Task& task, Errand& errand) {
  errand.copied_ = true;
  usermem::AddressSpace& space = task.space();
  std::vector<std::byte>& bytes = errand.bytes;
  switch (errand.kind) {
    case Errand::Kind::kRead:
      errand.copied = space.Read(errand.addr, bytes);
      break;
    case Errand::Kind::kWrite:
      errand.copied = space.Write(errand.addr, bytes);
      break;
    case Errand::Kind::kLoadRegisters:
      errand.failed = space.Read(errand.scratch_, bytes) != bytes.size();
      std::memcpy(&errand.fs_base, bytes.data(), sizeof errand.fs_base);
      std::memcpy(&errand.gs_base, bytes.data() + sizeof(uint64_t), sizeof errand.gs_base);
      bytes.erase(bytes.begin(), bytes.begin() + kFpOffset);
      break;
    case Errand::Kind::kStoreFp:
      errand.failed = space.Write(errand.scratch_ + kFpOffset, bytes) != bytes.size();
      break;
    case Errand::Kind::kStoreBases:
    case Errand::Kind::kUnpatchCalls:
      break;
  }
  if (!errand.map_plan_) return;
  if (errand.failed) errand.after_.clear();
  const ErrnoOr<mm::Plan> unmap =
      errand.mm->Unmap(errand.scratch_, kFpOffset + task.kernel().platform().fp_state_size());
  if (unmap.ok()) errand.after_.insert(errand.after_.end(), unmap->ops.begin(), unmap->ops.end());
}

// True: operations are under way.
bool Errands::RunNext(Task& task, Errand& errand) {
  if (errand.ops_done_ >= (errand.copied_ ? errand.after_ : errand.before_).size()) {
    if (errand.copied_) return false;
    Copy(task, errand);
    errand.ops_done_ = 0;
    if (errand.after_.empty()) return false;
  }
  const std::vector<HostOp>& ops = errand.copied_ ? errand.after_ : errand.before_;
  task.RunOps(AfterOps::kErrand, std::span(ops).subspan(errand.ops_done_));
  return true;
}

void Errands::OnOpsDone(Task& task, int64_t result, uint32_t ops_run) {
  const Ref<Errand> errand = task.errand_;
  errand->ops_done_ += ops_run;
  if (IsError(result)) {
    if (errand->map_plan_ && !errand->copied_) errand->mm->Failed(*errand->map_plan_, errand->ops_done_);
    Finish(task, std::exchange(task.errand_, nullptr), FromHostErrno(static_cast<int>(-result)), true);
    Continue(task);
    return;
  }
  if (RunNext(task, *errand)) return;
  Finish(task, std::exchange(task.errand_, nullptr), Errno::kIo, errand->failed);
  Continue(task);
}

void Errands::Finish(Task&, const Ref<Errand>& errand, Errno error, bool failed) {
  errand->error = error;
  errand->failed = failed;
  if (std::exchange(errand->holds_op_, false)) errand->mm->ReleaseOp();
  errand->done_.store(true, std::memory_order_release);
  wait::WakeScope::NotifyLater(Ref<RefCounted>(errand), errand->queue, wait::Poll::kIn);
  if (errand->also != nullptr) {
    wait::WakeScope::NotifyLater(errand->also_keep, *errand->also, wait::Poll::kIn | wait::Poll::kOut);
  }
}

// Back to what the task was at.
void Errands::Continue(Task& task) {
  if (Begin(task)) return;
  if (task.after_stop_ != AfterStop::kNothing) {
    Ptrace::OnWake(task);
  } else if (task.call_ != nullptr) {
    task.StepParked();
  } else {
    task.ReturnToGuest();
  }
}

void Errands::AbortAll(Task& task) {
  std::deque<Ref<Errand>> left;
  {
    absl::MutexLock lock(&Kernel::tree_mu());
    task.errands_closed_ = true;
    left.swap(task.errands_);
  }
  if (task.errand_) left.push_back(std::exchange(task.errand_, nullptr));
  for (const Ref<Errand>& errand : left) Finish(task, errand, Errno::kSrch, true);
}

ForcedAccess::ForcedAccess(Ref<Task> target, Ref<mm::MemoryManager> mm, bool write, uint64_t addr,
                           std::vector<std::byte> bytes)
    : target_(std::move(target)), mm_(std::move(mm)), write_(write), addr_(addr), bytes_(std::move(bytes)) {}

// False: no more can be had.
bool ForcedAccess::TakeErrand() {
  const Ref<Errand> errand = std::exchange(errand_, nullptr);
  if (errand->failed) return errand->error == Errno::kAgain;
  if (!write_) std::copy_n(errand->bytes.begin(), errand->copied, bytes_.begin() + done_);
  done_ += errand->copied;
  return errand->copied > 0;
}

// For what stands in the way at the next byte; null: nothing that could be moved.
Ref<Errand> ForcedAccess::NextErrand() const {
  const uint64_t at = addr_ + done_;
  const std::optional<mm::Area> area = mm_->AreaAt(at);
  if (!area || !MayForce(*area, write_)) return nullptr;
  if ((area->prot & (write_ ? PROT_WRITE : PROT_READ)) != 0) return nullptr;  // the host itself refuses it
  auto errand = MakeRef<Errand>(write_ ? Errand::Kind::kWrite : Errand::Kind::kRead, mm_);
  errand->addr = at;
  const size_t size = std::min({bytes_.size() - done_, area->end - at, kMostAtOnce});
  errand->bytes.assign(bytes_.begin() + done_, bytes_.begin() + done_ + size);
  errand->also_keep = also_keep_;
  errand->also = also_;
  return errand;
}

ErrnoOr<size_t> ForcedAccess::Step(wait::Block* block) {
  for (;;) {
    if (errand_) {
      if (!errand_->done()) {
        *block = Errands::BlockOn(errand_);
        return Errno::kAgain;
      }
      if (!TakeErrand()) return done_;
    }
    const std::span rest = std::span(bytes_).subspan(done_);
    if (rest.empty()) return done_;
    const uint64_t at = addr_ + done_;
    const size_t direct = write_ ? mm_->space().Write(at, rest) : mm_->space().Read(at, rest);
    done_ += direct;
    if (direct == rest.size()) return done_;
    const Ref<Errand> errand = NextErrand();
    if (!errand) return done_;
    const ErrnoOrVoid sent = Errands::Send(*target_, errand, block);
    if (!sent.ok() && sent.error() == Errno::kAgain) return Errno::kAgain;
    if (!sent.ok()) return done_;
    errand_ = errand;
  }
}

}  // namespace cloister::task
