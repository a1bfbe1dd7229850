#ifndef CLOISTER_SENTRY_WAIT_POLLER_H_
#define CLOISTER_SENTRY_WAIT_POLLER_H_

#include <time.h>

#include <cstdint>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/host/unique_fd.h"
#include "base/own/ref.h"
#include "sentry/wait/poll.h"

namespace cloister::wait {

using MonotonicNs = int64_t;

// Is called at a moment. At most one timer each is set at a time.
class TimerClient {
 public:
  // Runs on the poller's thread, inside a WakeScope, without the poller's lock.
  virtual void OnTimer() = 0;

 protected:
  ~TimerClient() = default;
};

// Is told of events on a host descriptor.
class HostFdClient {
 public:
  // Runs on the poller's thread, inside a WakeScope, without the poller's lock.
  virtual void OnHostEvents(Poll events) = 0;

 protected:
  ~HostFdClient() = default;
};

// The one thread that waits on the host for everyone: an epoll of host descriptors (sockets,
// ttys, pipes from outside) and all deadlines. Nothing polls: an idle sandbox never wakes.
class Poller {
 public:
  // The process' poller. Its thread runs from Start on.
  static Poller& Get();

  // Makes the epoll and starts the thread. Once, before anything is watched or set.
  absl::Status Start();

  // Calls client once at `at` (CLOCK_MONOTONIC), replacing its former timer. Wakes the thread only if it is
  // the new earliest.
  void SetTimer(TimerClient& client, MonotonicNs at) ABSL_LOCKS_EXCLUDED(mu_);
  // After it returns OnTimer does not run and will not: waits for one that is running, unless
  // called from inside it.
  void CancelTimer(TimerClient& client) ABSL_LOCKS_EXCLUDED(mu_);

  // Tells client of events on fd, edge-triggered (EPOLLET), from now on; an event that is true already is
  // told too. fd must stay open until Unwatch. One client for one fd.
  absl::Status Watch(int fd, HostFdClient& client) ABSL_LOCKS_EXCLUDED(mu_);
  // After it returns client is not called any more; as CancelTimer.
  void Unwatch(int fd) ABSL_LOCKS_EXCLUDED(mu_);

  // Another thread looks at the host in place of the poller's own, until GiveBack. Look tells of what there
  // is and of timers that are due, without waiting, as soon as the poller's thread has stepped aside. That
  // one helps out if there is no Look for a while, and runs what WakeScope holds then.
  void TakeOver() ABSL_LOCKS_EXCLUDED(mu_);
  void Look() ABSL_LOCKS_EXCLUDED(mu_);
  void GiveBack() ABSL_LOCKS_EXCLUDED(mu_);

  // Runs work on the poller's thread soon, inside a WakeScope. For threads without a WakeScope.
  void Post(std::function<void()> work) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Poller() = default;
  void Run();
  bool StepAsideLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Wait(const timespec* timeout);
  void RunTimers();
  void RunPosted();
  void Dispatch(uint64_t key, uint32_t events);
  void Kick();

  absl::Mutex mu_;  // leaf
  absl::CondVar idle_;
  std::set<std::pair<MonotonicNs, TimerClient*>> timers_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<TimerClient*, MonotonicNs> deadline_of_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<int, std::pair<uint64_t, HostFdClient*>> watched_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, int> fd_of_key_ ABSL_GUARDED_BY(mu_);
  std::vector<std::function<void()>> posted_ ABSL_GUARDED_BY(mu_);
  const void* running_ ABSL_GUARDED_BY(mu_) = nullptr;  // the client being called
  bool taken_over_ ABSL_GUARDED_BY(mu_) = false;        // the thread is to step aside
  bool aside_ ABSL_GUARDED_BY(mu_) = false;             // it has
  bool looking_ ABSL_GUARDED_BY(mu_) = false;           // the other one
  uint64_t looks_ ABSL_GUARDED_BY(mu_) = 0;
  absl::CondVar given_back_;
  MonotonicNs sleeping_until_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_key_ ABSL_GUARDED_BY(mu_) = 1;
  UniqueFd epoll_;
  UniqueFd kick_;  // eventfd
};

}  // namespace cloister::wait

#endif  // CLOISTER_SENTRY_WAIT_POLLER_H_
