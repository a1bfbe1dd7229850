#ifndef CLOISTER_SENTRY_BOOT_MONITOR_LINK_H_
#define CLOISTER_SENTRY_BOOT_MONITOR_LINK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/host/unique_fd.h"
#include "sentry/task/kernel.h"
#include "sentry/task/thread_group.h"
#include "sentry/wait/poller.h"

namespace cloister::boot {

// The sentry's end of a monitor's socket: the host's signals come in, the wait status goes out; when
// the monitor is gone, the process is killed. Kept alive by itself until the process has ended.
class MonitorLink final : private wait::HostFdClient, public std::enable_shared_from_this<MonitorLink> {
 public:
  // on_window_change is called for a SIGWINCH of the host's terminal.
  static std::shared_ptr<MonitorLink> Make(UniqueFd socket, std::function<void()> on_window_change);
  ~MonitorLink();

  // The process it stands for. Signals that came before are lost.
  void Attach(Ref<task::ThreadGroup> group);
  // The process has ended: tells the monitor and lets go of the socket.
  void ReportExit(int wait_status);

 private:
  MonitorLink(UniqueFd socket, std::function<void()> on_window_change);
  void OnHostEvents(wait::Poll events) override;
  void TakeMessages();
  void Deliver(int signo);

  const std::function<void()> on_window_change_;
  absl::Mutex mu_;  // leaf
  UniqueFd socket_ ABSL_GUARDED_BY(mu_);
  Ref<task::ThreadGroup> group_ ABSL_GUARDED_BY(mu_);
  std::string received_;  // the poller's thread alone
};

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_MONITOR_LINK_H_
