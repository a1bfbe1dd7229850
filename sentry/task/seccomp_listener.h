#ifndef CLOISTER_SENTRY_TASK_SECCOMP_LISTENER_H_
#define CLOISTER_SENTRY_TASK_SECCOMP_LISTENER_H_

#include <linux/seccomp.h>

#include <cstdint>
#include <list>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/fs/event/anon_file.h"
#include "sentry/seccomp/filter.h"
#include "sentry/task/outcome.h"
#include "sentry/vfs/caller.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::task {

class Task;

// Calls that wait for the verdict of a supervisor. Linux: struct notification. Shared by the filter, the
// supervisor's open file and the calls. Thread-safe.
class SeccompListener final : public seccomp::Listener {
 public:
  // flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV counts.
  explicit SeccompListener(uint64_t flags);
  ~SeccompListener() override;

  // One call. Linux: struct seccomp_knotif. Guarded by the listener's mu_, but for what is immutable.
  struct Request : RefCounted {
    enum class State { kNew, kSent, kReplied };
    uint64_t id = 0;         // immutable
    Ref<Task> task;          // immutable
    seccomp_data data = {};  // immutable
    State state = State::kNew;
    seccomp_notif_resp reply = {};
    wait::WaitQueue queue;  // notified (kIn) when it is received or replied to
  };

  // ---- For the task (owner) ----
  // The call as a parked one; its end takes the request back. Nothing where the supervisor has gone.
  class Call {
   public:
    Call(Ref<SeccompListener> listener, Ref<Request> request);
    Call(Call&&) = default;
    ~Call();
    Outcome Step(Task& task);
    std::optional<Answer> Withdraw(Task& task);

   private:
    Ref<SeccompListener> listener_;
    Ref<Request> request_;
  };
  std::optional<Call> Post(Task& task, const seccomp_data& data) ABSL_LOCKS_EXCLUDED(mu_);

  // seccomp::Listener.
  void OnUnused() override ABSL_LOCKS_EXCLUDED(mu_);
  bool is_open() const override ABSL_LOCKS_EXCLUDED(mu_);

  // ---- For the supervisor's file ----
  // kAgain where there is none yet, kNoEnt where there can be none. Deliver: handed to the supervisor, by
  // which it may fail; then it is new again.
  ErrnoOr<Ref<Request>> Receive() ABSL_LOCKS_EXCLUDED(mu_);
  void TakeBack(Request& request) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Reply(const seccomp_notif_resp& reply) ABSL_LOCKS_EXCLUDED(mu_);
  // One that is with the supervisor. kNoEnt where there is none by this id, kInProgress where it is not.
  ErrnoOr<Ref<Request>> Find(uint64_t id) ABSL_LOCKS_EXCLUDED(mu_);
  wait::Poll Ready() const ABSL_LOCKS_EXCLUDED(mu_);
  // All calls get ENOSYS, those that come as well.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);
  wait::WaitQueue& queue() { return queue_; }

 private:
  Request* FindLocked(uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Remove(const Request& request) ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<Outcome> TakeReply(const Request& request) ABSL_LOCKS_EXCLUDED(mu_);
  bool Ignores(const Request& request) ABSL_LOCKS_EXCLUDED(mu_);

  const bool wait_killable_;
  wait::WaitQueue queue_;   // the supervisor's
  mutable absl::Mutex mu_;  // leaf
  uint64_t next_id_ ABSL_GUARDED_BY(mu_);
  bool open_ ABSL_GUARDED_BY(mu_) = true;
  bool used_ ABSL_GUARDED_BY(mu_) = true;
  std::list<Ref<Request>> requests_ ABSL_GUARDED_BY(mu_);
};

// The supervisor's end: SECCOMP_FILTER_FLAG_NEW_LISTENER. SECCOMP_IOCTL_NOTIF_RECV answers kAgain where it
// would wait.
class SeccompListenerFile final : public event::AnonFile {
 public:
  SeccompListenerFile(auth::CredRef cred, Ref<SeccompListener> listener);

  wait::Poll Ready() const override { return listener_->Ready(); }
  wait::WaitQueue* wait_queue() override { return &listener_->queue(); }
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;

 protected:
  void OnLastRef() override;

 private:
  ErrnoOr<int64_t> Receive(const vfs::IoctlRequest& request);
  ErrnoOr<int64_t> Send(const vfs::IoctlRequest& request);
  ErrnoOr<int64_t> AddFd(const vfs::IoctlRequest& request);

  const Ref<SeccompListener> listener_;
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_SECCOMP_LISTENER_H_
