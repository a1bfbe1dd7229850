#include "platform/ptrace/waiter.h"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>

extern "C" {
long ptrace_wait(const std::atomic<uint32_t>* rung, siginfo_t* info);
extern const char ptrace_wait_begin[], ptrace_wait_call[], ptrace_wait_rung[];
}

namespace cloister::ptrace {
namespace {

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

constexpr int kBell = SIGURG;

void OnBell(int, siginfo_t*, void* context) {
  greg_t& rip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  const auto at = static_cast<uint64_t>(rip);
  if (at >= reinterpret_cast<uint64_t>(ptrace_wait_begin) &&
      at <= reinterpret_cast<uint64_t>(ptrace_wait_call)) {
    rip = reinterpret_cast<greg_t>(ptrace_wait_rung);
  }
}

}  // namespace

void Waiter::Begin() {
  struct sigaction action = {};
  action.sa_sigaction = OnBell;
  action.sa_flags = SA_SIGINFO;  // no SA_RESTART: it is to end a wait
  sigaction(kBell, &action, nullptr);
  sigset_t bell;
  sigemptyset(&bell);
  sigaddset(&bell, kBell);
  pthread_sigmask(SIG_UNBLOCK, &bell, nullptr);
  pid_ = getpid();
  tid_.store(static_cast<pid_t>(syscall(SYS_gettid)));
}

int Waiter::Wait(siginfo_t* info) {
  info->si_pid = 0;
  waits_.store(true);
  const long result = ptrace_wait(&rung_, info);
  waits_.store(false);
  return result < 0 ? static_cast<int>(-result) : 0;
}

void Waiter::Ring() {
  rung_.store(1);
  if (waits_.load()) syscall(SYS_tgkill, pid_, tid_.load(), kBell);
}

}  // namespace cloister::ptrace
