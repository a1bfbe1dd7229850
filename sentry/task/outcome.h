#ifndef CLOISTER_SENTRY_TASK_OUTCOME_H_
#define CLOISTER_SENTRY_TASK_OUTCOME_H_

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/own/ref.h"
#include "platform/api/host_op.h"
#include "platform/api/trap.h"
#include "sentry/loader/loader.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/vfs/file_description.h"
#include "sentry/vfs/write_denial.h"
#include "sentry/wait/block.h"

namespace cloister::task {

using wait::Answer;
using wait::Block;
using wait::Poll;
using wait::Restart;

// What a handler wants done with its task besides getting a value; carried out by the dispatcher.

// Run a plan of the task's memory manager and return plan.result (or the host's errno).
struct RunPlan {
  mm::Plan plan;
};
// Run operations on the host thread alone (arch_prctl) and return the last one's result; or, for a parked
// call, have Step run again, which finds it in Task::ops_result.
struct RunHostOps {
  std::vector<platform::HostOp> ops;
  bool then_step = false;
};
// Have the thread itself read a host file for read(2), to addr, and return the length. Where that fails, the
// call is served again with TaskParts::failed_read set.
struct ReadHostFile {
  uint64_t addr = 0;
  vfs::FileDescription::HostRead read;
  Ref<vfs::FileDescription> file;
};
// clone(2), fork(2), vfork(2), clone3(2): flags have been checked.
struct CloneControl {
  uint64_t flags = 0;  // CLONE_…, without the exit signal
  int exit_signal = 0;
  uint64_t stack = 0;  // the child's stack pointer; 0: the parent's
  uint64_t tls = 0;
  uint64_t parent_tid = 0;
  uint64_t child_tid = 0;
  uint64_t pidfd = 0;  // where to store it
  pid_t set_tid = 0;
};
// The point of no return of execve(2): the old image goes.
struct ExecControl {
  std::shared_ptr<loader::Program> program;
  vfs::Path exe_path;
  std::shared_ptr<const vfs::WriteDenial> exe_denial;
};
struct ExitControl {
  int wait_status = 0;  // wait(2)'s
  bool group = false;
};
struct SigreturnControl {};
// Serve the call after all: whoever was asked about it lets it pass (SECCOMP_USER_NOTIF_FLAG_CONTINUE).
struct ServeControl {};

// The outcome of one run of a handler.
using Outcome = std::variant<Answer, Block, RunPlan, RunHostOps, ReadHostFile, CloneControl, ExecControl,
                             ExitControl, SigreturnControl, ServeControl>;

// Of an ErrnoOr: the value as the guest's return value, or the errno.
template <typename T>
Answer ToAnswer(const ErrnoOr<T>& result) {
  if (!result.ok()) return result.error();
  if constexpr (std::is_void_v<T>) {
    return 0;
  } else {
    return static_cast<int64_t>(*result);
  }
}

// The usual ending of a Step: kAgain becomes a wait on file for events, unless the file is O_NONBLOCK.
template <typename T>
Outcome OrBlock(const Ref<vfs::FileDescription>& file, Poll events, const ErrnoOr<T>& result) {
  if (result.ok() || result.error() != Errno::kAgain || file->nonblocking() ||
      file->wait_queue() == nullptr) {
    return ToAnswer(result);
  }
  Block block;
  block.on.push_back({Ref<RefCounted>(file), file->wait_queue(), events});
  return block;
}

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_OUTCOME_H_
