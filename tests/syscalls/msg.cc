#include <limits.h>
#include <signal.h>
#include <sys/msg.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/thread.h"

// msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
namespace cloister::tests {
namespace {

struct Text {
  long type = 0;
  char text[64] = {};
};

// A queue that goes with the object.
class Queue {
 public:
  explicit Queue(int mode = 0600, key_t key = IPC_PRIVATE) : id_(msgget(key, IPC_CREAT | IPC_EXCL | mode)) {
    EXPECT_GE(id_, 0) << errno;
  }
  Queue(const Queue&) = delete;
  ~Queue() { msgctl(id_, IPC_RMID, nullptr); }

  int id() const { return id_; }
  int Send(long type, const std::string& text, int flags = 0) const {
    Text message;
    message.type = type;
    memcpy(message.text, text.data(), text.size());
    return msgsnd(id_, &message, text.size(), flags);
  }
  // "3:text", or the errno's name in words.
  std::string Receive(long type, int flags = IPC_NOWAIT, size_t size = sizeof(Text::text)) const {
    Text message;
    const ssize_t got = msgrcv(id_, &message, size, type, flags);
    if (got < 0) return strerrorname_np(errno);
    return std::to_string(message.type) + ":" + std::string(message.text, static_cast<size_t>(got));
  }
  msqid_ds Stat() const {
    msqid_ds status = {};
    EXPECT_THAT(msgctl(id_, IPC_STAT, &status), SyscallSucceeds());
    return status;
  }

