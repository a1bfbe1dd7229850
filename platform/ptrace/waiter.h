#ifndef CLOISTER_PLATFORM_PTRACE_WAITER_H_
#define CLOISTER_PLATFORM_PTRACE_WAITER_H_

#include <signal.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>

namespace cloister::ptrace {

// Where the tracer waits: for its children, and for a bell that anybody rings. One system call a wait.
class Waiter {
 public:
  // On the thread that will wait: makes SIGURG its bell.
  void Begin();

  // 0: *info tells of a child, which is reaped if it has ended. EINTR: the bell has been rung since Silence.
  // ECHILD: there is no child.
  int Wait(siginfo_t* info);
  void Silence() { rung_.store(0); }

  // Anyone.
  void Ring();

 private:
  std::atomic<uint32_t> rung_{0};
  std::atomic<bool> waits_{false};
  std::atomic<pid_t> tid_{0};
  pid_t pid_ = 0;
};

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_WAITER_H_
