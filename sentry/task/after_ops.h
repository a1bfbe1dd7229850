#ifndef CLOISTER_SENTRY_TASK_AFTER_OPS_H_
#define CLOISTER_SENTRY_TASK_AFTER_OPS_H_

namespace cloister::task {

// What a stopped thread's RunOps is for: how its task goes on when they are done.
enum class AfterOps {
  kNothing,
  kPlan,
  kReturnValue,
  kHostRead,
  kStep,
  kExecStep,
  kSignalFrame,
  kSigreturn,
  kClone,
  kForkChild,
  kPatchCall,
  kErrand,
  kHostSleep,
  kLastWakes,
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_AFTER_OPS_H_
