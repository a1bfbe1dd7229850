#include "sentry/task/pid_file.h"

#include <fcntl.h>

#include "absl/strings/str_format.h"
#include "sentry/task/kernel.h"

namespace cloister::task {

PidFile::PidFile(int flags, auth::CredRef cred, Ref<ThreadGroup> process)
    : AnonFile(O_RDWR | flags, std::move(cred), "[pidfd]"), process_(std::move(process)) {}

wait::Poll PidFile::Ready() const {
  absl::MutexLock lock(&Kernel::tree_mu());
  const bool ended =
      process_->state == ThreadGroup::State::kZombie || process_->state == ThreadGroup::State::kReaped;
  return ended ? wait::Poll::kIn : wait::Poll::kNone;
}

std::string PidFile::FdInfo() const {
  absl::MutexLock lock(&Kernel::tree_mu());
  const int shown = process_->state == ThreadGroup::State::kReaped ? -1 : process_->pid();
  return absl::StrFormat("Pid:\t%d\nNSpid:\t%d\n", shown, shown);
}

}  // namespace cloister::task
