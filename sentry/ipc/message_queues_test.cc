#include "sentry/ipc/message_queues.h"

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace cloister::ipc {
namespace {

const auth::Credentials& Root() { return *auth::Credentials::Root(); }

class MessageQueuesTest : public ::testing::Test {
 protected:
  ErrnoOrVoid Send(int64_t type, size_t size) {
    Message message{type, std::vector<std::byte>(size)};
    return queues_->Send(*queue_, message, 1, Root());
  }
  ErrnoOr<Message> Receive(int64_t type, int flags = 0) {
    return queues_->Receive(*queue_, {type, 8192, flags}, 2, Root());
  }

  const Ref<MessageQueues> queues_ = MakeRef<MessageQueues>();
  const int id_ = queues_->Get(IPC_PRIVATE, 0600, Root()).value();
  const Ref<MessageQueue> queue_ = queues_->Find(id_).value();
};

TEST_F(MessageQueuesTest, LowestTypeFirst) {
  for (const int64_t type : {6, 2, 4, 2}) ASSERT_TRUE(Send(type, static_cast<size_t>(type)).ok());
  EXPECT_EQ(Receive(-5).value().type, 2);
  EXPECT_EQ(Receive(-1).error(), Errno::kAgain);
  EXPECT_EQ(Receive(2, MSG_EXCEPT).value().type, 6);
  EXPECT_EQ(Receive(0).value().type, 4);
  EXPECT_EQ(Receive(0).value().text.size(), 2u);
}

TEST_F(MessageQueuesTest, BytesAreBounded) {
  ASSERT_TRUE(Send(1, 8192).ok());
  ASSERT_TRUE(Send(1, 8192).ok());
  EXPECT_EQ(Send(1, 1).error(), Errno::kAgain);
  EXPECT_TRUE(Send(1, 0).ok());
  EXPECT_TRUE(Receive(0).ok());
  EXPECT_TRUE(Send(1, 1).ok());
}

TEST_F(MessageQueuesTest, RemovedQueueAnswersSo) {
  ASSERT_TRUE(Send(1, 5).ok());
  EXPECT_TRUE(queues_->Remove(id_, Root()).ok());
  EXPECT_EQ(Send(1, 5).error(), Errno::kIdRm);
  EXPECT_EQ(Receive(0).error(), Errno::kIdRm);
  EXPECT_EQ(queues_->Find(id_).error(), Errno::kInval);
  msginfo usage = {};
  queues_->Info(true, &usage);
  EXPECT_EQ(usage.msgpool, 0);
  EXPECT_EQ(usage.msgmap, 0);
  EXPECT_EQ(usage.msgtql, 0);
}

TEST_F(MessageQueuesTest, TwoThreads) {
  constexpr int kMessages = 5000;
  std::atomic<bool> ended{false};
  int sent = 0, received = 0;
  std::thread sender([&] {
    for (int i = 0; i < kMessages; ++i) sent += Send(1 + i % 3, 40).ok() ? 1 : 0;
    ended = true;
  });
  std::thread receiver([&] {
    while (true) {
      const bool last = ended;
      if (Receive(-3).ok()) {
        ++received;
      } else if (last) {
        return;
      }
    }
  });
  sender.join();
  receiver.join();
  EXPECT_EQ(sent, received);
  EXPECT_EQ(queues_->Describe(id_, Lookup::kById, Root()).value().status.msg_cbytes, 0u);
}

}  // namespace
}  // namespace cloister::ipc
