#ifndef CLOISTER_SENTRY_TASK_PID_FILE_H_
#define CLOISTER_SENTRY_TASK_PID_FILE_H_

#include <string>
#include <utility>

#include "base/own/ref.h"
#include "sentry/fs/event/anon_file.h"
#include "sentry/task/kernel.h"
#include "sentry/task/thread_group.h"

namespace cloister::task {

// pidfd_open(2): a process by descriptor, whatever becomes of its number. Linux: kernel/pid.c, pidfs.
// Readable from the moment when wait(2) could tell of its end.
class PidFile final : public event::AnonFile {
 public:
  // flags: O_NONBLOCK or none.
  PidFile(int flags, auth::CredRef cred, Ref<ThreadGroup> process);

  ThreadGroup& process() const { return *process_; }

  wait::Poll Ready() const override ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  wait::WaitQueue* wait_queue() override { return &process_->exit_queue; }
  std::string FdInfo() const override ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  PidFile* AsPid() override { return this; }

 private:
  const Ref<ThreadGroup> process_;
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_PID_FILE_H_
