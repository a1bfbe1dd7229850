// Operations on the thread's own process.

#include <asm/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>

#include "platform/ptrace/fp_state.h"
#include "platform/ptrace/tracer.h"
#include "platform/stub/tracee_layout.h"

namespace cloister::ptrace {
namespace {

using Kind = platform::HostOp::Kind;

bool IsError(int64_t result) { return result < 0 && result >= -4095; }

uint64_t CallOf(Kind kind) {
  switch (kind) {
    case Kind::kMunmap:
      return SYS_munmap;
    case Kind::kMprotect:
      return SYS_mprotect;
    case Kind::kMremap:
      return SYS_mremap;
    case Kind::kMadvise:
      return SYS_madvise;
    default:
      return SYS_mmap;
  }
}

// What recvmsg(2) reads and writes in the scratch page.
struct ScratchMessage {
  msghdr header;
  iovec piece;
  char byte;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
};
static_assert(sizeof(ScratchMessage) <= stub::kTraceeScratchBytes);

ScratchMessage EmptyMessage() {
  constexpr uint64_t kAt = stub::kTraceeScratch;
  ScratchMessage message = {};
  message.header.msg_iov = reinterpret_cast<iovec*>(kAt + offsetof(ScratchMessage, piece));
  message.header.msg_iovlen = 1;
  message.header.msg_control = reinterpret_cast<void*>(kAt + offsetof(ScratchMessage, control));
  message.header.msg_controllen = sizeof message.control;
  message.piece = {reinterpret_cast<void*>(kAt + offsetof(ScratchMessage, byte)), 1};
  return message;
}

}  // namespace

void Thread::RunNextOp() {
  while (!gone_) {
    if (ops_run_ == ops_.size()) {
      EndOps(last_result_);
      return;
    }
    const platform::HostOp& op = ops_[ops_run_];
    const std::optional<int64_t> result = RunHere(op);
    if (!result.has_value()) return;
    if (!TakeResult(*result)) return;
  }
}

// False: the operations have ended.
bool Thread::TakeResult(int64_t result) {
  last_result_ = result;
  ++ops_run_;
  if (!IsError(result)) return true;
  EndOps(result);
  return false;
}

void Thread::OnOpResult(int64_t result) {
  tracer_->files().EndTurn(*this);
  activity_ = Activity::kNothing;
  if (TakeResult(result)) RunNextOp();
}

void Thread::EndOps(int64_t result) {
  if (after_ == platform::AfterOps::kResume && !IsError(result)) {
    RunGuest();
    return;
  }
  Report({.kind = platform::Trap::Kind::kOpsDone, .result = result, .ops_run = ops_run_});
}

// Its result at once, or nothing, and OnOpResult follows.
std::optional<int64_t> Thread::RunHere(const platform::HostOp& op) {
  switch (op.kind) {
    case Kind::kArchPrctl:
      return ArchPrctl(op);
    case Kind::kStoreFpState:
      return StoreFpState(op.args[0]);
    case Kind::kLoadFpState:
      return LoadFpState(op.args[0]);
    case Kind::kStartAfresh:
      return StartAfresh();
    case Kind::kPatchCall:
    case Kind::kUnpatchCalls:
      return 0;
    case Kind::kFutex:
    case Kind::kFutexWaitv:
    case Kind::kReadFile:
      return -EINVAL;
    case Kind::kMmap:
      if (op.fd >= 0) return StartFileMmap(op);
      break;
    default:
      break;
  }
  Inject(op);
  return std::nullopt;
}

void Thread::Inject(const platform::HostOp& op) {
  platform::Registers regs = {};
  regs.rdi = op.args[0];
  regs.rsi = op.args[1];
  regs.rdx = op.args[2];
  if (op.kind == Kind::kCompareExchange) {
    regs.rax = op.args[1];
    ResumeAt(stub::kTraceeExchange, regs, Activity::kOps);
    return;
  }
  regs.rax = CallOf(op.kind);
  regs.r10 = op.args[3];
  regs.r8 = op.kind == Kind::kMmap ? ~uint64_t{0} : op.args[4];
  regs.r9 = op.args[5];
  ResumeAt(stub::kTraceeGate, regs, Activity::kOps);
}

std::optional<int64_t> Thread::StartFileMmap(const platform::HostOp& op) {
  if (!tracer_->files().TakeTurn(*this)) return std::nullopt;  // HasTurn comes
  const ScratchMessage message = EmptyMessage();
  int failed = tracer_->files().Send(op.fd);
  const auto bytes = std::as_bytes(std::span(&message, 1));
  if (failed == 0 && space_->Write(stub::kTraceeScratch, bytes) != bytes.size()) failed = EFAULT;
  if (failed != 0) {
    tracer_->files().EndTurn(*this);
    return -failed;
  }
  platform::Registers regs = {};
  regs.r15 = stub::kTraceeScratch;
  regs.rbx = op.args[0];
  regs.rbp = op.args[1];
  regs.r12 = op.args[2];
  regs.r13 = op.args[3];
  regs.r14 = op.args[5];
  ResumeAt(stub::kTraceeMapFile, regs, Activity::kOps);
  return std::nullopt;
}

void Thread::HasTurn() { tracer_->Tell(Ref<Thread>(this), Order::Task::kGoOn); }

int64_t Thread::ArchPrctl(const platform::HostOp& op) {
  const uint64_t value = op.args[1];
  const bool is_fs = op.args[0] == ARCH_SET_FS || op.args[0] == ARCH_GET_FS;
  unsigned long long& base = is_fs ? bases_.fs_base : bases_.gs_base;
  if (op.args[0] == ARCH_GET_FS || op.args[0] == ARCH_GET_GS) {
    const auto bytes = std::as_bytes(std::span(&base, 1));
    return space_->Write(value, bytes) == bytes.size() ? 0 : -EFAULT;
  }
  if (op.args[0] != ARCH_SET_FS && op.args[0] != ARCH_SET_GS) return -EINVAL;
  if (value >= stub::kReservedEnd) return -EPERM;
  base = value;
  (is_fs ? bases_.fs : bases_.gs) = 0;
  return 0;
}

int64_t Thread::StoreFpState(uint64_t addr) {
  const auto frame = GetFpFrame(tracee());
  if (!frame.has_value()) return -ESRCH;
  return space_->Write(addr, *frame) == frame->size() ? static_cast<int64_t>(frame->size()) : -EFAULT;
}

int64_t Thread::LoadFpState(uint64_t addr) {
  const FpLoad loaded = LoadFpFrame(tracee(), *space_, addr);
  if (loaded == FpLoad::kUnreadable) return -EFAULT;
  bad_fp_ = loaded == FpLoad::kBad;
  return 0;
}

int64_t Thread::StartAfresh() {
  ResetFp(tracee());
  bad_fp_ = false;
  bases_.fs_base = bases_.gs_base = 0;
  bases_.fs = bases_.gs = bases_.ds = bases_.es = 0;
  return 0;
}

}  // namespace cloister::ptrace
