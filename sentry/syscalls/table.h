#ifndef CLOISTER_SENTRY_SYSCALLS_TABLE_H_
#define CLOISTER_SENTRY_SYSCALLS_TABLE_H_

#include <sys/syscall.h>

#include <cstdint>
#include <memory>
#include <span>

#include "sentry/task/outcome.h"
#include "sentry/task/running_call.h"
#include "sentry/task/syscall_args.h"
#include "sentry/task/task.h"

namespace cloister::syscalls {

using task::Answer;
using task::Outcome;
using task::RunningCall;
using task::SyscallArgs;
using task::Task;

// How much of a syscall there is. What is unsupported or not in the table is counted (runsc debug
// unimplemented).
enum class Support {
  kFull,
  kPartial,      // `note` says what is missing
  kUnsupported,  // always the errno that Linux gives where it is not built in; `note` says which
};

using Handler = Outcome (*)(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>* parked);

// One line of the table. Each theme file (file_io.cc, sockets.cc …) lists its own and exports them as a span.
// Names and arguments stand in base/abi/syscall_signatures.inc.
struct Entry {
  uint32_t number;  // SYS_…
  Handler handler;
  Support support = Support::kFull;
  const char* note = "";
};

// A plain handler `Answer F(Task&, const SyscallArgs&)` or `Outcome F(…)` or `ErrnoOr<T> F(…)`.
template <auto F>
Outcome Plain(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>*) {
  using Result = decltype(F(task, args));
  if constexpr (std::is_convertible_v<Result, Outcome>) {
    return F(task, args);
  } else {
    return task::ToAnswer(F(task, args));
  }
}

// A blocking handler: a `…Call` with Begin and Step.
template <typename Call>
Outcome Blocking(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>* parked) {
  return task::StartCall<Call>(task, args, parked);
}

// A syscall that Linux could be built without: answers E and is counted.
template <Errno E>
Outcome Fails(Task&, const SyscallArgs&, std::unique_ptr<RunningCall>*) {
  return Answer(E);
}

// The entry of a number, or null.
const Entry* Find(uint64_t number);
// All entries, by number.
std::span<const Entry> All();

// What the kernel calls for each syscall trap.
Outcome Dispatch(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>* parked);
// One --strace line.
void Trace(Task& task, const SyscallArgs& args, int64_t result);

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_TABLE_H_
