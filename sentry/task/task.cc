#include "sentry/task/task.h"

#include <utility>

#include "sentry/task/exec_state.h"

namespace cloister::task {

Task::Task(Ref<ThreadGroup> group, pid_t tid) : TaskSignals(std::move(group), tid) {}

Task::~Task() = default;

char Task::StateLetter() const {
  if (owner_.load(std::memory_order_acquire) == Owner::kDead) return 'Z';
  if (trace_stopped()) return 't';
  if (stopped_.load(std::memory_order_acquire) && !traced()) return 'T';
  if (parked_syscall() >= 0) return 'S';
  absl::MutexLock lock(&own_mu_);
  return thread_ && thread_->SleepsInFutex() ? 'S' : 'R';
}

}  // namespace cloister::task