 private:
  int id_;
};

key_t FreshKey() { return 0x5c000000 + (getpid() & 0xffff) * 16; }

TEST(Msg, InOrder) {
  const Queue queue;
  EXPECT_THAT(queue.Send(2, "first"), SyscallSucceeds());
  EXPECT_THAT(queue.Send(1, ""), SyscallSucceeds());
  EXPECT_THAT(queue.Send(2, "third"), SyscallSucceeds());
  EXPECT_EQ(queue.Receive(0), "2:first");
  EXPECT_EQ(queue.Receive(0), "1:");
  EXPECT_EQ(queue.Receive(0), "2:third");
  EXPECT_EQ(queue.Receive(0), "ENOMSG");
}

TEST(Msg, ByType) {
  const Queue queue;
  for (long type : {5, 3, 4, 3, 9})
    ASSERT_THAT(queue.Send(type, std::to_string(type) + "x"), SyscallSucceeds());
  EXPECT_EQ(queue.Receive(7), "ENOMSG");
  EXPECT_EQ(queue.Receive(-2), "ENOMSG");
  EXPECT_EQ(queue.Receive(4), "4:4x");
  EXPECT_EQ(queue.Receive(-5), "3:3x");
  EXPECT_EQ(queue.Receive(5, IPC_NOWAIT | MSG_EXCEPT), "3:3x");
  EXPECT_EQ(queue.Receive(5, IPC_NOWAIT | MSG_EXCEPT), "9:9x");
  EXPECT_EQ(queue.Receive(5, IPC_NOWAIT | MSG_EXCEPT), "ENOMSG");
  EXPECT_EQ(queue.Receive(LONG_MIN), "5:5x");
}

TEST(Msg, TooLong) {
  const Queue queue;
  ASSERT_THAT(queue.Send(1, "longer text"), SyscallSucceeds());
  EXPECT_EQ(queue.Receive(0, IPC_NOWAIT, 4), "E2BIG");
  EXPECT_EQ(queue.Stat().msg_qnum, 1u);
  EXPECT_EQ(queue.Receive(0, IPC_NOWAIT | MSG_NOERROR, 4), "1:long");
  EXPECT_EQ(queue.Stat().msg_qnum, 0u);
}

TEST(Msg, Copies) {
  const Queue queue;
  ASSERT_THAT(queue.Send(7, "zero"), SyscallSucceeds());
  ASSERT_THAT(queue.Send(8, "one"), SyscallSucceeds());
  EXPECT_EQ(queue.Receive(1, IPC_NOWAIT | MSG_COPY), "8:one");
  EXPECT_EQ(queue.Receive(0, IPC_NOWAIT | MSG_COPY), "7:zero");
  EXPECT_EQ(queue.Receive(2, IPC_NOWAIT | MSG_COPY), "ENOMSG");
  EXPECT_EQ(queue.Receive(0, MSG_COPY), "EINVAL");
  EXPECT_EQ(queue.Receive(0, IPC_NOWAIT | MSG_COPY | MSG_EXCEPT), "EINVAL");
  EXPECT_EQ(queue.Receive(0, IPC_NOWAIT | MSG_COPY, 2), "E2BIG");
  EXPECT_EQ(queue.Stat().msg_qnum, 2u);
  EXPECT_EQ(queue.Stat().msg_lrpid, 0);
}

TEST(Msg, Status) {
  const Queue queue(0640);
  msqid_ds status = queue.Stat();
  EXPECT_EQ(status.msg_qbytes, 16384u);
  EXPECT_EQ(status.msg_qnum, 0u);
  EXPECT_EQ(status.msg_stime, 0);
  EXPECT_EQ(status.msg_rtime, 0);
  EXPECT_GT(status.msg_ctime, 0);
  EXPECT_EQ(status.msg_perm.mode, 0640);
  ASSERT_THAT(queue.Send(1, "12345"), SyscallSucceeds());
  ASSERT_THAT(queue.Send(1, "678"), SyscallSucceeds());
  status = queue.Stat();
  EXPECT_EQ(status.msg_qnum, 2u);
  EXPECT_EQ(status.__msg_cbytes, 8u);
  EXPECT_EQ(status.msg_lspid, getpid());
  EXPECT_EQ(status.msg_lrpid, 0);
  EXPECT_GT(status.msg_stime, 0);
  EXPECT_THAT(InChild([&] { CHILD_CHECK(queue.Receive(0) == "1:12345"); }), ExitedWith(0));
  status = queue.Stat();
  EXPECT_EQ(status.__msg_cbytes, 3u);
  EXPECT_NE(status.msg_lrpid, getpid());
  EXPECT_GT(status.msg_rtime, 0);
}

TEST(Msg, FullQueue) {
  const Queue queue;
  msqid_ds status = queue.Stat();
  status.msg_qbytes = 10;
  ASSERT_THAT(msgctl(queue.id(), IPC_SET, &status), SyscallSucceeds());
  EXPECT_THAT(queue.Send(1, "12345678"), SyscallSucceeds());
  EXPECT_THAT(queue.Send(1, "123", IPC_NOWAIT), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(queue.Send(1, "12", IPC_NOWAIT), SyscallSucceeds());
  Child child([&] { CHILD_CHECK(queue.Send(2, "late") == 0); });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  EXPECT_EQ(queue.Receive(0), "1:12345678");
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(queue.Receive(2), "2:late");
}

TEST(Msg, ManyEmptyMessagesFillIt) {
  const Queue queue;
  msqid_ds status = queue.Stat();
  status.msg_qbytes = 3;
  ASSERT_THAT(msgctl(queue.id(), IPC_SET, &status), SyscallSucceeds());
  for (int i = 0; i < 3; ++i) EXPECT_THAT(queue.Send(1, "", IPC_NOWAIT), SyscallSucceeds());
  EXPECT_THAT(queue.Send(1, "", IPC_NOWAIT), SyscallFailsWithErrno(EAGAIN));
}

TEST(Msg, ReceiverWaitsForItsType) {
  const Queue queue;
  Child child([&] { CHILD_CHECK(queue.Receive(2, 0) == "2:mine"); });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  ASSERT_THAT(queue.Send(1, "other"), SyscallSucceeds());
  ASSERT_THAT(queue.Send(2, "mine"), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(queue.Receive(0), "1:other");
}

TEST(Msg, WaitingReceiverWithASmallBuffer) {
  const Queue queue;
  Child child([&] { CHILD_CHECK(queue.Receive(0, 0, 2) == "E2BIG"); });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  ASSERT_THAT(queue.Send(1, "long"), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(queue.Receive(0), "1:long");
}

TEST(Msg, RemovalWakes) {
  const int id = msgget(IPC_PRIVATE, 0600);
  Child child([&] {
    Text message;
    CHILD_CHECK(msgrcv(id, &message, 8, 0, 0) == -1 && errno == EIDRM);
  });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  EXPECT_THAT(msgctl(id, IPC_RMID, nullptr), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  Text message;
  EXPECT_THAT(msgrcv(id, &message, 8, 0, IPC_NOWAIT), SyscallFailsWithErrno(EINVAL));
}

TEST(Msg, SignalEndsTheWaitEvenWithRestart) {
  const Queue queue;
  Child child([&] {
    const ScopedSigaction action(SIGUSR1, +[](int) {}, SA_RESTART);
    CHILD_CHECK(queue.Receive(0, 0) == "EINTR");
  });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  EXPECT_EQ(kill(child.pid(), SIGUSR1), 0);
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(Msg, Keys) {
  const key_t key = FreshKey();
  EXPECT_THAT(msgget(key, 0), SyscallFailsWithErrno(ENOENT));
  const Queue queue(0600, key);
  EXPECT_THAT(msgget(key, 0), SyscallSucceedsWithValue(queue.id()));
  EXPECT_THAT(msgget(key, IPC_CREAT | IPC_EXCL), SyscallFailsWithErrno(EEXIST));
}

TEST(Msg, BadArguments) {
  const Queue queue;
  Text message;
  EXPECT_THAT(msgsnd(queue.id(), &message, 1, 0), SyscallFailsWithErrno(EINVAL));  // type 0
  message.type = 1;
  EXPECT_THAT(msgsnd(queue.id(), &message, 8193, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msgsnd(queue.id(), &message, size_t(-1), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msgsnd(-1, &message, 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msgsnd(queue.id(), BadPointer(), 1, 0), SyscallFailsWithErrno(EFAULT));
  const GuardedPage page;
  const long type = 1;
  memcpy(page.end() - sizeof type, &type, sizeof type);
  EXPECT_THAT(msgsnd(queue.id(), page.end() - sizeof type, 4, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(msgsnd(queue.id(), page.end() - sizeof type, 0, 0), SyscallSucceeds());
  EXPECT_THAT(msgrcv(queue.id(), &message, size_t(-1), 0, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msgrcv(queue.id(), BadPointer(), 8, 0, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(queue.Receive(0), "ENOMSG");  // it is lost
  EXPECT_THAT(msgctl(queue.id(), 77, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msgctl(queue.id(), IPC_STAT, BadPointer<msqid_ds>()), SyscallFailsWithErrno(EFAULT));
}

TEST(Msg, Permissions) {
  const Queue secret(0600), writable(0622);
  EXPECT_THAT(InChild([&] {
                BecomeUser(1000, 1000);
                CHILD_CHECK(secret.Send(1, "x") == -1 && errno == EACCES);
                CHILD_CHECK(writable.Send(1, "x") == 0);
                CHILD_CHECK(writable.Receive(0) == "EACCES");
                msqid_ds status = {};
                CHILD_CHECK(msgctl(writable.id(), IPC_STAT, &status) == -1 && errno == EACCES);
                CHILD_CHECK(msgctl(writable.id(), IPC_SET, &status) == -1 && errno == EPERM);
                CHILD_CHECK(msgctl(writable.id(), IPC_RMID, nullptr) == -1 && errno == EPERM);
                const int own = msgget(IPC_PRIVATE, 0600);
                CHILD_CHECK(msgctl(own, IPC_STAT, &status) == 0);
                status.msg_qbytes = 20000;
                CHILD_CHECK(msgctl(own, IPC_SET, &status) == -1 && errno == EPERM);
                status.msg_qbytes = 100;
                CHILD_CHECK(msgctl(own, IPC_SET, &status) == 0);
                CHILD_CHECK(msgctl(own, IPC_RMID, nullptr) == 0);
              }),
              ExitedWith(0));
}

TEST(Msg, InfoAndProc) {
  const key_t key = FreshKey() + 1;
  const Queue queue(0604, key);
  ASSERT_THAT(queue.Send(1, "12345"), SyscallSucceeds());
  msginfo limits = {}, usage = {};
  EXPECT_THAT(msgctl(0, IPC_INFO, reinterpret_cast<msqid_ds*>(&limits)), SyscallSucceeds());
  EXPECT_EQ(std::to_string(limits.msgmax) + "\n", ReadFile("/proc/sys/kernel/msgmax"));
  EXPECT_EQ(std::to_string(limits.msgmnb) + "\n", ReadFile("/proc/sys/kernel/msgmnb"));
  EXPECT_EQ(std::to_string(limits.msgmni) + "\n", ReadFile("/proc/sys/kernel/msgmni"));
  const int highest = msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&usage));
  ASSERT_GE(highest, 0);
  EXPECT_GE(usage.msgpool, 1);
  EXPECT_GE(usage.msgmap, 1);
  EXPECT_GE(usage.msgtql, 5);
  bool found = false;
  for (int place = 0; place <= highest; ++place) {
    msqid_ds status;
    if (msgctl(place, MSG_STAT, &status) == queue.id()) found = true;
  }
  EXPECT_TRUE(found);
  char text[128];
  snprintf(text, sizeof text, "%10d %10d   604           5          1 %5d     0     0     0     0     0 ",
           key, queue.id(), getpid());
  EXPECT_THAT(ReadFile("/proc/sysvipc/msg"), testing::HasSubstr(text));
}

TEST(Msg, ManySendersAndReceivers) {
  const Queue queue;
  msqid_ds status = queue.Stat();
  status.msg_qbytes = 64;
  ASSERT_THAT(msgctl(queue.id(), IPC_SET, &status), SyscallSucceeds());
  constexpr int kEach = 200;
  const auto send = [&] {
    for (int i = 0; i < kEach; ++i) EXPECT_THAT(queue.Send(1 + i % 2, "12345678"), SyscallSucceeds());
  };
  const auto receive = [&](long type) {
    for (int i = 0; i < kEach; ++i) EXPECT_EQ(queue.Receive(type, 0), std::to_string(type) + ":12345678");
  };
  {
    const ScopedThread a(send), b(send), c([&] { receive(1); }), d([&] { receive(2); });
  }
  EXPECT_EQ(queue.Stat().msg_qnum, 0u);
}

}  // namespace
}  // namespace cloister::tests
