#ifndef CLOISTER_SENTRY_SYSCALLS_MEMORY_CALL_H_
#define CLOISTER_SENTRY_SYSCALLS_MEMORY_CALL_H_

#include <utility>

#include "sentry/mm/memory_manager.h"
#include "sentry/task/outcome.h"
#include "sentry/task/task.h"

namespace cloister::syscalls {

// The resource limits that count for mappings.
mm::Limits MemoryLimitsOf(const task::Task& task);

// A call that changes the list of mappings: `Derived` decides in Decide, once the memory is free.
template <typename Derived>
struct MemoryCall {
  task::Outcome Step(task::Task& task) {
    if (!task.TakeMemoryOp()) return task.MemoryOpBlock();
    ErrnoOr<mm::Plan> plan = static_cast<Derived*>(this)->Decide(task);
    if (!plan.ok()) return task::Answer(plan.error());
    return task::RunPlan{*std::move(plan)};
  }
};

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_MEMORY_CALL_H_
