#ifndef CLOISTER_SENTRY_TASK_RUNNING_CALL_H_
#define CLOISTER_SENTRY_TASK_RUNNING_CALL_H_

#include <memory>
#include <optional>
#include <utility>

#include "base/error/errno_or.h"
#include "sentry/task/outcome.h"

namespace cloister::task {

class Task;

// A blocking syscall that is parked: plain data that Step is run on again after each wake-up.
class RunningCall {
 public:
  virtual ~RunningCall() = default;
  virtual Outcome Step(Task& task) = 0;
  // A signal or the deadline ends the wait. What another task has done for the call in the meantime (a
  // semaphore taken, a message handed over) is its answer nevertheless; else, for good, nothing.
  virtual std::optional<Answer> Withdraw(Task&) { return std::nullopt; }
};

template <typename Call>
class RunningCallOf final : public RunningCall {
 public:
  explicit RunningCallOf(Call call) : call_(std::move(call)) {}
  Outcome Step(Task& task) override { return call_.Step(task); }
  std::optional<Answer> Withdraw(Task& task) override {
    if constexpr (requires { call_.Withdraw(task); }) {
      return call_.Withdraw(task);
    } else {
      return std::nullopt;
    }
  }

 private:
  Call call_;
};

// The first run of a `…Call`: Begin resolves descriptors and copies arguments, Step tries.
// `Call` has: static ErrnoOr<Call> Begin(Task&, const SyscallArgs&); Outcome Step(Task&).
// Memory is taken only if it has to park.
template <typename Call, typename Args>
Outcome StartCall(Task& task, const Args& args, std::unique_ptr<RunningCall>* parked) {
  ErrnoOr<Call> call = Call::Begin(task, args);
  if (!call.ok()) return Answer(call.error());
  Outcome outcome = call->Step(task);
  const RunHostOps* const ops = std::get_if<RunHostOps>(&outcome);
  if (std::holds_alternative<Block>(outcome) || (ops != nullptr && ops->then_step))
    *parked = std::make_unique<RunningCallOf<Call>>(*std::move(call));
  return outcome;
}

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_RUNNING_CALL_H_
