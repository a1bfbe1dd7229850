#include "platform/systrap/host_process.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "platform/systrap/thread.h"

namespace cloister::systrap {

namespace {

constexpr size_t kMostIdle = 4;

bool HaveSameAffinity(pid_t a, pid_t b) {
  cpu_set_t of_a, of_b;
  CPU_ZERO(&of_a);
  CPU_ZERO(&of_b);
  return sched_getaffinity(a, sizeof of_a, &of_a) == 0 && sched_getaffinity(b, sizeof of_b, &of_b) == 0 &&
         CPU_EQUAL(&of_a, &of_b);
}

}  // namespace

HostProcess::~HostProcess() = default;

pid_t HostProcess::pid() const {
  absl::MutexLock lock(&mu_);
  return pid_;
}

void HostProcess::Bind(pid_t pid) {
  absl::MutexLock lock(&mu_);
  pid_ = pid;
  space_->AddProcess(pid);
  if (kill_) kill(pid, SIGKILL);
}

void HostProcess::Kill() {
  absl::MutexLock lock(&mu_);
  kill_ = true;
  if (pid_ != 0) kill(pid_, SIGKILL);
}

bool HostProcess::killed() const {
  absl::MutexLock lock(&mu_);
  return kill_;
}

void HostProcess::Interrupt(pid_t tid) {
  absl::MutexLock lock(&mu_);
  if (pid_ != 0) syscall(SYS_tgkill, pid_, tid, stub::kInterruptSignal);
}

bool HostProcess::HasThread(pid_t tid) {
  absl::MutexLock lock(&mu_);
  return pid_ != 0 && syscall(SYS_tgkill, pid_, tid, 0) == 0;
}

bool HostProcess::Add(Ref<Thread> thread) {
  absl::MutexLock lock(&mu_);
  if (buried_) return false;
  threads_.push_back(std::move(thread));
  return true;
}

void HostProcess::Remove(Thread* thread) {
  Ref<Thread> last, first;  // dropped outside the lock
  std::vector<Ref<Thread>> idle;
  {
    absl::MutexLock lock(&mu_);
    const auto found = std::find(threads_.begin(), threads_.end(), thread);
    if (found == threads_.end()) return;
    last = std::move(*found);
    threads_.erase(found);
    if (thread->idles()) idle_.push_back(last);
    if (threads_.empty()) {
      first = std::move(kept_first_);
      idle.swap(idle_);
    }
  }
  for (const Ref<Thread>& each : idle) each->LeaveAtLast();
  if (first) first->LeaveAtLast();
}

bool HostProcess::MayIdle(const Thread& thread) {
  absl::MutexLock lock(&mu_);
  const bool is_first = thread.host_tid() == pid_;
  if (buried_ || kill_ || is_first || threads_.size() < 2 || may_idle_ == kMostIdle) return false;
  ++may_idle_;
  return true;
}

Ref<Thread> HostProcess::TakeIdle(pid_t maker) {
  absl::MutexLock lock(&mu_);
  if (idle_.empty() || !HaveSameAffinity(idle_.back()->host_tid(), maker)) return nullptr;
  Ref<Thread> idle = std::move(idle_.back());
  idle_.pop_back();
  --may_idle_;
  return idle;
}

bool HostProcess::IsAlone(const Thread& thread) {
  absl::MutexLock lock(&mu_);
  return !buried_ && !kill_ && thread.host_tid() == pid_ && threads_.size() == 1 && idle_.empty();
}

bool HostProcess::KeepFirst(Thread& thread) {
  absl::MutexLock lock(&mu_);
  if (thread.host_tid() != pid_ || threads_.size() < 2) return false;
  kept_first_ = Ref<Thread>(&thread);
  return true;
}

std::vector<Ref<Thread>> HostProcess::Bury() {
  Ref<Thread> first;  // dropped outside the lock
  std::vector<Ref<Thread>> idle;
  absl::MutexLock lock(&mu_);
  first = std::move(kept_first_);
  idle.swap(idle_);
  if (pid_ != 0) space_->RemoveProcess(pid_);
  pid_ = 0;
  buried_ = true;
  return std::move(threads_);
}

void Processes::Add(pid_t pid, Ref<HostProcess> process) {
  absl::MutexLock lock(&mu_);
  by_pid_[pid] = std::move(process);
}

bool Processes::Has(pid_t pid) {
  absl::MutexLock lock(&mu_);
  return by_pid_.contains(pid);
}

Ref<HostProcess> Processes::TakeDead(pid_t pid) {
  absl::MutexLock lock(&mu_);
  const auto found = by_pid_.find(pid);
  if (found == by_pid_.end()) {
    siginfo_t info = {};
    waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG);
    return nullptr;
  }
  Ref<HostProcess> process = std::move(found->second);
  by_pid_.erase(found);
  return process;
}

bool Processes::TakeIfReaped(pid_t pid) {
  Ref<HostProcess> process;  // dropped outside the lock
  absl::MutexLock lock(&mu_);
  siginfo_t info = {};
  if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0) return false;
  const auto found = by_pid_.find(pid);
  if (found == by_pid_.end()) return false;
  process = std::move(found->second);
  by_pid_.erase(found);
  return true;
}

bool Processes::Empty() {
  absl::MutexLock lock(&mu_);
  return by_pid_.empty();
}

std::vector<Ref<HostProcess>> Processes::All() {
  absl::MutexLock lock(&mu_);
  std::vector<Ref<HostProcess>> all;
  for (const auto& [pid, process] : by_pid_) all.push_back(process);
  return all;
}

}  // namespace cloister::systrap
