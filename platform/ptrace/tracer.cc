#include "platform/ptrace/tracer.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/synchronization/notification.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "platform/process/own_signals.h"
#include "platform/process/wait_status.h"

namespace cloister::ptrace {
namespace {

thread_local const Tracer* here = nullptr;  // the tracer whose thread this is

}  // namespace

Tracer::Tracer(LaunchedZygote zygote, const PtraceOptions& options)
    : options_(options), files_(std::move(zygote.ours), std::move(zygote.theirs)), zygote_(this, zygote) {}

Tracer::~Tracer() { Stop(); }

absl::Status Tracer::Start() {
  const process::OwnSignalsOnly own_signals_only;
  absl::Status status;
  absl::Notification begun;
  thread_ = std::thread([&] {
    here = this;
    waiter_.Begin();
    status = zygote_.Seize(files_.socket());
    const bool seized = status.ok();
    if (seized) threads_[zygote_.thread().host_tid()] = Ref<Thread>(&zygote_.thread());
    begun.Notify();
    if (seized) Run();
  });
  begun.WaitForNotification();
  return status;
}

void Tracer::Stop() {
  orders_.Stop();
  if (thread_.joinable()) thread_.join();
  zygote_.Reap();
  while (TakeOrders()) {
    for (const Order& order : std::exchange(todo_, {})) order.thread->Gone(0);
  }
}

void Tracer::Tell(Ref<Thread> thread, Order::Task task) {
  Order order = {std::move(thread), task};
  if (here == this) {
    todo_.push_back(std::move(order));
  } else {
    orders_.Post(std::move(order));
  }
}

bool Tracer::TakeOrders() {
  for (Order& order : orders_.Take()) todo_.push_back(std::move(order));
  return !todo_.empty();
}

void Tracer::RunOrders() {
  while (TakeOrders()) {
    const Order order = std::move(todo_.front());
    todo_.pop_front();
    Do(order);
  }
}

void Tracer::Do(const Order& order) {
  switch (order.task) {
    case Order::Task::kAnswer:
      order.thread->CarryOut();
      return;
    case Order::Task::kBirth:
      zygote_.Fork(order.thread);
      return;
    case Order::Task::kGoOn:
      order.thread->GoOn();
      return;
    case Order::Task::kFarewell:
      order.thread->Gone(0);
      return;
  }
}

void Tracer::Run() {
  bool killing = false;
  for (;;) {
    if (killing) {
      TakeOrders();
    } else {
      RunOrders();
    }
    // Behind the last look at the orders, which silences the bell.
    if (!killing && stopping()) {
      killing = true;
      KillAll();
    }
    siginfo_t info;
    const int failed = waiter_.Wait(&info);
    if (failed == ECHILD) {
      if (killing) return;
      orders_.Await();
    } else if (failed == 0 && (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED)) {
      OnStop(info.si_pid, info.si_status);
    } else if (failed == 0) {
      OnEnd(info);
    }
  }
}

void Tracer::KillAll() {
  for (const auto& [tid, thread] : threads_) thread->KillProcess();
}

uint64_t Tracer::ExpectBirth(Ref<Thread> child) {
  births_[++last_token_] = std::move(child);
  return last_token_;
}

void Tracer::OnStop(pid_t tid, int status) {
  const auto found = threads_.find(tid);
  if (found == threads_.end()) {
    OnFirstStop(tid);
    return;
  }
  const Ref<Thread> thread = found->second;
  thread->OnStop(status);
}

void Tracer::OnFirstStop(pid_t tid) {
  platform::Registers regs;
  if (Tracee(tid).GetRegisters(&regs) != 0) return;
  const auto found = births_.find(regs.rbx);
  if (found == births_.end()) {
    LOG(kDebug, "thread %d came when nobody waited for it any more", tid);
    syscall(SYS_tgkill, tid, tid, SIGKILL);
    return;
  }
  const Ref<Thread> child = std::move(found->second);
  births_.erase(found);
  threads_[tid] = child;
  if (stopping()) child->KillProcess();
  child->OnBirth(tid, regs);
}

void Tracer::OnEnd(const siginfo_t& info) {
  const auto found = threads_.find(info.si_pid);
  if (found == threads_.end()) {
    if (!births_.empty()) unknown_ends_.insert(info.si_pid);
    return;
  }
  const Ref<Thread> thread = std::move(found->second);
  threads_.erase(found);
  if (births_.empty()) unknown_ends_.clear();
  Process& process = thread->process();
  const bool by_signal = info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
  if (info.si_pid != process.pid()) {
    thread->Gone(by_signal ? process::WaitStatus(info) : 0);
    return;
  }
  const bool from_outside = by_signal && info.si_status == SIGKILL && !process.killed();
  const bool is_zygote = info.si_pid == zygote_.thread().host_pid();  // which tells so itself
  if (from_outside && !stopping() && !is_zygote && options_.on_killed_outside) {
    options_.on_killed_outside(info.si_pid);
  }
  for (const Ref<Thread>& left : process.Bury()) left->Gone(process::WaitStatus(info));
}

}  // namespace cloister::ptrace
