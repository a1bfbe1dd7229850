#include "platform/systrap/rests.h"

#include "absl/time/time.h"
#include "platform/systrap/thread.h"
#include "platform/systrap/thread_table.h"
#include "platform/systrap/watch.h"

namespace cloister::systrap {
namespace {

constexpr absl::Duration kPeriod = absl::Milliseconds(10);
constexpr int64_t kLongNs = 5'000'000;

}  // namespace

void Rests::Look() {
  absl::MutexLock lock(&mu_);
  seen_.store(true);
  wake_.Signal();
}

void Rests::Run() {
  bool again = false;
  for (;;) {
    {
      absl::MutexLock lock(&mu_);
      while (!stop_ && !again && !seen_.load()) wake_.Wait(&mu_);
      if (!stop_) wake_.WaitWithTimeout(&mu_, kPeriod);
      if (stop_) return;
    }
    seen_.store(false);
    again = false;
    const int64_t long_ago = NowNs() - kLongNs;
    for (const Ref<Thread>& thread : threads_->All()) again |= thread->Rest(long_ago);
  }
}

void Rests::Stop() {
  absl::MutexLock lock(&mu_);
  stop_ = true;
  wake_.Signal();
}

}  // namespace cloister::systrap
