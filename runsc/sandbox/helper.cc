#include "runsc/sandbox/helper.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/error/status.h"

namespace cloister::sandbox {
namespace {

constexpr size_t kStackBytes = 256 << 10;

// What the helper does, in memory that it shares with the waiting caller.
struct Visit {
  const std::function<absl::Status()>& body;
  absl::Status status;
};

int RunVisit(void* argument) {
  Visit& visit = *static_cast<Visit*>(argument);
  visit.status = visit.body();
  _exit(0);
}

}  // namespace

absl::Status RunInHelper(const std::function<absl::Status()>& body) {
  Visit visit{body, absl::InternalError("the helper process died")};
  void* stack =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return HostErrorNow("mmap");
  const pid_t helper = clone(RunVisit, static_cast<char*>(stack) + kStackBytes,
                             CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, &visit);
  if (helper < 0) {
    visit.status = HostErrorNow("clone");
  } else {
    while (waitpid(helper, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  munmap(stack, kStackBytes);
  return visit.status;
}

}  // namespace cloister::sandbox
