#ifndef CLOISTER_TESTS_UTIL_THREAD_H_
#define CLOISTER_TESTS_UTIL_THREAD_H_

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

namespace cloister::tests {

// A thread that is joined with the object. tid() waits until the thread runs.
class ScopedThread {
 public:
  explicit ScopedThread(std::function<void()> body)
      : thread_([this, body = std::move(body)] {
          tid_.store(static_cast<pid_t>(syscall(SYS_gettid)));
          tid_.notify_all();
          body();
        }) {}
  ScopedThread(const ScopedThread&) = delete;
  ~ScopedThread() { Join(); }

  void Join() {
    if (thread_.joinable()) thread_.join();
  }
  pid_t tid() {
    tid_.wait(0);
    return tid_.load();
  }

 private:
  std::atomic<pid_t> tid_ = 0;
  std::thread thread_;  // last: the body uses the fields above
};

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_THREAD_H_
