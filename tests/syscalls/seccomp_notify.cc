#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstring>
#include <functional>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/seccomp.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// seccomp_unotify(2): a supervisor that answers calls.
namespace cloister::tests {
namespace {

constexpr unsigned kListen = SECCOMP_FILTER_FLAG_NEW_LISTENER;

TestFd ReceiveFd(int socket) {
  char byte;
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  EXPECT_EQ(recvmsg(socket, &message, 0), 1);
  int fd = -1;
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return TestFd(fd);
}

void SendFd(int socket, int fd) {
  char byte = 0;
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  CHILD_CHECK(sendmsg(socket, &message, 0) == 1);
}

class SeccompNotifyTest : public testing::Test {
 protected:
  void SetUp() override {
    if (prctl(PR_GET_SECCOMP) != 0) GTEST_SKIP() << "runs under a filter already";
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_), 0);
  }
  void TearDown() override {
    for (const int end : ends_) close(end);
  }
  // A child whose getppid(2) is answered here.
  Child Supervised(const std::function<void()>& body, unsigned flags = 0) {
    Child child([&] {
      const long listener = InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_USER_NOTIF), kListen | flags);
      CHILD_CHECK(listener >= 0);
      CHILD_CHECK(fcntl(static_cast<int>(listener), F_GETFD) == FD_CLOEXEC);
      SendFd(ends_[1], static_cast<int>(listener));
      close(static_cast<int>(listener));
      body();
    });
    listener_ = ReceiveFd(ends_[0]);
    return child;
  }
  seccomp_notif Receive() {
    seccomp_notif notif = {};
    EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &notif), SyscallSucceeds());
    return notif;
  }
  int Send(uint64_t id, int64_t value, int error = 0, uint32_t flags = 0) {
    seccomp_notif_resp reply = {id, value, error, flags};
    return ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &reply);
  }
  short Ready() {
    pollfd poll_fd = {listener_.get(), POLLIN | POLLOUT, 0};
    EXPECT_THAT(poll(&poll_fd, 1, 0), SyscallSucceeds());
    return poll_fd.revents;
  }

  int ends_[2] = {-1, -1};
  TestFd listener_;
};

TEST_F(SeccompNotifyTest, ASupervisorGivesTheResult) {
  Child child = Supervised([] {
    CHILD_CHECK(Getppid() == 1234);
    CHILD_CHECK(Getppid() == -1 && errno == ENOTUNIQ);
  });
  seccomp_notif notif = Receive();
  EXPECT_EQ(notif.pid, static_cast<uint32_t>(child.pid()));
  EXPECT_EQ(notif.data.nr, SYS_getppid);
  EXPECT_EQ(notif.flags, 0u);
  EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &notif.id), SyscallSucceeds());
  EXPECT_THAT(Send(notif.id, 1234), SyscallSucceeds());
  EXPECT_THAT(Send(Receive().id, 0, -ENOTUNIQ), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST_F(SeccompNotifyTest, ACallIsLetPass) {
  const pid_t self = getpid();
  Child child = Supervised([self] { CHILD_CHECK(Getppid() == self); });
  EXPECT_THAT(Send(Receive().id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST_F(SeccompNotifyTest, WrongRequests) {
  Child child = Supervised([] { Getppid(); });
  const seccomp_notif notif = Receive();
  EXPECT_THAT(Send(notif.id, 1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Send(notif.id, 0, 0, 2), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Send(notif.id + 1, 0), SyscallFailsWithErrno(ENOENT));
  const uint64_t other = notif.id + 1;
  EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &other), SyscallFailsWithErrno(ENOENT));
  seccomp_notif garbage = {};
  garbage.flags = 1;
  EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &garbage), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(ioctl(listener_.get(), 0x7777, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Send(notif.id, 0), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST_F(SeccompNotifyTest, Poll) {
  Child child = Supervised([] { Getppid(); });
  pollfd poll_fd = {listener_.get(), POLLIN, 0};
  EXPECT_THAT(poll(&poll_fd, 1, 10'000), SyscallSucceedsWithValue(1));
  EXPECT_EQ(Ready(), POLLIN);
  const seccomp_notif notif = Receive();
  EXPECT_EQ(Ready(), POLLOUT);
  EXPECT_THAT(Send(notif.id, 0), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(Ready(), POLLHUP);
}

TEST_F(SeccompNotifyTest, ACallThatIsInterruptedGoes) {
  Child child = Supervised([] {
    Getppid();
    _exit(1);
  });
  const seccomp_notif notif = Receive();
  kill(child.pid(), SIGKILL);
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
  EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &notif.id), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Send(notif.id, 0), SyscallFailsWithErrno(ENOENT));
}

TEST_F(SeccompNotifyTest, WithoutASupervisorItIsMissing) {
  Child child = Supervised([] {
    CHILD_CHECK(Getppid() == -1 && errno == ENOSYS);
    CHILD_CHECK(InstallFilter(Answering({}), kListen) >= 0);
  });
  Receive();
  listener_.reset();  // then there may be another one
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST_F(SeccompNotifyTest, TheSupervisorGivesAFile) {
  Child child = Supervised([] {
    const long fd = Getppid();
    CHILD_CHECK(fd == 77 && fcntl(77, F_GETFD) == FD_CLOEXEC);
    char byte = 0;
    CHILD_CHECK(read(77, &byte, 1) == 1 && byte == 'x');
    const long second = Getppid();
    CHILD_CHECK(second >= 0 && fcntl(static_cast<int>(second), F_GETFD) == 0);
  });
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const TestFd in(ends[0]), out(ends[1]);
  ASSERT_EQ(write(out.get(), "x", 1), 1);
  const uint64_t first = Receive().id;
  seccomp_notif_addfd add = {first, SECCOMP_ADDFD_FLAG_SETFD, static_cast<uint32_t>(in.get()), 77, O_CLOEXEC};
  EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add), SyscallSucceedsWithValue(77));
  EXPECT_THAT(Send(first, 77), SyscallSucceeds());
  const uint64_t second = Receive().id;
  add = {second, 0, 9999, 0, 0};
  EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add), SyscallFailsWithErrno(EBADF));
  add = {second, 0, static_cast<uint32_t>(in.get()), 5, 0};
  EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add), SyscallFailsWithErrno(EINVAL));
  add = {second, SECCOMP_ADDFD_FLAG_SEND, static_cast<uint32_t>(in.get()), 0, 0};
  EXPECT_THAT(ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST_F(SeccompNotifyTest, OneListenerForAChain) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_USER_NOTIF), kListen) >= 0);
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}), kListen) == -1 && errno == EBUSY);
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid})) == 0);
              }),
              ExitedWith(0));
}

TEST_F(SeccompNotifyTest, ASupervisorInTheSameProcess) {
  EXPECT_THAT(InChild([] {
                int listener = -1;
                std::atomic<int> ready{0};
                ScopedThread worker([&] {
                  listener = static_cast<int>(
                      InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_USER_NOTIF), kListen));
                  ready.store(1);
                  ready.notify_all();
                  for (int i = 0; i < 200; ++i) CHILD_CHECK(Getppid() == i);
                });
                ready.wait(0);
                for (int i = 0; i < 200; ++i) {
                  seccomp_notif notif = {};
                  CHILD_CHECK(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notif) == 0);
                  CHILD_CHECK(notif.pid == static_cast<uint32_t>(worker.tid()));
                  seccomp_notif_resp reply = {notif.id, i, 0, 0};
                  CHILD_CHECK(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply) == 0);
                }
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace cloister::tests
