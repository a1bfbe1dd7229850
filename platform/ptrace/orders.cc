#include "platform/ptrace/orders.h"

#include <utility>

#include "platform/ptrace/thread.h"

namespace cloister::ptrace {

void Orders::Post(Order order) {
  absl::MutexLock lock(&mu_);
  posted_.push_back(std::move(order));
  if (posted_.size() == 1) waiter_->Ring();
}

void Orders::Stop() {
  absl::MutexLock lock(&mu_);
  stopping_.store(true);
  waiter_->Ring();
}

std::vector<Order> Orders::Take() {
  absl::MutexLock lock(&mu_);
  waiter_->Silence();
  return std::exchange(posted_, {});
}

void Orders::Await() {
  absl::MutexLock lock(&mu_);
  auto some = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !posted_.empty() || stopping_.load(); };
  mu_.Await(absl::Condition(&some));
}

}  // namespace cloister::ptrace
