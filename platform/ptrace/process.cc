#include "platform/ptrace/process.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "platform/ptrace/thread.h"
#include "platform/stub/layout.h"

namespace cloister::ptrace {

Process::~Process() = default;

pid_t Process::pid() const {
  absl::MutexLock lock(&mu_);
  return pid_;
}

Ref<Space> Process::space() const {
  absl::MutexLock lock(&mu_);
  return space_;
}

void Process::Bind(pid_t pid) {
  absl::MutexLock lock(&mu_);
  pid_ = pid;
  space_->memory().AddProcess(pid);
  if (kill_) syscall(SYS_tgkill, pid, pid, SIGKILL);
}

void Process::Kill() {
  absl::MutexLock lock(&mu_);
  kill_ = true;
  if (pid_ != 0) syscall(SYS_tgkill, pid_, pid_, SIGKILL);
}

bool Process::killed() const {
  absl::MutexLock lock(&mu_);
  return kill_;
}

void Process::Interrupt(pid_t tid) {
  absl::MutexLock lock(&mu_);
  if (pid_ != 0) syscall(SYS_tgkill, pid_, tid, stub::kInterruptSignal);
}

bool Process::Add(Ref<Thread> thread) {
  absl::MutexLock lock(&mu_);
  if (buried_) return false;
  threads_.push_back(std::move(thread));
  return true;
}

Ref<Thread> Process::Remove(Thread* thread) {
  Ref<Thread> removed;  // dropped outside the lock
  absl::MutexLock lock(&mu_);
  const auto found = std::find(threads_.begin(), threads_.end(), thread);
  if (found == threads_.end()) return nullptr;
  removed = std::move(*found);
  threads_.erase(found);
  return threads_.empty() ? std::move(kept_first_) : nullptr;
}

bool Process::KeepFirst(Thread& thread) {
  absl::MutexLock lock(&mu_);
  if (thread.host_tid() != pid_ || threads_.size() < 2) return false;
  kept_first_ = Ref<Thread>(&thread);
  return true;
}

bool Process::IsAlone(const Thread& thread) const {
  absl::MutexLock lock(&mu_);
  return !buried_ && !kill_ && thread.host_tid() == pid_ && threads_.size() == 1 &&
         space_->memory().process_count() == 1;
}

void Process::MoveTo(Ref<Space> space) {
  absl::MutexLock lock(&mu_);
  if (pid_ != 0) {
    space_->memory().RemoveProcess(pid_);
    space->memory().AddProcess(pid_);
  }
  space_ = std::move(space);
}

std::vector<Ref<Thread>> Process::Bury() {
  Ref<Thread> first;  // dropped outside the lock
  absl::MutexLock lock(&mu_);
  first = std::move(kept_first_);
  if (pid_ != 0) space_->memory().RemoveProcess(pid_);
  pid_ = 0;
  buried_ = true;
  return std::move(threads_);
}

}  // namespace cloister::ptrace
