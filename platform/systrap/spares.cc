#include "platform/systrap/spares.h"

#include <algorithm>

#include "base/log/log.h"

namespace cloister::systrap {

void Spares::SetZygote(Ref<Thread> zygote) {
  absl::MutexLock lock(&mu_);
  zygote_ = std::move(zygote);
}

bool Spares::TakeBootReport(platform::Trap* trap) {
  absl::MutexLock lock(&mu_);
  *trap = report_;
  return std::exchange(reported_, false);
}

void Spares::Start() {
  absl::MutexLock lock(&mu_);
  booting_ = false;
  idle_ = true;
  while (spares_.size() < ready_) {
    ErrnoOr<Ref<Thread>> spare = OrderLocked();
    if (!spare.ok()) break;
    spares_.push_back(*spare);
  }
  PumpLocked();
}

void Spares::Stop() {
  std::deque<Ref<Thread>> orders, spares;  // dropped outside the lock
  absl::MutexLock lock(&mu_);
  ended_ = true;
  orders.swap(orders_);
  spares.swap(spares_);
}

ErrnoOr<Ref<Thread>> Spares::OrderLocked() {
  Ref<Thread> child = TRY(zygote_->MakeChild(platform::CloneKind::kFork, this, true));
  orders_.push_back(child);
  return child;
}

void Spares::PumpLocked() {
  if (!idle_ || orders_.empty()) return;
  idle_ = false;
  platform::CloneRequest request;
  request.kind = platform::CloneKind::kFork;
  request.after = platform::AfterOps::kReport;
  Ref<Thread> child = std::move(orders_.front());
  orders_.pop_front();
  zygote_->SendClone(std::move(child), request);
}

ErrnoOr<Ref<Thread>> Spares::Take(platform::TrapHandler* handler) {
  absl::MutexLock lock(&mu_);
  if (ended_) return Errno::kAgain;
  Ref<Thread> taken;
  while (!taken && !spares_.empty()) {
    if (spares_.front()->Adopt(handler)) taken = spares_.front();
    spares_.pop_front();
  }
  if (!taken) {
    taken = TRY(OrderLocked());
    taken->Adopt(handler);
  }
  while (spares_.size() < ready_) {
    ErrnoOr<Ref<Thread>> next = OrderLocked();
    if (!next.ok()) break;
    spares_.push_back(*next);
  }
  PumpLocked();
  return taken;
}

void Spares::OnTrap(platform::GuestThread& thread, const platform::Trap& trap) {
  if (&thread != zygote_.get()) {  // a spare does nothing until it is asked
    thread.KillProcess();
    return;
  }
  absl::MutexLock lock(&mu_);
  if (booting_) {
    report_ = trap;
    reported_ = true;
    return;
  }
  if (trap.kind != platform::Trap::Kind::kOpsDone) {
    LOG(kError, "the zygote trapped by itself");
    zygote_->KillProcess();
    return;
  }
  if (trap.result < 0) LOG(kWarning, "a new process could not be forked: errno %d", -trap.result);
  idle_ = true;
  PumpLocked();
}

void Spares::OnGone(platform::GuestThread& thread, int host_status) {
  std::deque<Ref<Thread>> orders;
  bool asked_for = false;
  {
    absl::MutexLock lock(&mu_);
    if (&thread != zygote_.get()) {
      std::erase_if(spares_, [&](const Ref<Thread>& spare) { return spare.get() == &thread; });
      return;
    }
    if (!ended_) LOG(kError, "the zygote is dead, wait status %d", host_status);
    asked_for = std::exchange(ended_, true);
    orders.swap(orders_);
  }
  for (const Ref<Thread>& order : orders) order->Gone(host_status);
  if (!asked_for && core_->on_zygote_dead) core_->on_zygote_dead(thread.host_pid());
}

}  // namespace cloister::systrap
