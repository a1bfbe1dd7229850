#ifndef CLOISTER_PLATFORM_SYSTRAP_LISTENER_H_
#define CLOISTER_PLATFORM_SYSTRAP_LISTENER_H_

#include <linux/seccomp.h>

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "base/host/unique_fd.h"

namespace cloister::systrap {

// The sentry's end of the stubs' seccomp filter, seccomp_unotify(2). Thread-safe.
class Listener {
 public:
  explicit Listener(UniqueFd fd) : fd_(std::move(fd)) {}

  // Whether a notification wakes its receiver on the core of the sender, and an answer likewise; else the
  // host chooses. The host call is made only if that changes.
  absl::Status WakeOnSameCore(bool same);

  // Waits for one notification. 0, or an errno: EINTR; ENOENT if its sender died meanwhile, or if
  // no stub is left.
  int Receive(seccomp_notif* notif);

  // Answers: false if the stub is dead or dying, which its reaping will tell in full.
  bool Send(uint64_t id, int64_t value);
  bool SendErrno(uint64_t id, int host_errno);
  // The call is carried out as the stub made it. Only its registers may have been judged.
  bool Continue(uint64_t id);

  // Installs the sentry's fd as the stub's descriptor `at`; AndSend answers with it, too.
  bool AddFd(uint64_t id, int fd, int at);
  bool AddFdAndSend(uint64_t id, int fd, int at);

 private:
  UniqueFd fd_;
  std::atomic<bool> same_core_{false};
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_LISTENER_H_
