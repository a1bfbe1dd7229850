#include <fcntl.h>
#include <linux/netlink.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// mq_overview(7).
namespace cloister::tests {
namespace {

std::string FreshName() {
  static int count = 0;
  return "/cloister-" + std::to_string(getpid()) + "-" + std::to_string(++count);
}

// A queue that is unlinked with the object. On Linux a mqd_t is a descriptor.
class Queue {
 public:
  explicit Queue(long messages = 4, long bytes = 32, int flags = O_RDWR, mode_t mode = 0600)
      : name_(FreshName()) {
    mq_attr attr = {};
    attr.mq_maxmsg = messages;
    attr.mq_msgsize = bytes;
    fd_ = TestFd(mq_open(name_.c_str(), flags | O_CREAT | O_EXCL, mode, &attr));
  }
  Queue(const Queue&) = delete;
  ~Queue() { mq_unlink(name_.c_str()); }

  const std::string& name() const { return name_; }
  int fd() const { return fd_.get(); }
  void Close() { fd_.reset(); }
  int Send(const std::string& text, unsigned priority = 0) const {
    return mq_send(fd(), text.data(), text.size(), priority);
  }
  // "priority:text", or the errno's name.
  std::string Receive() const {
    char text[64];
    unsigned priority;
    const ssize_t got = mq_receive(fd(), text, sizeof text, &priority);
    if (got < 0) return strerrorname_np(errno);
    return std::to_string(priority) + ":" + std::string(text, static_cast<size_t>(got));
  }
  mq_attr Attr() const {
    mq_attr attr = {};
    EXPECT_THAT(mq_getattr(fd(), &attr), SyscallSucceeds());
    return attr;
  }

