#include "base/host/fd_passing.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "gtest/gtest.h"

namespace cloister {
namespace {

class FrameTest : public testing::Test {
 protected:
  FrameTest() {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    left.reset(pair[0]);
    right.reset(pair[1]);
  }
  UniqueFd left, right;
};

TEST_F(FrameTest, CarriesBytesAndDescriptors) {
  const std::string_view text = "hello";
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int fds[] = {null.get()};
  ASSERT_TRUE(SendFrame(left.get(), std::as_bytes(std::span(text)), fds).ok());
  auto frame = ReceiveFrame(right.get(), 100);
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->payload.size(), text.size());
  EXPECT_EQ(memcmp(frame->payload.data(), text.data(), text.size()), 0);
  EXPECT_EQ(frame->fds.size(), 1u);
}

TEST_F(FrameTest, RefusesAFrameOverTheLimit) {
  const std::string_view text = "hello";
  ASSERT_TRUE(SendFrame(left.get(), std::as_bytes(std::span(text)), {}).ok());
  EXPECT_FALSE(ReceiveFrame(right.get(), 4).ok());
}

TEST_F(FrameTest, TellsTheEndOfTheStream) {
  left.reset();
  auto frame = ReceiveFrame(right.get(), 4);
  ASSERT_TRUE(frame.ok());
  EXPECT_TRUE(frame->end_of_stream);
}

TEST_F(FrameTest, AStreamThatEndsInsideAFrameIsAnError) {
  const unsigned char half[] = {9, 0, 0, 0, 'x'};
  ASSERT_EQ(write(left.get(), half, sizeof half), static_cast<ssize_t>(sizeof half));
  left.reset();
  EXPECT_FALSE(ReceiveFrame(right.get(), 100).ok());
}

}  // namespace
}  // namespace cloister
