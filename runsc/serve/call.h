#ifndef CLOISTER_RUNSC_SERVE_CALL_H_
#define CLOISTER_RUNSC_SERVE_CALL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/host/unique_fd.h"
#include "runsc/serve/event_sink.h"

namespace cloister::serve {

// One Run call of a client: its request, and the events on their way to it. Lives until gRPC is done with it
// and nobody else holds it.
class Call final : public grpc::ServerWriteReactor<RunEvent>, public EventSink {
 public:
  static std::shared_ptr<Call> Make(const RunRequest& request);

  RunRequest& request() { return request_; }
  absl::Time came() const { return came_; }

  void Send(RunEvent event) override ABSL_LOCKS_EXCLUDED(mu_);
  bool IsFull() const override { return waiting_bytes_ > kFullBytes; }
  bool IsCancelled() const override { return cancelled_; }
  int wake_fd() const override { return wake_.get(); }

  // The last word, after the events sent before. Once.
  void Close(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  // The server ends: as if cancelled, but Close() says so.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  static constexpr size_t kFullBytes = 1 << 20;

  explicit Call(const RunRequest& request);

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone() override;

  void Wake() const;
  // Starts the next write or the end, if it is time. Called without the lock: gRPC may call back at once.
  void Advance() ABSL_LOCKS_EXCLUDED(mu_);

  RunRequest request_;
  const absl::Time came_;
  const UniqueFd wake_;
  std::shared_ptr<Call> self_;  // until OnDone()
  std::atomic<bool> cancelled_{false};
  std::atomic<size_t> waiting_bytes_{0};
  absl::Mutex mu_;                                    // leaf
  std::deque<RunEvent> events_ ABSL_GUARDED_BY(mu_);  // the first is being written, if writing_
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status last_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_CALL_H_
