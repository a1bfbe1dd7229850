#ifndef CLOISTER_RUNSC_SERVE_QUEUE_H_
#define CLOISTER_RUNSC_SERVE_QUEUE_H_

#include <deque>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "runsc/serve/call.h"
#include "runsc/serve/host.h"

namespace cloister::serve {

// Runs so many calls at once, in the order in which they came. Thread-safe.
class Queue {
 public:
  // host: borrowed.
  Queue(const Host& host, int parallel, int most_waiting);
  // Stop().
  ~Queue();

  // Every call is closed some time.
  void Add(std::shared_ptr<Call> call) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends all sandboxes and closes all calls; returns when nothing of them is left.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Work() ABSL_LOCKS_EXCLUDED(mu_);
  std::shared_ptr<Call> Next() ABSL_LOCKS_EXCLUDED(mu_);  // null: stopped
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !waiting_.empty(); }

  const Host& host_;
  const size_t most_waiting_;
  absl::Mutex mu_;  // above the calls'
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<std::shared_ptr<Call>> waiting_ ABSL_GUARDED_BY(mu_);
  std::set<std::shared_ptr<Call>> running_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> workers_;  // NOLINT(guarded): made by the constructor, joined by Stop()
};

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_QUEUE_H_
