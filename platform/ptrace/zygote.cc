#include "platform/ptrace/zygote.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "platform/filter/tracee_filter.h"
#include "platform/process/launch.h"
#include "platform/ptrace/tracer.h"
#include "platform/stub/tracee_image.h"
#include "platform/stub/tracee_layout.h"

namespace cloister::ptrace {
namespace {

// The dead zygote's last words, if it had any.
absl::Status Failure(pid_t pid, std::string_view said) {
  int status = 0;
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  return absl::UnavailableError(
      absl::StrCat("the traced stub did not start: ", std::string(said), ", wait status ", status));
}

absl::Status Introduce(int socket, LaunchedZygote* zygote) {
  const std::vector<sock_filter> filter = TRY_STATUS(filter::BuildTraceeFilter());
  if (filter.size() > stub::kMaxTraceeFilter) return absl::InternalError("the tracee's filter is too long");
  union {
    stub::TraceeBoot boot;
    char text[128];
  } told = {};
  const ssize_t got = recv(socket, &told, sizeof told, 0);
  if (got != sizeof told.boot) {
    return Failure(zygote->pid,
                   got > 0 ? std::string_view(told.text, static_cast<size_t>(got)) : "boot step");
  }
  zygote->vdso_data = told.boot.vdso_data;
  zygote->vdso_begin = told.boot.vdso_begin;
  zygote->vdso_end = told.boot.vdso_end;
  const size_t bytes = filter.size() * sizeof(sock_filter);
  if (send(socket, filter.data(), bytes, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes)) {
    return Failure(zygote->pid, "its filter was not taken");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LaunchedZygote> LaunchZygote() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return HostErrorNow("socketpair");
  LaunchedZygote zygote;
  zygote.ours.reset(pair[0]);
  zygote.theirs.reset(pair[1]);
  const process::PlacedFd descriptors[] = {{pair[1], stub::kTraceeSocket}};
  zygote.pid = TRY_STATUS(process::LaunchImage({stub::TraceeImage(), descriptors, stub::kTraceeFdLimit}));
  RETURN_IF_ERROR(Introduce(zygote.ours.get(), &zygote));
  const bool in_place = zygote.vdso_data >= stub::kTraceeScratch + stub::kTraceeScratchBytes &&
                        zygote.vdso_end <= stub::kReservedEnd;
  if (zygote.vdso_end != 0 && !in_place) {
    return Failure(zygote.pid, "the vDSO is not in its region: was address randomisation left on?");
  }
  return zygote;
}

Zygote::Zygote(Tracer* tracer, const LaunchedZygote& launched)
    : tracer_(tracer),
      pid_(launched.pid),
      vdso_data_(launched.vdso_data),
      vdso_end_(launched.vdso_end),
      thread_(MakeRef<Thread>(tracer, MakeRef<Process>(MakeRef<Space>()), this, Thread::Birth::kStopped)) {
  thread_->process().Add(thread_);
}

absl::Status Zygote::AwaitStop() {
  siginfo_t info = {};
  if (waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED | WEXITED | __WALL) != 0) {
    return HostErrorNow("waitid for the zygote");
  }
  if (info.si_code == CLD_TRAPPED) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the zygote died: ", info.si_status));
}

absl::Status Zygote::Seize(int socket) {
  Tracee tracee(pid_);
  if (const int failed = tracee.Seize(); failed != 0) return HostError(failed, "ptrace of the zygote");
  if (send(socket, "", 1, MSG_NOSIGNAL) != 1) return HostErrorNow("a word to the zygote");
  RETURN_IF_ERROR(AwaitStop());
  if (const int failed = tracee.GetRegisters(&regs_); failed != 0) return HostError(failed, "zygote");
  RETURN_IF_ERROR(ClearMemory());
  RETURN_IF_ERROR(CheckFilter());
  thread_->OnBirth(pid_, regs_);
  return absl::OkStatus();
}

// One call of the stopped zygote. Returns what stopped it again.
absl::StatusOr<siginfo_t> Zygote::Call(uint64_t nr, uint64_t a0, uint64_t a1, int64_t* result) {
  Tracee tracee(pid_);
  platform::Registers regs = regs_;
  regs.rip = stub::kTraceeGate;
  regs.rax = nr;
  regs.rdi = a0;
  regs.rsi = a1;
  regs.orig_rax = ~uint64_t{0};
  siginfo_t info = {};
  if (tracee.SetRegisters(regs) == 0 && tracee.RunHost() == 0) {
    RETURN_IF_ERROR(AwaitStop());
    if (tracee.GetSignal(&info) == 0 && tracee.GetRegisters(&regs) == 0) {
      *result = static_cast<int64_t>(regs.rax);
      return info;
    }
  }
  return absl::UnavailableError("the zygote died");
}

absl::Status Zygote::ClearMemory() {
  constexpr uint64_t kScratchEnd = stub::kTraceeScratch + stub::kTraceeScratchBytes;
  const uint64_t vdso = vdso_end_ != 0 ? vdso_data_ : stub::kReservedEnd;
  const uint64_t behind = vdso_end_ != 0 ? vdso_end_ : stub::kReservedEnd;
  const std::pair<uint64_t, uint64_t> foreign[] = {
      {0, stub::kImageBase}, {kScratchEnd, vdso}, {behind, stub::kReservedEnd}};
  for (const auto& [begin, end] : foreign) {
    if (begin >= end) continue;
    int64_t result = 0;
    RETURN_IF_ERROR(Call(SYS_munmap, begin, end - begin, &result).status());
    if (result != 0) return HostError(static_cast<int>(-result), "the zygote's memory");
  }
  return absl::OkStatus();
}

// Whether the second wall stands.
absl::Status Zygote::CheckFilter() {
  int64_t result = 0;
  const siginfo_t info = TRY_STATUS(Call(SYS_gettimeofday, 0, 0, &result));
  if (info.si_signo == SIGSYS) return absl::OkStatus();
  return absl::FailedPreconditionError("the zygote has no filter");
}

void Zygote::Fork(Ref<Thread> child) {
  if (dead_) {
    child->Gone(0);
    return;
  }
  orders_.push_back(std::move(child));
  Pump();
}

void Zygote::Pump() {
  if (!idle_ || orders_.empty()) return;
  idle_ = false;
  const Ref<Thread> child = std::move(orders_.front());
  orders_.pop_front();
  thread_->Fork(child);
}

void Zygote::OnTrap(platform::GuestThread&, const platform::Trap& trap) {
  if (trap.kind != platform::Trap::Kind::kOpsDone) {
    LOG(kError, "the zygote trapped by itself");
    thread_->KillProcess();
    return;
  }
  if (trap.result < 0) LOG(kWarning, "a new process could not be forked: errno %d", -trap.result);
  idle_ = true;
  Pump();
}

void Zygote::OnGone(platform::GuestThread&, int host_status) {
  dead_ = true;
  if (!tracer_->stopping()) {
    LOG(kError, "the zygote is dead, wait status %d", host_status);
    tracer_->TellZygoteDead(pid_);
  }
  for (const Ref<Thread>& order : std::exchange(orders_, {})) order->Gone(host_status);
}

void Zygote::Reap() {
  if (dead_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  thread_->Gone(0);
}

}  // namespace cloister::ptrace
