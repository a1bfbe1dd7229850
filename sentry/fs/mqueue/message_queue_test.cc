#include "sentry/fs/mqueue/message_queue.h"

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace cloister::mqueue {
namespace {

Message MessageOf(uint32_t priority, size_t size = 3) { return {priority, std::vector<std::byte>(size)}; }

class MessageQueueTest : public ::testing::Test {
 protected:
  Ref<Transfer> Send(uint32_t priority) { return Begin(MakeRef<Transfer>(MessageOf(priority))); }
  Ref<Transfer> Receive() { return Begin(MakeRef<Transfer>()); }
  Ref<Transfer> Begin(Ref<Transfer> transfer) {
    EXPECT_TRUE(queue_.Begin(transfer, true, &fired_).ok());
    return transfer;
  }

  MessageQueue queue_{2, 16};
  std::optional<Notification> fired_;
};

TEST_F(MessageQueueTest, HandsOverInOrder) {
  const Ref<Transfer> first = Receive(), second = Receive();
  EXPECT_TRUE(queue_.IsDone(*Send(4)));
  EXPECT_TRUE(queue_.IsDone(*first));
  EXPECT_FALSE(queue_.IsDone(*second));
  EXPECT_EQ(first->message().priority, 4u);
  EXPECT_EQ(queue_.count(), 0);
  EXPECT_FALSE(queue_.Withdraw(*second));
  EXPECT_TRUE(queue_.Withdraw(*first));
  EXPECT_TRUE(queue_.IsDone(*Send(5)));
  EXPECT_EQ(queue_.count(), 1);
}

TEST_F(MessageQueueTest, WaitingSenderIsServedByAReceiver) {
  Send(1);
  Send(2);
  const Ref<Transfer> late = Send(9);
  EXPECT_FALSE(queue_.IsDone(*late));
  EXPECT_EQ(queue_.Ready(), Poll::kIn);
  const Ref<Transfer> taken = Receive();
  EXPECT_EQ(taken->message().priority, 2u);
  EXPECT_TRUE(queue_.IsDone(*late));
  EXPECT_EQ(queue_.count(), 2);
  EXPECT_EQ(Receive()->message().priority, 9u);
  EXPECT_EQ(queue_.Begin(MakeRef<Transfer>(), false, &fired_).ok(), true);
  EXPECT_EQ(queue_.Begin(MakeRef<Transfer>(), false, &fired_).error(), Errno::kAgain);
}

TEST_F(MessageQueueTest, TellsOnceAndOnlyWhereNobodyWaits) {
  Notification wanted;
  wanted.owner = 12;
  EXPECT_TRUE(queue_.SetNotification(wanted).ok());
  EXPECT_EQ(queue_.SetNotification(wanted).error(), Errno::kBusy);
  const Ref<Transfer> waiting = Receive();
  Send(1);
  EXPECT_FALSE(fired_.has_value());
  Send(1);
  ASSERT_TRUE(fired_.has_value());
  EXPECT_EQ(fired_->owner, 12);
  EXPECT_TRUE(queue_.SetNotification(wanted).ok());
  queue_.RemoveNotification(13);
  EXPECT_EQ(queue_.notification().owner, 12);
  queue_.RemoveNotification(12);
  EXPECT_EQ(queue_.notification().owner, 0);
}

TEST_F(MessageQueueTest, TwoThreads) {
  constexpr int kEach = 5000;
  std::atomic<int> sent{0}, received{0};
  std::thread sender([&] {
    std::optional<Notification> fired;
    for (int i = 0; i < kEach; ++i) {
      const Ref<Transfer> transfer = MakeRef<Transfer>(MessageOf(static_cast<uint32_t>(i % 7)));
      ASSERT_TRUE(queue_.Begin(transfer, true, &fired).ok());
      if (queue_.Withdraw(*transfer)) ++sent;
    }
  });
  std::thread receiver([&] {
    std::optional<Notification> fired;
    for (int i = 0; i < kEach; ++i) {
      const Ref<Transfer> transfer = MakeRef<Transfer>();
      ASSERT_TRUE(queue_.Begin(transfer, true, &fired).ok());
      if (queue_.Withdraw(*transfer)) ++received;
    }
  });
  sender.join();
  receiver.join();
  EXPECT_EQ(sent - received, queue_.count());
}

}  // namespace
}  // namespace cloister::mqueue