 private:
  std::string name_;
  TestFd fd_;
};

TEST(Mqueue, ByPriorityThenAge) {
  const Queue queue;
  EXPECT_THAT(queue.Send("low", 1), SyscallSucceeds());
  EXPECT_THAT(queue.Send("high", 9), SyscallSucceeds());
  EXPECT_THAT(queue.Send("high2", 9), SyscallSucceeds());
  EXPECT_THAT(queue.Send("", 32767), SyscallSucceeds());
  EXPECT_EQ(queue.Attr().mq_curmsgs, 4);
  EXPECT_EQ(queue.Receive(), "32767:");
  EXPECT_EQ(queue.Receive(), "9:high");
  EXPECT_EQ(queue.Receive(), "9:high2");
  EXPECT_EQ(queue.Receive(), "1:low");
}

TEST(Mqueue, Attributes) {
  const Queue queue(7, 33);
  mq_attr attr = queue.Attr();
  EXPECT_EQ(attr.mq_maxmsg, 7);
  EXPECT_EQ(attr.mq_msgsize, 33);
  EXPECT_EQ(attr.mq_curmsgs, 0);
  EXPECT_EQ(attr.mq_flags, 0);
  mq_attr wanted = {}, old = {};
  wanted.mq_flags = O_NONBLOCK;
  wanted.mq_maxmsg = 1;
  EXPECT_THAT(mq_setattr(queue.fd(), &wanted, &old), SyscallSucceeds());
  EXPECT_EQ(old.mq_flags, 0);
  attr = queue.Attr();
  EXPECT_EQ(attr.mq_flags, O_NONBLOCK);
  EXPECT_EQ(attr.mq_maxmsg, 7);
  EXPECT_EQ(fcntl(queue.fd(), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  EXPECT_EQ(queue.Receive(), "EAGAIN");
  wanted.mq_flags = O_APPEND;
  EXPECT_THAT(mq_setattr(queue.fd(), &wanted, nullptr), SyscallFailsWithErrno(EINVAL));
  const Pipe pipe;
  EXPECT_THAT(mq_getattr(pipe.read.get(), &attr), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fcntl(queue.fd(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
}

TEST(Mqueue, DefaultSizes) {
  const std::string name = FreshName();
  const TestFd fd(mq_open(name.c_str(), O_RDWR | O_CREAT, 0600, nullptr));
  mq_attr attr = {};
  EXPECT_THAT(mq_getattr(fd.get(), &attr), SyscallSucceeds());
  EXPECT_EQ(std::to_string(attr.mq_maxmsg) + "\n", ReadFile("/proc/sys/fs/mqueue/msg_default"));
  EXPECT_EQ(std::to_string(attr.mq_msgsize) + "\n", ReadFile("/proc/sys/fs/mqueue/msgsize_default"));
  EXPECT_THAT(mq_unlink(name.c_str()), SyscallSucceeds());
}

TEST(Mqueue, Opening) {
  const Queue queue;
  const char* const name = queue.name().c_str();
  EXPECT_THAT(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, nullptr), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mq_open("/cloister-missing", O_RDWR), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mq_open("no-slash", O_RDWR), SyscallFailsWithErrno(EINVAL));  // the library's
  EXPECT_THAT(mq_open("/a/b", O_RDWR | O_CREAT, 0600, nullptr), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(mq_open("/..", O_RDWR), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(mq_open(("/" + std::string(256, 'x')).c_str(), O_RDWR), SyscallFailsWithErrno(ENAMETOOLONG));
  EXPECT_THAT(syscall(SYS_mq_open, "", O_RDWR, 0, nullptr), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(syscall(SYS_mq_open, BadPointer(), O_RDWR, 0, nullptr), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_mq_open, name + 1, O_RDWR, 0, BadPointer()), SyscallFailsWithErrno(EFAULT));
  const TestFd again(mq_open(name, O_RDONLY));
  EXPECT_THAT(queue.Send("both"), SyscallSucceeds());
  char text[64];
  EXPECT_THAT(mq_send(again.get(), "x", 1, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(mq_receive(again.get(), text, sizeof text, nullptr), SyscallSucceedsWithValue(4));
  const TestFd write_only(mq_open(name, O_WRONLY));
  EXPECT_THAT(mq_receive(write_only.get(), text, sizeof text, nullptr), SyscallFailsWithErrno(EBADF));
}

TEST(Mqueue, BadSizes) {
  const std::string name = FreshName();
  mq_attr attr = {};
  const auto open = [&](long messages, long bytes) {
    attr.mq_maxmsg = messages;
    attr.mq_msgsize = bytes;
    return mq_open(name.c_str(), O_RDWR | O_CREAT, 0600, &attr);
  };
  EXPECT_THAT(open(0, 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(open(8, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(open(-1, 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(open(65537, 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(open(8, 16777217), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(InChild([&] {
                BecomeUser(1000, 1000);
                CHILD_CHECK(open(11, 8) == -1 && errno == EINVAL);
                CHILD_CHECK(open(10, 8193) == -1 && errno == EINVAL);
              }),
              ExitedWith(0));
  EXPECT_THAT(mq_unlink(name.c_str()), SyscallFailsWithErrno(ENOENT));
}

TEST(Mqueue, MemoryLimit) {
  EXPECT_THAT(InChild([] {
                BecomeUser(54321, 54321);
                const rlimit limit = {2000, 2000};
                CHILD_CHECK(setrlimit(RLIMIT_MSGQUEUE, &limit) == 0);
                mq_attr attr = {};
                attr.mq_maxmsg = 10;
                attr.mq_msgsize = 100;
                const std::string one = FreshName(), two = FreshName();
                const int fd = mq_open(one.c_str(), O_RDWR | O_CREAT, 0600, &attr);  // 10 * (100 + 48 + 48)
                CHILD_CHECK(fd >= 0);
                attr.mq_maxmsg = 1;
                CHILD_CHECK(mq_open(two.c_str(), O_RDWR | O_CREAT, 0600, &attr) == -1 && errno == EMFILE);
                CHILD_CHECK(mq_unlink(one.c_str()) == 0);
                CHILD_CHECK(mq_open(two.c_str(), O_RDWR | O_CREAT, 0600, &attr) == -1 && errno == EMFILE);
                CHILD_CHECK(mq_close(fd) == 0);
                CHILD_CHECK(mq_open(two.c_str(), O_RDWR | O_CREAT, 0600, &attr) >= 0);
                CHILD_CHECK(mq_unlink(two.c_str()) == 0);
              }),
              ExitedWith(0));
}

TEST(Mqueue, BadMessages) {
  const Queue queue(4, 8);
  char text[8];
  EXPECT_THAT(queue.Send("123456789"), SyscallFailsWithErrno(EMSGSIZE));
  EXPECT_THAT(queue.Send("1", 32768), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mq_send(queue.fd(), BadPointer<char>(), 1, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(mq_receive(queue.fd(), text, 7, nullptr), SyscallFailsWithErrno(EMSGSIZE));
  EXPECT_THAT(mq_send(-1, "x", 1, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(queue.Send("gone"), SyscallSucceeds());
  EXPECT_THAT(mq_receive(queue.fd(), BadPointer<char>(), 8, nullptr), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(queue.Attr().mq_curmsgs, 0);
}

TEST(Mqueue, UnlinkedQueueLivesOn) {
  const Queue queue;
  EXPECT_THAT(mq_unlink(queue.name().c_str()), SyscallSucceeds());
  EXPECT_THAT(mq_unlink(queue.name().c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(queue.Send("still"), SyscallSucceeds());
  EXPECT_EQ(queue.Receive(), "0:still");
  struct stat info;
  EXPECT_THAT(fstat(queue.fd(), &info), SyscallSucceeds());
  EXPECT_EQ(info.st_nlink, 0u);
}

TEST(Mqueue, ReceiverWaits) {
  const Queue queue;
  Child child([&] { CHILD_CHECK(queue.Receive() == "3:hello"); });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  EXPECT_THAT(queue.Send("hello", 3), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(queue.Attr().mq_curmsgs, 0);
}

TEST(Mqueue, SenderWaits) {
  const Queue queue(1);
  EXPECT_THAT(queue.Send("one"), SyscallSucceeds());
  Child child([&] { CHILD_CHECK(queue.Send("two", 5) == 0); });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  EXPECT_EQ(queue.Receive(), "0:one");
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(queue.Receive(), "5:two");
}

TEST(Mqueue, Timeouts) {
  const Queue queue(1);
  char text[32];
  const timespec past = {1, 0}, bad = {0, -1};
  const timespec soon = ToTimespec(Now(CLOCK_REALTIME) + 20 * kMillisecond);
  EXPECT_THAT(mq_timedreceive(queue.fd(), text, sizeof text, nullptr, &past),
              SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_THAT(mq_timedreceive(queue.fd(), text, sizeof text, nullptr, &soon),
              SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_GE(Now(CLOCK_REALTIME), Nanoseconds(soon));
  EXPECT_THAT(mq_timedreceive(queue.fd(), text, sizeof text, nullptr, &bad), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mq_timedsend(queue.fd(), "x", 1, 0, &past), SyscallSucceeds());
  EXPECT_THAT(mq_timedsend(queue.fd(), "x", 1, 0, &past), SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_THAT(mq_timedsend(queue.fd(), "x", 1, 0, BadPointer<timespec>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(queue.Attr().mq_curmsgs, 1);
}

TEST(Mqueue, SignalsInterruptOrRestart) {
  const Queue queue;
  Child interrupted([&] {
    const ScopedSigaction action(SIGUSR1, +[](int) {});
    CHILD_CHECK(queue.Receive() == "EINTR");
  });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(interrupted.pid()) == 'S'; }));
  EXPECT_EQ(kill(interrupted.pid(), SIGUSR1), 0);
  EXPECT_THAT(interrupted.Wait(), ExitedWith(0));
  static int handled = -1;
  const Pipe pipe;
  handled = pipe.write.get();
  Child restarted([&] {
    const ScopedSigaction action(SIGUSR1, +[](int) { write(handled, "h", 1); }, SA_RESTART);
    CHILD_CHECK(queue.Receive() == "0:text");
  });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(restarted.pid()) == 'S'; }));
  EXPECT_EQ(kill(restarted.pid(), SIGUSR1), 0);
  char byte;
  ASSERT_EQ(read(pipe.read.get(), &byte, 1), 1);
  EXPECT_THAT(queue.Send("text"), SyscallSucceeds());
  EXPECT_THAT(restarted.Wait(), ExitedWith(0));
}

TEST(Mqueue, Poll) {
  const Queue queue(1);
  pollfd entry = {queue.fd(), POLLIN | POLLOUT, 0};
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(entry.revents, POLLOUT);
  const TestFd epoll(epoll_create1(0));
  epoll_event event = {};
  event.events = EPOLLIN;
  ASSERT_THAT(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, queue.fd(), &event), SyscallSucceeds());
  EXPECT_THAT(epoll_wait(epoll.get(), &event, 1, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(queue.Send("x"), SyscallSucceeds());
  EXPECT_THAT(epoll_wait(epoll.get(), &event, 1, -1), SyscallSucceedsWithValue(1));
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(entry.revents, POLLIN);
  Child child([&] {
    pollfd room = {queue.fd(), POLLOUT, 0};
    CHILD_CHECK(poll(&room, 1, -1) == 1);
  });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  EXPECT_EQ(queue.Receive(), "0:x");
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(Mqueue, NotifiesBySignal) {
  const Queue queue;
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const sigset_t set = SignalSet({SIGUSR1});
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  event.sigev_value.sival_int = 77;
  EXPECT_THAT(mq_notify(queue.fd(), &event), SyscallSucceeds());
  EXPECT_THAT(mq_notify(queue.fd(), &event), SyscallFailsWithErrno(EBUSY));
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(mq_notify(queue.fd(), &event) == -1 && errno == EBUSY);
                CHILD_CHECK(mq_notify(queue.fd(), nullptr) == 0);  // not its own: nothing happens
                CHILD_CHECK(queue.Send("wake") == 0);
              }),
              ExitedWith(0));
  siginfo_t info = {};
  const timespec now = {};
  ASSERT_THAT(sigtimedwait(&set, &info, &now), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_EQ(info.si_code, SI_MESGQ);
  EXPECT_EQ(info.si_value.sival_int, 77);
  EXPECT_NE(info.si_pid, getpid());
  EXPECT_EQ(info.si_uid, getuid());
  // Once only, and of the empty queue's first message alone.
  EXPECT_THAT(mq_notify(queue.fd(), &event), SyscallSucceeds());
  EXPECT_THAT(queue.Send("second"), SyscallSucceeds());
  EXPECT_THAT(sigtimedwait(&set, &info, &now), SyscallFailsWithErrno(EAGAIN));
  EXPECT_EQ(queue.Receive(), "0:wake");
  EXPECT_EQ(queue.Receive(), "0:second");
  EXPECT_THAT(queue.Send("third"), SyscallSucceeds());
  EXPECT_THAT(sigtimedwait(&set, &info, &now), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_EQ(queue.Receive(), "0:third");
  EXPECT_THAT(queue.Send("fourth"), SyscallSucceeds());
  EXPECT_THAT(sigtimedwait(&set, &info, &now), SyscallFailsWithErrno(EAGAIN));
}

TEST(Mqueue, WaitingReceiverComesBeforeNotification) {
  const Queue queue;
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const sigset_t set = SignalSet({SIGUSR1});
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  ASSERT_THAT(mq_notify(queue.fd(), &event), SyscallSucceeds());
  Child child([&] { CHILD_CHECK(queue.Receive() == "0:taken"); });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  EXPECT_THAT(queue.Send("taken"), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  const timespec now = {};
  EXPECT_THAT(sigtimedwait(&set, nullptr, &now), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(mq_notify(queue.fd(), nullptr), SyscallSucceeds());
  EXPECT_THAT(mq_notify(queue.fd(), &event), SyscallSucceeds());
}

TEST(Mqueue, NotificationGoesWithItsOwner) {
  const Queue queue;
  sigevent event = {};
  event.sigev_notify = SIGEV_NONE;
  EXPECT_THAT(InChild([&] { CHILD_CHECK(mq_notify(queue.fd(), &event) == 0); }), ExitedWith(0));
  EXPECT_THAT(mq_notify(queue.fd(), &event), SyscallSucceeds());
  EXPECT_THAT(mq_notify(queue.fd(), &event), SyscallFailsWithErrno(EBUSY));
  EXPECT_EQ(close(dup(queue.fd())), 0);  // any descriptor's end is enough
  EXPECT_THAT(mq_notify(queue.fd(), &event), SyscallSucceeds());
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = 65;
  EXPECT_THAT(mq_notify(queue.fd(), &event), SyscallFailsWithErrno(EINVAL));
  event.sigev_notify = 99;
  EXPECT_THAT(mq_notify(queue.fd(), &event), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_mq_notify, queue.fd(), BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(mq_notify(-1, nullptr), SyscallFailsWithErrno(EBADF));
}

TEST(Mqueue, NotifiesByACookie) {
  const Queue queue;
  const TestFd socket(::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  char cookie[32] = "cookie of the test";
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_signo = socket.get();
  event.sigev_value.sival_ptr = cookie;
  ASSERT_THAT(syscall(SYS_mq_notify, queue.fd(), &event), SyscallSucceeds());
  EXPECT_THAT(queue.Send("x"), SyscallSucceeds());
  char got[64] = {};
  EXPECT_THAT(recv(socket.get(), got, sizeof got, 0), SyscallSucceedsWithValue(32));
  EXPECT_STREQ(got, "cookie of the test");
  EXPECT_EQ(got[31], 1);  // NOTIFY_WOKENUP
  ASSERT_THAT(syscall(SYS_mq_notify, queue.fd(), &event), SyscallSucceeds());
  ASSERT_THAT(syscall(SYS_mq_notify, queue.fd(), nullptr), SyscallSucceeds());
  EXPECT_THAT(recv(socket.get(), got, sizeof got, 0), SyscallSucceedsWithValue(32));
  EXPECT_EQ(got[31], 2);  // NOTIFY_REMOVED
  event.sigev_signo = queue.fd();
  EXPECT_THAT(syscall(SYS_mq_notify, queue.fd(), &event), SyscallFailsWithErrno(ENOTSOCK));
  event.sigev_signo = -1;
  EXPECT_THAT(syscall(SYS_mq_notify, queue.fd(), &event), SyscallFailsWithErrno(EBADF));
}

TEST(Mqueue, State) {
  const Queue queue;
  EXPECT_THAT(queue.Send("12345"), SyscallSucceeds());
  EXPECT_EQ(ReadAll(queue.fd()), "QSIZE:5          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n");
  EXPECT_THAT(write(queue.fd(), "x", 1), SyscallFailsWithErrno(EINVAL));
  struct stat info;
  EXPECT_THAT(fstat(queue.fd(), &info), SyscallSucceeds());
  EXPECT_TRUE(S_ISREG(info.st_mode));
  EXPECT_EQ(info.st_size, 80);
}

TEST(Mqueue, Permissions) {
  const Queue queue(4, 32, O_RDWR, 0604);
  EXPECT_THAT(InChild([&] {
                BecomeUser(1000, 1000);
                CHILD_CHECK(mq_open(queue.name().c_str(), O_RDWR) == -1 && errno == EACCES);
                CHILD_CHECK(mq_open(queue.name().c_str(), O_RDONLY) >= 0);
                CHILD_CHECK(mq_unlink(queue.name().c_str()) == -1 && errno == EACCES);
              }),
              ExitedWith(0));
}

// A test that fails halfway leaves no mount on the machine.
struct Unmounting {
  const std::string& place;
  ~Unmounting() { umount2(place.c_str(), MNT_DETACH); }
};

TEST(Mqueue, MountedQueuesAreFiles) {
  const TempDir dir;
  const std::string place = dir.WithDirectory("mqueue");
  ASSERT_THAT(mount("queues", place.c_str(), "mqueue", 0, nullptr), SyscallSucceeds());
  const Unmounting at_last{place};
  const Queue queue;
  const std::string file = place + queue.name();
  EXPECT_THAT(queue.Send("123"), SyscallSucceeds());
  EXPECT_THAT(ReadFile(file), testing::StartsWith("QSIZE:3 "));
  EXPECT_THAT(List(place), testing::Contains(queue.name().substr(1)));
  TestFd made = Open(place + "/made-here", O_RDWR | O_CREAT);
  const TestFd opened(mq_open("/made-here", O_RDWR));
  EXPECT_THAT(mq_send(made.get(), "m", 1, 0), SyscallSucceeds());
  char text[8192];
  EXPECT_THAT(mq_receive(opened.get(), text, sizeof text, nullptr), SyscallSucceedsWithValue(1));
  EXPECT_THAT(unlink((place + "/made-here").c_str()), SyscallSucceeds());
  EXPECT_THAT(mq_open("/made-here", O_RDWR), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mkdir((place + "/directory").c_str(), 0700), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(mq_unlink(queue.name().c_str()), SyscallSucceeds());
  EXPECT_FALSE(Exists(file));
  struct stat info;
  EXPECT_THAT(stat(place.c_str(), &info), SyscallSucceeds());
  EXPECT_EQ(info.st_mode, mode_t{S_IFDIR | 01777});
  made.reset();
  EXPECT_THAT(umount(place.c_str()), SyscallSucceeds());
}

TEST(Mqueue, ManySendersAndReceivers) {
  const Queue queue(2);
  constexpr int kEach = 200;
  const auto send = [&] {
    for (int i = 0; i < kEach; ++i) EXPECT_THAT(queue.Send("text", 1), SyscallSucceeds());
  };
  const auto receive = [&] {
    for (int i = 0; i < kEach; ++i) EXPECT_EQ(queue.Receive(), "1:text");
  };
  {
    const ScopedThread a(send), b(send), c(receive), d(receive);
  }
  EXPECT_EQ(queue.Attr().mq_curmsgs, 0);
}

}  // namespace
}  // namespace cloister::tests
