#include "runsc/shim/ttrpc/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/host/unique_fd.h"

namespace cloister::ttrpc {
namespace {

class FrameTest : public testing::Test {
 protected:
  FrameTest() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    peer_.reset(ends[0]);
    ours_.reset(ends[1]);
  }

  void Put(const std::string& bytes) {
    EXPECT_EQ(send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  absl::StatusOr<Frame> Read() { return ReadFrame(ours_.get()); }

  UniqueFd peer_, ours_;
};

std::string Header(const std::string& length, uint8_t type) {
  return length + std::string("\0\0\0\x05", 4) + static_cast<char>(type) + '\0';
}

TEST_F(FrameTest, ComesAsItWasSent) {
  ASSERT_TRUE(WriteFrame(peer_.get(), 7, FrameType::kResponse, "payload").ok());
  const absl::StatusOr<Frame> frame = Read();
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->stream, 7u);
  EXPECT_EQ(frame->type, 2);
  EXPECT_EQ(frame->payload, "payload");
}

TEST_F(FrameTest, HasBigEndianNumbersOnTheWire) {
  ASSERT_TRUE(WriteFrame(peer_.get(), 0x01020304, FrameType::kRequest, "ab").ok());
  char bytes[13];
  ASSERT_EQ(read(ours_.get(), bytes, sizeof bytes), 12);
  EXPECT_EQ(std::string(bytes, 12), std::string("\0\0\0\x02\x01\x02\x03\x04\x01\0ab", 12));
}

TEST_F(FrameTest, EmptyPayloadIsAFrame) {
  Put(Header(std::string(4, '\0'), 1));
  const absl::StatusOr<Frame> frame = Read();
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->stream, 5u);
  EXPECT_EQ(frame->payload, "");
}

TEST_F(FrameTest, EndBetweenFramesIsNoError) {
  peer_.reset();
  EXPECT_TRUE(absl::IsOutOfRange(Read().status()));
}

TEST_F(FrameTest, EndInsideAHeaderIsOne) {
  Put("\0\0\0");
  Put(std::string(2, '\0'));
  peer_.reset();
  EXPECT_TRUE(absl::IsDataLoss(Read().status()));
}

TEST_F(FrameTest, EndInsideAPayloadIsOne) {
  Put(Header(std::string("\0\0\0\x09", 4), 1) + "short");
  peer_.reset();
  EXPECT_TRUE(absl::IsDataLoss(Read().status()));
}

TEST_F(FrameTest, LengthWithTheReservedByteSetIsRefused) {
  Put(Header("\xff\xff\xff\xff", 1));
  EXPECT_TRUE(absl::IsDataLoss(Read().status()));
}

TEST_F(FrameTest, LengthAloneCostsNoMemory) {
  Put(Header(std::string("\0\x40\0\0", 4), 1));  // 4 MiB, of which nothing comes
  peer_.reset();
  EXPECT_TRUE(absl::IsDataLoss(Read().status()));
}

TEST_F(FrameTest, TooLongAPayloadIsSkipped) {
  constexpr size_t kLength = kMaxPayloadBytes + 1;
  std::thread writer([this] {
    Put(Header(std::string("\0\x40\0\x01", 4), 1) + std::string(kLength, 'x'));
    EXPECT_TRUE(WriteFrame(peer_.get(), 9, FrameType::kRequest, "next").ok());
  });
  const absl::StatusOr<Frame> frame = Read();
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_TRUE(frame->oversized);
  EXPECT_EQ(frame->payload, "");
  const absl::StatusOr<Frame> next = Read();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->payload, "next");
  writer.join();
}

TEST_F(FrameTest, LongestPayloadGoesThrough) {
  std::thread writer([this] {
    EXPECT_TRUE(WriteFrame(peer_.get(), 1, FrameType::kRequest, std::string(kMaxPayloadBytes, 'x')).ok());
  });
  const absl::StatusOr<Frame> frame = Read();
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->payload.size(), kMaxPayloadBytes);
  writer.join();
}

TEST_F(FrameTest, TooLongAPayloadIsNotSent) {
  EXPECT_TRUE(absl::IsResourceExhausted(
      WriteFrame(peer_.get(), 1, FrameType::kRequest, std::string(kMaxPayloadBytes + 1, 'x'))));
}

TEST_F(FrameTest, WritingToAPeerThatIsGoneIsAnErrorAndNoSignal) {
  ours_.reset();
  EXPECT_FALSE(WriteFrame(peer_.get(), 1, FrameType::kRequest, "x").ok());
}

}  // namespace
}  // namespace cloister::ttrpc
