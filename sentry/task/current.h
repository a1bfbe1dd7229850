#ifndef CLOISTER_SENTRY_TASK_CURRENT_H_
#define CLOISTER_SENTRY_TASK_CURRENT_H_

#include <utility>

namespace cloister::task {

class Task;

// Marks this thread as running a handler of a task, for its scope. Linux: current. Few may ask:
// terminals, whose read and write depend on the caller's process group, and /proc/thread-self.
class CurrentTask {
 public:
  explicit CurrentTask(Task& task) : outer_(std::exchange(current_, &task)) {}
  ~CurrentTask() { current_ = outer_; }
  CurrentTask(const CurrentTask&) = delete;
  CurrentTask& operator=(const CurrentTask&) = delete;

  // Null where no task's handler runs on this thread: boot, the poller.
  static Task* Get() { return current_; }

 private:
  static inline thread_local Task* current_ = nullptr;
  Task* const outer_;
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_CURRENT_H_
