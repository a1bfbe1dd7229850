#include "sentry/fs/pipe/pipe_channel.h"

#include <string>
#include <string_view>
#include <thread>

#include "gtest/gtest.h"

namespace cloister::pipe {
namespace {

class PipeChannelTest : public ::testing::Test {
 protected:
  PipeChannelTest() : channel_(MakeRef<PipeChannel>()) { channel_->OpenEnd(true, true); }

  ErrnoOr<size_t> Write(std::string_view text, bool packets = false) {
    UserBuffer src = UserBuffer::KernelConst(std::as_bytes(std::span(text)));
    return channel_->Write(src, packets);
  }
  // The text read, or the errno's name.
  std::string Read(size_t size) {
    std::string text(size, '\0');
    UserBuffer dst = UserBuffer::Kernel(std::as_writable_bytes(std::span(text)));
    const ErrnoOr<size_t> got = channel_->Read(dst);
    if (!got.ok()) return std::string(ErrnoName(got.error()));
    text.resize(*got);
    return text;
  }

  Ref<PipeChannel> channel_;
};

// Counts what a queue tells.
class Counter final : public wait::Waiter {
 public:
  void OnEvent(Poll) override { ++count_; }
  int count_ = 0;
};

TEST_F(PipeChannelTest, GivesBytesInOrder) {
  EXPECT_EQ(*Write("hello "), 6u);
  EXPECT_EQ(*Write("world"), 5u);
  EXPECT_EQ(Read(3), "hel");
  EXPECT_EQ(Read(100), "lo world");
  EXPECT_EQ(Read(1), "EAGAIN");
}

TEST_F(PipeChannelTest, WrapsAndGrows) {
  for (int round = 0; round < 50; ++round) {
    const std::string text(3000 + round * 17, static_cast<char>('a' + round % 26));
    ASSERT_EQ(*Write(text), text.size());
    ASSERT_EQ(*Write("!"), 1u);
    ASSERT_EQ(Read(text.size()), text);
    ASSERT_EQ(Read(1), "!");
  }
}

TEST_F(PipeChannelTest, SmallWritesAreAtomic) {
  ASSERT_EQ(*Write(std::string(kDefaultCapacity - 10, 'x')), kDefaultCapacity - 10);
  EXPECT_EQ(Write(std::string(11, 'y')).error(), Errno::kAgain);
  EXPECT_EQ(*Write(std::string(kPipeBuf + 1, 'y')), 10u);
  EXPECT_EQ(Write("z").error(), Errno::kAgain);
}

TEST_F(PipeChannelTest, ReadyFollowsTheFill) {
  EXPECT_EQ(channel_->Ready(true, false, ~0ull), Poll::kNone);
  EXPECT_EQ(channel_->Ready(false, true, ~0ull), Poll::kOut);
  ASSERT_TRUE(Write(std::string(kDefaultCapacity - kPipeBuf + 1, 'x')).ok());
  EXPECT_EQ(channel_->Ready(true, false, ~0ull), Poll::kIn);
  EXPECT_EQ(channel_->Ready(false, true, ~0ull), Poll::kNone);
}

TEST_F(PipeChannelTest, TellsWritersOnceThereIsRoomForAPage) {
  Counter counter;
  wait::WaitEntry entry;
  ASSERT_TRUE(Write(std::string(kDefaultCapacity, 'x')).ok());
  channel_->queue().Add(entry, counter, Poll::kOut);
  Read(100);
  EXPECT_EQ(counter.count_, 0);
  Read(kPipeBuf);
  EXPECT_EQ(counter.count_, 1);
  Read(kPipeBuf);
  EXPECT_EQ(counter.count_, 1);
  channel_->queue().Remove(entry);
}

TEST_F(PipeChannelTest, EndsDecideOnPipeAndEndOfFile) {
  ASSERT_TRUE(Write("rest").ok());
  channel_->OpenEnd(true, false);
  channel_->CloseEnd(true, true);
  EXPECT_EQ(channel_->Ready(true, false, 0), Poll::kIn | Poll::kHup);
  EXPECT_EQ(Read(10), "rest");
  EXPECT_EQ(Read(10), "");
  channel_->OpenEnd(false, true);
  channel_->CloseEnd(true, false);
  EXPECT_EQ(Write("x").error(), Errno::kPipe);
  EXPECT_TRUE(channel_->Ready(false, true, 0).Any(Poll::kErr));
}

TEST_F(PipeChannelTest, PacketsKeepTheirBorders) {
  ASSERT_TRUE(Write("stream").ok());
  ASSERT_TRUE(Write("first", true).ok());
  ASSERT_TRUE(Write("second", true).ok());
  EXPECT_EQ(Read(100), "stream");
  EXPECT_EQ(Read(2), "fi");  // the rest of the packet is lost
  EXPECT_EQ(Read(100), "second");
}

TEST_F(PipeChannelTest, CapacityIsRoundedAndBounded) {
  EXPECT_EQ(*channel_->SetCapacity(1, false), kPipeBuf);
  EXPECT_EQ(*channel_->SetCapacity(5000, false), 8192u);
  ASSERT_TRUE(Write(std::string(6000, 'x')).ok());
  EXPECT_EQ(channel_->SetCapacity(4096, false).error(), Errno::kBusy);
  EXPECT_EQ(channel_->SetCapacity(kMaxCapacity + 1, false).error(), Errno::kPerm);
  EXPECT_EQ(*channel_->SetCapacity(kMaxCapacity + 1, true), 2 * kMaxCapacity);
  EXPECT_EQ(channel_->SetCapacity(0, true).error(), Errno::kInval);
  EXPECT_EQ(Read(7000), std::string(6000, 'x'));
}

TEST_F(PipeChannelTest, TakeHoldsOtherReadersOffAndPutsBack) {
  ASSERT_TRUE(Write("abcdef").ok());
  ErrnoOr<std::vector<std::byte>> taken = channel_->BeginTake(4);
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(taken->size(), 4u);
  EXPECT_EQ(Read(10), "EAGAIN");
  ASSERT_TRUE(Write("gh").ok());
  channel_->EndTake(2);
  EXPECT_EQ(Read(10), "cdefgh");
}

TEST_F(PipeChannelTest, PeekLeavesTheBytes) {
  ASSERT_TRUE(Write("abc").ok());
  EXPECT_EQ(channel_->Peek(2)->size(), 2u);
  EXPECT_EQ(Read(10), "abc");
}

TEST_F(PipeChannelTest, TwoThreadsPassEveryByte) {
  constexpr size_t kTotal = 4 << 20;
  std::thread writer([this] {
    std::string text(7001, '\0');
    for (size_t sent = 0; sent < kTotal;) {
      for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>((sent + i) % 251);
      const ErrnoOr<size_t> put =
          Write(std::string_view(text).substr(0, std::min(text.size(), kTotal - sent)));
      if (put.ok()) {
        sent += *put;
      } else {
        std::this_thread::yield();
      }
    }
  });
  size_t got = 0;
  bool right = true;
  while (got < kTotal) {
    const std::string text = Read(5003);
    if (text == "EAGAIN") {
      std::this_thread::yield();
      continue;
    }
    for (const char c : text) right &= c == static_cast<char>(got++ % 251);
  }
  writer.join();
  EXPECT_TRUE(right);
}

}  // namespace
}  // namespace cloister::pipe
