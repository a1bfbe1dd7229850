#ifndef CLOISTER_PLATFORM_PTRACE_ZYGOTE_H_
#define CLOISTER_PLATFORM_PTRACE_ZYGOTE_H_

#include <sys/types.h>

#include <cstdint>
#include <deque>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "platform/api/trap.h"
#include "platform/ptrace/thread.h"

namespace cloister::ptrace {

class Tracer;

struct LaunchedZygote {
  pid_t pid = 0;
  UniqueFd ours, theirs;  // the socket: FileSender
  uint64_t vdso_data = 0, vdso_begin = 0, vdso_end = 0;
};

// Executes the image of traced processes, which waits for its tracer then.
absl::StatusOr<LaunchedZygote> LaunchZygote();

// The process from which all others are forked, one after the other. For the tracer's thread, but for Reap.
class Zygote final : public platform::TrapHandler {
 public:
  Zygote(Tracer* tracer, const LaunchedZygote& launched);

  // Makes the caller its tracer, says so by our end of the socket, and leaves nothing of what execve(2) made
  // but the image, the scratch page and the vDSO.
  absl::Status Seize(int socket);
  Thread& thread() { return *thread_; }

  // child: of NewProcess.
  void Fork(Ref<Thread> child);

  // Ends one that its tracer never served; the tracer's thread is no more.
  void Reap();

  void OnTrap(platform::GuestThread& thread, const platform::Trap& trap) override;
  void OnGone(platform::GuestThread& thread, int host_status) override;

 private:
  void Pump();
  absl::Status ClearMemory();
  absl::Status CheckFilter();
  absl::StatusOr<siginfo_t> Call(uint64_t nr, uint64_t a0, uint64_t a1, int64_t* result);
  absl::Status AwaitStop();

  Tracer* const tracer_;
  const pid_t pid_;
  const uint64_t vdso_data_, vdso_end_;
  Ref<Thread> thread_;
  bool idle_ = true;
  bool dead_ = false;
  platform::Registers regs_ = {};
  std::deque<Ref<Thread>> orders_;
};

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_ZYGOTE_H_
