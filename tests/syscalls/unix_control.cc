#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// Ancillary messages of unix(7): SCM_RIGHTS and SCM_CREDENTIALS; sendmsg(2), recvmsg(2), sendmmsg(2).
namespace cloister::tests {
namespace {

class ControlTest : public ::testing::TestWithParam<int> {
 protected:
  ControlTest() {
    int ends[2] = {-1, -1};
    EXPECT_THAT(socketpair(AF_UNIX, GetParam(), 0, ends), SyscallSucceeds());
    a_ = TestFd(ends[0]);
    b_ = TestFd(ends[1]);
  }
  TestFd a_, b_;
};

struct Received {
  ssize_t bytes = -1;
  int flags = 0;
  std::vector<int> fds;
  ucred credentials = {};
  bool has_credentials = false;
};

ssize_t SendFds(int socket, const std::vector<int>& fds, const std::string& text = "x") {
  iovec vector = {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  return sendmsg(socket, &message, 0);
}

Received Receive(int socket, int flags = 0, size_t control_size = 1024) {
  char text[64];
  iovec vector = {.iov_base = text, .iov_len = sizeof text};
  alignas(cmsghdr) char control[1024];
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = control_size;
  Received received;
  received.bytes = recvmsg(socket, &message, flags);
  EXPECT_THAT(received.bytes, SyscallSucceeds());
  if (received.bytes < 0) return received;
  received.flags = message.msg_flags;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_type == SCM_RIGHTS) {
      received.fds.resize((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      memcpy(received.fds.data(), CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    }
    if (header->cmsg_type == SCM_CREDENTIALS) {
      memcpy(&received.credentials, CMSG_DATA(header), sizeof(ucred));
      received.has_credentials = true;
    }
  }
  return received;
}

TEST_P(ControlTest, FilesCross) {
  Pipe pipe;
  ASSERT_THAT(SendFds(a_.get(), {pipe.read.get(), pipe.write.get()}), SyscallSucceedsWithValue(1));
  const Received received = Receive(b_.get());
  ASSERT_EQ(received.fds.size(), 2u);
  const TestFd read_end(received.fds[0]), write_end(received.fds[1]);
  EXPECT_THAT(fcntl(read_end.get(), F_GETFD), SyscallSucceedsWithValue(0));
  ASSERT_THAT(write(write_end.get(), "y", 1), SyscallSucceeds());
  char byte;
  EXPECT_THAT(read(pipe.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
}

TEST_P(ControlTest, FilesInFlightLiveOn) {
  Pipe pipe;
  ASSERT_THAT(SendFds(a_.get(), {pipe.write.get()}), SyscallSucceeds());
  pipe.write.reset();
  const Received received = Receive(b_.get(), MSG_CMSG_CLOEXEC);
  ASSERT_EQ(received.fds.size(), 1u);
  {
    const TestFd write_end(received.fds[0]);
    EXPECT_THAT(fcntl(write_end.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
    EXPECT_THAT(write(write_end.get(), "z", 1), SyscallSucceedsWithValue(1));
  }
  EXPECT_EQ(ReadAll(pipe.read.get()), "z");
}

TEST_P(ControlTest, FilesNobodyTakesAreClosed) {
  Pipe pipe;
  ASSERT_THAT(SendFds(a_.get(), {pipe.write.get()}), SyscallSucceeds());
  pipe.write.reset();
  b_.reset();
  a_.reset();
  EXPECT_EQ(ReadAll(pipe.read.get()), "");
}

TEST_P(ControlTest, TooLittleRoomTruncates) {
  const Pipe pipe;
  ASSERT_THAT(SendFds(a_.get(), {pipe.read.get(), pipe.write.get()}), SyscallSucceeds());
  const Received received = Receive(b_.get(), 0, CMSG_LEN(sizeof(int)));
  ASSERT_EQ(received.fds.size(), 1u);
  const TestFd got(received.fds[0]);
  EXPECT_TRUE(received.flags & MSG_CTRUNC);
}

TEST_P(ControlTest, ToAnotherProcess) {
  const TempDir dir;
  const std::string path = dir.WithFile("f", "contents");
  Child sender([&] {
    const int fd = open(path.c_str(), O_RDONLY);
    CHILD_CHECK(SendFds(a_.get(), {fd}) == 1);
  });
  EXPECT_THAT(sender.Wait(), ExitedWith(0));
  const Received received = Receive(b_.get());
  ASSERT_EQ(received.fds.size(), 1u);
  EXPECT_EQ(ReadAll(TestFd(received.fds[0]).get()), "contents");
}

TEST_P(ControlTest, Credentials) {
  const int on = 1;
  ASSERT_THAT(setsockopt(b_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), SyscallSucceeds());
  Child sender([&] { CHILD_CHECK(send(a_.get(), "x", 1, 0) == 1); });
  const pid_t pid = sender.pid();
  EXPECT_THAT(sender.Wait(), ExitedWith(0));
  const Received received = Receive(b_.get());
  ASSERT_TRUE(received.has_credentials);
  EXPECT_EQ(received.credentials.pid, pid);
  EXPECT_EQ(received.credentials.uid, getuid());
}

TEST_P(ControlTest, ForgedCredentialsAreRefused) {
  EXPECT_THAT(InChild([this] {
                BecomeUser(1234, 1234);
                char byte = 'x';
                iovec vector = {.iov_base = &byte, .iov_len = 1};
                alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))] = {};
                msghdr message = {};
                message.msg_iov = &vector;
                message.msg_iovlen = 1;
                message.msg_control = control;
                message.msg_controllen = sizeof control;
                cmsghdr* header = CMSG_FIRSTHDR(&message);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_CREDENTIALS;
                header->cmsg_len = CMSG_LEN(sizeof(ucred));
                const ucred forged = {.pid = getpid(), .uid = 0, .gid = 0};
                memcpy(CMSG_DATA(header), &forged, sizeof forged);
                CHILD_CHECK(sendmsg(a_.get(), &message, 0) == -1 && errno == EPERM);
                const ucred honest = {.pid = getpid(), .uid = 1234, .gid = 1234};
                memcpy(CMSG_DATA(header), &honest, sizeof honest);
                CHILD_CHECK(sendmsg(a_.get(), &message, 0) == 1);
              }),
              ExitedWith(0));
}

TEST_P(ControlTest, BadControlMessages) {
  EXPECT_THAT(SendFds(a_.get(), {-1}), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(SendFds(a_.get(), std::vector<int>(254, 0)),
              SyscallFailsWithErrno(EINVAL));  // SCM_MAX_FD is 253
  EXPECT_THAT(sendmsg(a_.get(), BadPointer<msghdr>(), 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(recvmsg(a_.get(), BadPointer<msghdr>(), 0), SyscallFailsWithErrno(EFAULT));
}

TEST_P(ControlTest, ManyMessagesAtOnce) {
  iovec vectors[3] = {{.iov_base = const_cast<char*>("a"), .iov_len = 1},
                      {.iov_base = const_cast<char*>("bb"), .iov_len = 2},
                      {.iov_base = const_cast<char*>("ccc"), .iov_len = 3}};
  mmsghdr messages[3] = {};
  for (int i = 0; i < 3; ++i) {
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  EXPECT_THAT(sendmmsg(a_.get(), messages, 3, 0), SyscallSucceedsWithValue(3));
  EXPECT_EQ(messages[2].msg_len, 3u);
  char text[3][16];
  for (int i = 0; i < 3; ++i) vectors[i] = {.iov_base = text[i], .iov_len = 16};
  const int got = recvmmsg(b_.get(), messages, 3, MSG_DONTWAIT, nullptr);
  EXPECT_THAT(got, SyscallSucceedsWithValue(GetParam() == SOCK_STREAM ? 1 : 3));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ControlTest, ::testing::Values(SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET));

}  // namespace
}  // namespace cloister::tests
