#ifndef CLOISTER_PLATFORM_PTRACE_ORDERS_H_
#define CLOISTER_PLATFORM_PTRACE_ORDERS_H_

#include <atomic>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "platform/ptrace/waiter.h"

namespace cloister::ptrace {

class Thread;

// Something that is done on the tracer's thread, never inside of the call that asks for it.
struct Order {
  enum class Task {
    kAnswer,    // carry out the thread's answer
    kBirth,     // have the zygote fork it
    kGoOn,      // its next operation
    kFarewell,  // it never was, or is no more
  };
  Ref<Thread> thread;
  Task task;
};

// Orders of other threads. Thread-safe.
class Orders {
 public:
  explicit Orders(Waiter* waiter) : waiter_(waiter) {}

  // Ends the tracer's wait.
  void Post(Order order) ABSL_LOCKS_EXCLUDED(mu_);
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);
  bool stopping() const { return stopping_.load(); }

  // The tracer's: all there are. Whatever is posted after that ends its next wait.
  std::vector<Order> Take() ABSL_LOCKS_EXCLUDED(mu_);
  // Where there is no child to wait for.
  void Await() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Waiter* const waiter_;
  std::atomic<bool> stopping_{false};
  absl::Mutex mu_;  // leaf lock
  std::vector<Order> posted_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_ORDERS_H_
