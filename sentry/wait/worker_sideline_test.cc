// Tasks that are held back, and the poller whose work another thread does.
#include "sentry/wait/worker_sideline.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/synchronization/notification.h"
#include "sentry/wait/block.h"
#include "sentry/wait/parker.h"
#include "sentry/wait/poller.h"

namespace cloister::wait {
namespace {

class Sleeper final : public Parker {
 public:
  explicit Sleeper(WaitQueue* on) {
    Block block;
    block.on.push_back({nullptr, on, Poll::kIn});
    Arm(block);
    EXPECT_TRUE(Park());
  }
  ~Sleeper() override { Disarm(); }

  std::atomic<int> woken{0};
  std::atomic<std::thread::id> by{};
  WaitQueue* wakes = nullptr;
  absl::Notification done;

 private:
  void OnWake() override {
    by.store(std::this_thread::get_id());
    if (wakes != nullptr) wakes->Notify(Poll::kIn);
    if (woken.fetch_add(1) == 0) done.Notify();
  }
};

class EventFdClient final : public HostFdClient {
 public:
  explicit EventFdClient(WaitQueue* queue) : queue_(queue), fd_(eventfd(0, EFD_NONBLOCK)) {
    EXPECT_TRUE(Poller::Get().Watch(fd_, *this).ok());
  }
  ~EventFdClient() {
    Poller::Get().Unwatch(fd_);
    close(fd_);
  }
  void Raise() { EXPECT_EQ(eventfd_write(fd_, 1), 0); }

 private:
  void OnHostEvents(Poll events) override {
    if (events.Any(Poll::kIn)) queue_->Notify(Poll::kIn);
  }
  WaitQueue* const queue_;
  const int fd_;
};

class WorkerSidelineTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(Poller::Get().Start().ok()); }

  // Until the poller's thread has stepped aside a look sees nothing.
  template <typename Done>
  void LookUntil(Done done) {
    while (!done()) sideline_.Look();
  }

  WorkerSideline sideline_;
  WaitQueue queue_;
};

TEST_F(WorkerSidelineTest, WithoutItATaskGoesOnAtTheEndOfTheScope) {
  Sleeper sleeper(&queue_);
  {
    const WakeScope scope;
    queue_.Notify(Poll::kIn);
    EXPECT_EQ(sleeper.woken, 0);
  }
  EXPECT_EQ(sleeper.woken, 1);
}

TEST_F(WorkerSidelineTest, HoldsATaskUntilItIsToRun) {
  WaitQueue second;
  Sleeper sleeper(&queue_), next(&second);
  sleeper.wakes = &second;
  sideline_.Begin();
  LookUntil([] { return true; });
  {
    const WakeScope scope;
    queue_.Notify(Poll::kIn);
  }
  sideline_.RunHeld();
  sleeper.done.WaitForNotification();
  EXPECT_EQ(sleeper.woken, 1);
  sideline_.End();
  next.done.WaitForNotification();
  EXPECT_EQ(next.woken, 1) << "whom it woke was held in turn, and ran at the end";
}

TEST_F(WorkerSidelineTest, LooksForTheHostsEvents) {
  EventFdClient client(&queue_);
  Sleeper sleeper(&queue_);
  sideline_.Begin();
  client.Raise();
  LookUntil([&] {
    sideline_.RunHeld();
    return sleeper.woken == 1;
  });
  sideline_.End();
}

TEST_F(WorkerSidelineTest, ThePollerHelpsOutWhileNobodyLooks) {
  EventFdClient client(&queue_);
  Sleeper sleeper(&queue_);
  sideline_.Begin();
  client.Raise();
  sleeper.done.WaitForNotification();  // though this thread does nothing any more
  EXPECT_NE(sleeper.by.load(), std::this_thread::get_id());
  sideline_.End();
}

TEST_F(WorkerSidelineTest, ThePollerRunsWhatIsHeldWhileNobodyLooks) {
  Sleeper sleeper(&queue_);
  sideline_.Begin();
  {
    const WakeScope scope;
    queue_.Notify(Poll::kIn);
  }
  sleeper.done.WaitForNotification();
  EXPECT_NE(sleeper.by.load(), std::this_thread::get_id());
  sideline_.End();
}

TEST_F(WorkerSidelineTest, ThePollerGoesOnAfterwards) {
  EventFdClient client(&queue_);
  for (int i = 0; i < 20; ++i) {
    sideline_.Begin();
    sideline_.Look();
    sideline_.End();
    Sleeper sleeper(&queue_);
    client.Raise();
    sleeper.done.WaitForNotification();
    EXPECT_NE(sleeper.by.load(), std::this_thread::get_id());
  }
}

}  // namespace
}  // namespace cloister::wait
