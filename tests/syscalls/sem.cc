#include <sched.h>
#include <signal.h>
#include <sys/sem.h>
#include <sys/wait.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// semget(2), semop(2), semtimedop(2), semctl(2).
namespace cloister::tests {
namespace {

// A set that goes with the object.
class Set {
 public:
  explicit Set(int count, int mode = 0600, key_t key = IPC_PRIVATE)
      : id_(semget(key, count, IPC_CREAT | IPC_EXCL | mode)) {
    EXPECT_GE(id_, 0) << errno;
  }
  Set(const Set&) = delete;
  ~Set() { semctl(id_, 0, IPC_RMID); }

  int id() const { return id_; }
  int Value(int index = 0) const { return semctl(id_, index, GETVAL); }
  int Waiting(int index = 0) const { return semctl(id_, index, GETNCNT); }
  int WaitingForZero(int index = 0) const { return semctl(id_, index, GETZCNT); }
  int Pid(int index = 0) const { return semctl(id_, index, GETPID); }
  void Put(int index, int value) const { EXPECT_THAT(semctl(id_, index, SETVAL, value), SyscallSucceeds()); }
  int Op(int change, int flags = 0, int index = 0) const {
    sembuf op = {static_cast<unsigned short>(index), static_cast<short>(change), static_cast<short>(flags)};
    return semop(id_, &op, 1);
  }
  int Ops(std::vector<sembuf> ops) const { return semop(id_, ops.data(), ops.size()); }
  semid_ds Stat() const {
    semid_ds status = {};
    EXPECT_THAT(semctl(id_, 0, IPC_STAT, &status), SyscallSucceeds());
    return status;
  }

 private:
  int id_;
};

key_t FreshKey() { return 0x5b000000 + (getpid() & 0xffff) * 16; }

TEST(Sem, NewSetIsZero) {
  const Set set(3, 0640);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(set.Value(i), 0);
  const semid_ds status = set.Stat();
  EXPECT_EQ(status.sem_nsems, 3u);
  EXPECT_EQ(status.sem_otime, 0);
  EXPECT_GT(status.sem_ctime, 0);
  EXPECT_EQ(status.sem_perm.mode, 0640);
  EXPECT_EQ(status.sem_perm.uid, geteuid());
  EXPECT_EQ(set.Pid(), 0);
}

TEST(Sem, OperationsChangeValues) {
  const Set set(2);
  EXPECT_THAT(set.Op(5), SyscallSucceeds());
  EXPECT_EQ(set.Value(), 5);
  EXPECT_EQ(set.Pid(), getpid());
  EXPECT_GT(set.Stat().sem_otime, 0);
  EXPECT_THAT(set.Op(-3), SyscallSucceeds());
  EXPECT_EQ(set.Value(), 2);
  EXPECT_THAT(set.Op(-3, IPC_NOWAIT), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(set.Op(0, IPC_NOWAIT), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(set.Op(0, IPC_NOWAIT, 1), SyscallSucceeds());
}

TEST(Sem, AllOrNothing) {
  const Set set(2);
  set.Put(0, 1);
  EXPECT_THAT(set.Ops({{0, -1, 0}, {1, -1, IPC_NOWAIT}}), SyscallFailsWithErrno(EAGAIN));
  EXPECT_EQ(set.Value(0), 1);
  EXPECT_THAT(set.Ops({{0, -1, 0}, {1, 4, 0}}), SyscallSucceeds());
  EXPECT_EQ(set.Value(0), 0);
  EXPECT_EQ(set.Value(1), 4);
  // One after the other: the value is 0 only between the two.
  EXPECT_THAT(set.Ops({{0, 0, 0}, {0, 1, 0}, {0, -1, 0}, {0, 0, 0}, {0, 2, 0}}), SyscallSucceeds());
  EXPECT_EQ(set.Value(0), 2);
}

TEST(Sem, Limits) {
  const Set set(1);
  set.Put(0, 32767);
  EXPECT_THAT(set.Op(1), SyscallFailsWithErrno(ERANGE));
  EXPECT_EQ(set.Value(), 32767);
  EXPECT_THAT(semctl(set.id(), 0, SETVAL, 32768), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(semctl(set.id(), 0, SETVAL, -1), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(set.Op(1, 0, 1), SyscallFailsWithErrno(EFBIG));
  sembuf op = {0, 0, 0};
  EXPECT_THAT(semop(set.id(), &op, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semop(set.id(), &op, 501), SyscallFailsWithErrno(E2BIG));
  EXPECT_THAT(semop(set.id(), BadPointer<sembuf>(), 1), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(semop(-1, &op, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semop(set.id() + 32768, &op, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semget(IPC_PRIVATE, 0, 0600), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semget(IPC_PRIVATE, 32001, 0600), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semget(IPC_PRIVATE, -1, 0600), SyscallFailsWithErrno(EINVAL));
}

TEST(Sem, Keys) {
  const key_t key = FreshKey();
  EXPECT_THAT(semget(key, 1, 0), SyscallFailsWithErrno(ENOENT));
  const Set set(2, 0600, key);
  EXPECT_THAT(semget(key, 0, 0), SyscallSucceedsWithValue(set.id()));
  EXPECT_THAT(semget(key, 2, IPC_CREAT), SyscallSucceedsWithValue(set.id()));
  EXPECT_THAT(semget(key, 3, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semget(key, 2, IPC_CREAT | IPC_EXCL), SyscallFailsWithErrno(EEXIST));
}

TEST(Sem, WaitsForAnother) {
  const Set set(1);
  Child child([&] {
    CHILD_CHECK(set.Op(-2) == 0);
    CHILD_CHECK(set.Op(7) == 0);
  });
  const pid_t pid = child.pid();
  ASSERT_TRUE(YieldUntil([&] { return set.Waiting() == 1; }));
  EXPECT_THAT(set.Op(1), SyscallSucceeds());
  EXPECT_EQ(set.Waiting(), 1);
  EXPECT_EQ(set.Value(), 1);
  EXPECT_THAT(set.Op(1), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(set.Value(), 7);
  EXPECT_EQ(set.Pid(), pid);
}

TEST(Sem, WaitsForZero) {
  const Set set(1);
  set.Put(0, 2);
  Child child([&] { CHILD_CHECK(set.Op(0) == 0); });
  ASSERT_TRUE(YieldUntil([&] { return set.WaitingForZero() == 1; }));
  EXPECT_EQ(set.Waiting(), 0);
  EXPECT_THAT(set.Op(-1), SyscallSucceeds());
  EXPECT_EQ(set.WaitingForZero(), 1);
  EXPECT_THAT(set.Op(-1), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(Sem, FirstComeFirstServedAmongThoseThatCan) {
  const Set set(2);
  std::atomic<int> order{0};
  int big = 0, small = 0, later = 0;
  const auto taker = [&](int change, int* place) {
    EXPECT_THAT(set.Op(change), SyscallSucceeds());
    *place = ++order;
  };
  {
    ScopedThread a([&] { taker(-3, &big); });
    ASSERT_TRUE(YieldUntil([&] { return set.Waiting() == 1; }));
    ScopedThread b([&] { taker(-1, &small); });
    ASSERT_TRUE(YieldUntil([&] { return set.Waiting() == 2; }));
    EXPECT_THAT(set.Op(1), SyscallSucceeds());  // enough for the second alone
    b.Join();
    EXPECT_EQ(set.Waiting(), 1);
    ScopedThread c([&] { taker(-3, &later); });
    ASSERT_TRUE(YieldUntil([&] { return set.Waiting() == 2; }));
    EXPECT_THAT(set.Op(3), SyscallSucceeds());
    a.Join();
    EXPECT_EQ(set.Waiting(), 1);
    EXPECT_THAT(set.Op(3), SyscallSucceeds());
  }
  EXPECT_EQ(small, 1);
  EXPECT_EQ(big, 2);
  EXPECT_EQ(later, 3);
}

TEST(Sem, RemovalWakes) {
  const int id = semget(IPC_PRIVATE, 1, 0600);
  Child child([&] {
    sembuf op = {0, -1, 0};
    CHILD_CHECK(semop(id, &op, 1) == -1 && errno == EIDRM);
  });
  ASSERT_TRUE(YieldUntil([&] { return semctl(id, 0, GETNCNT) == 1; }));
  EXPECT_THAT(semctl(id, 0, IPC_RMID), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_THAT(semctl(id, 0, GETVAL), SyscallFailsWithErrno(EINVAL));
}

TEST(Sem, SignalEndsTheWaitEvenWithRestart) {
  const Set set(1);
  Child child([&] {
    const ScopedSigaction action(SIGUSR1, +[](int) {}, SA_RESTART);
    CHILD_CHECK(set.Op(-1) == -1 && errno == EINTR);
  });
  ASSERT_TRUE(YieldUntil([&] { return set.Waiting() == 1; }));
  EXPECT_EQ(kill(child.pid(), SIGUSR1), 0);
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(set.Waiting(), 0);
  EXPECT_THAT(set.Op(1), SyscallSucceeds());
  EXPECT_EQ(set.Value(), 1);
}

TEST(Sem, KilledWaiterLeaves) {
  const Set set(1);
  Child child([&] { set.Op(-1); });
  ASSERT_TRUE(YieldUntil([&] { return set.Waiting() == 1; }));
  EXPECT_EQ(kill(child.pid(), SIGKILL), 0);
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
  EXPECT_EQ(set.Waiting(), 0);
}

TEST(Sem, Timeouts) {
  const Set set(1);
  sembuf op = {0, -1, 0};
  const timespec soon = ToTimespec(20 * kMillisecond), now = {}, bad = {0, 1'000'000'000}, negative = {-1, 0};
  const int64_t before = Now();
  EXPECT_THAT(semtimedop(set.id(), &op, 1, &soon), SyscallFailsWithErrno(EAGAIN));
  EXPECT_GE(Now() - before, 20 * kMillisecond);
  EXPECT_THAT(semtimedop(set.id(), &op, 1, &now), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(semtimedop(set.id(), &op, 1, &bad), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semtimedop(set.id(), &op, 1, &negative), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semtimedop(set.id(), &op, 1, BadPointer<timespec>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(set.Op(1), SyscallSucceeds());
  EXPECT_THAT(semtimedop(set.id(), &op, 1, &soon), SyscallSucceeds());
  EXPECT_EQ(set.Waiting(), 0);
}

TEST(Sem, UndoAtExit) {
  const Set set(3);
  set.Put(0, 10);
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(set.Op(-4, SEM_UNDO) == 0);
                CHILD_CHECK(set.Op(3, SEM_UNDO, 1) == 0);
                CHILD_CHECK(set.Op(1, 0, 1) == 0);
                CHILD_CHECK(set.Op(2, 0, 2) == 0);
                CHILD_CHECK(set.Value(0) == 6);
              }),
              ExitedWith(0));
  EXPECT_EQ(set.Value(0), 10);
  EXPECT_EQ(set.Value(1), 1);
  EXPECT_EQ(set.Value(2), 2);
}

TEST(Sem, UndoWakesWaitersAndClips) {
  const Set set(2);
  set.Put(0, 1);
  const Pipe go;
  Child holder([&] {
    CHILD_CHECK(set.Op(-1, SEM_UNDO) == 0);
    CHILD_CHECK(set.Op(5, SEM_UNDO, 1) == 0);
    char byte;
    CHILD_CHECK(read(go.read.get(), &byte, 1) == 1);
  });
  ASSERT_TRUE(YieldUntil([&] { return set.Value(1) == 5; }));
  EXPECT_THAT(set.Op(-3, 0, 1), SyscallSucceeds());
  Child waiter([&] { CHILD_CHECK(set.Op(-1) == 0); });
  ASSERT_TRUE(YieldUntil([&] { return set.Waiting() == 1; }));
  ASSERT_EQ(write(go.write.get(), "g", 1), 1);
  EXPECT_THAT(holder.Wait(), ExitedWith(0));
  EXPECT_THAT(waiter.Wait(), ExitedWith(0));
  EXPECT_EQ(set.Value(0), 0);
  EXPECT_EQ(set.Value(1), 0);  // 2 - 5, but not below 0
}

TEST(Sem, UndoIsNotInheritedByForkButByExec) {
  const Set set(1);
  set.Put(0, 5);
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(set.Op(-1, SEM_UNDO) == 0);
                CHILD_CHECK(WEXITSTATUS(InChild([] {})) == 0);
                CHILD_CHECK(set.Value() == 4);
                execl("/bin/true", "true", nullptr);
              }),
              ExitedWith(0));
  EXPECT_EQ(set.Value(), 5);
}

TEST(Sem, UndoIsSharedByThreads) {
  const Set set(1);
  set.Put(0, 5);
  EXPECT_THAT(InChild([&] {
                {
                  const ScopedThread thread([&] { CHILD_CHECK(set.Op(-2, SEM_UNDO) == 0); });
                }
                CHILD_CHECK(set.Value() == 3);
              }),
              ExitedWith(0));
  EXPECT_EQ(set.Value(), 5);
}

TEST(Sem, SettingAValueForgetsUndo) {
  const Set set(2);
  set.Put(0, 5);
  set.Put(1, 5);
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(set.Ops({{0, -1, SEM_UNDO}, {1, -1, SEM_UNDO}}) == 0);
                CHILD_CHECK(semctl(set.id(), 0, SETVAL, 8) == 0);
              }),
              ExitedWith(0));
  EXPECT_EQ(set.Value(0), 8);
  EXPECT_EQ(set.Value(1), 5);
}

TEST(Sem, UnsharedUndoIsTakenBackAtOnce) {
  const Set set(1);
  set.Put(0, 5);
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(set.Op(-2, SEM_UNDO) == 0);
                CHILD_CHECK(unshare(CLONE_SYSVSEM) == 0);
                CHILD_CHECK(set.Value() == 5);
              }),
              ExitedWith(0));
  EXPECT_EQ(set.Value(), 5);
}

TEST(Sem, AllValues) {
  const Set set(4);
  unsigned short values[4] = {1, 2, 3, 40000};
  EXPECT_THAT(semctl(set.id(), 0, SETALL, values), SyscallFailsWithErrno(ERANGE));
  values[3] = 4;
  EXPECT_THAT(semctl(set.id(), 0, SETALL, values), SyscallSucceeds());
  unsigned short got[4] = {};
  EXPECT_THAT(semctl(set.id(), 0, GETALL, got), SyscallSucceeds());
  EXPECT_EQ(got[0], 1);
  EXPECT_EQ(got[3], 4);
  EXPECT_EQ(set.Pid(2), getpid());
  EXPECT_THAT(semctl(set.id(), 0, GETALL, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(semctl(set.id(), 0, SETALL, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(Sem, SettingValuesWakes) {
  const Set set(2);
  Child child([&] { CHILD_CHECK(set.Ops({{0, -1, 0}, {1, -1, 0}}) == 0); });
  ASSERT_TRUE(YieldUntil([&] { return set.Waiting() == 1; }));
  EXPECT_EQ(set.Waiting(1), 0);  // counted where it is held up
  set.Put(0, 1);
  ASSERT_TRUE(YieldUntil([&] { return set.Waiting(1) == 1; }));
  EXPECT_EQ(set.Value(0), 1);
  set.Put(1, 3);
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(set.Value(0), 0);
  EXPECT_EQ(set.Value(1), 2);
}

TEST(Sem, Permissions) {
  const Set secret(1, 0600), readable(1, 0644);
  EXPECT_THAT(InChild([&] {
                BecomeUser(1000, 1000);
                CHILD_CHECK(secret.Op(0) == -1 && errno == EACCES);
                CHILD_CHECK(readable.Op(0) == 0);
                CHILD_CHECK(readable.Op(1) == -1 && errno == EACCES);
                CHILD_CHECK(semctl(readable.id(), 0, SETVAL, 1) == -1 && errno == EACCES);
                CHILD_CHECK(semctl(readable.id(), 0, GETVAL) == 0);
                CHILD_CHECK(semctl(secret.id(), 0, GETVAL) == -1 && errno == EACCES);
                CHILD_CHECK(semctl(readable.id(), 0, IPC_RMID) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
  semid_ds status = readable.Stat();
  status.sem_perm.uid = 1000;
  status.sem_perm.mode = 0600;
  EXPECT_THAT(semctl(readable.id(), 0, IPC_SET, &status), SyscallSucceeds());
  EXPECT_THAT(InChild([&] {
                BecomeUser(1000, 1000);
                CHILD_CHECK(readable.Op(1) == 0);
              }),
              ExitedWith(0));
}

TEST(Sem, BadControls) {
  const Set set(1);
  EXPECT_THAT(semctl(set.id(), 0, 77), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semctl(set.id(), 1, GETVAL), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semctl(set.id(), -1, GETVAL), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semctl(set.id(), 1, SETVAL, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semctl(-1, 0, GETVAL), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semctl(set.id(), 0, IPC_STAT, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(Sem, InfoAndProc) {
  const key_t key = FreshKey() + 1;
  const Set set(7, 0604, key);
  seminfo limits = {}, usage = {};
  EXPECT_THAT(semctl(0, 0, IPC_INFO, &limits), SyscallSucceeds());
  EXPECT_EQ(limits.semvmx, 32767);
  char text[128];
  snprintf(text, sizeof text, "%d\t%d\t%d\t%d\n", limits.semmsl, limits.semmns, limits.semopm, limits.semmni);
  EXPECT_EQ(ReadFile("/proc/sys/kernel/sem"), text);
  const int highest = semctl(0, 0, SEM_INFO, &usage);
  ASSERT_GE(highest, 0);
  EXPECT_GE(usage.semusz, 1);
  EXPECT_GE(usage.semaem, 7);
  bool found = false;
  for (int place = 0; place <= highest; ++place) {
    semid_ds status;
    if (semctl(place, 0, SEM_STAT, &status) != set.id()) continue;
    found = true;
    EXPECT_EQ(status.sem_nsems, 7u);
  }
  EXPECT_TRUE(found);
  snprintf(text, sizeof text, "%10d %10d   604          7     0     0     0     0          0 ", key,
           set.id());
  EXPECT_THAT(ReadFile("/proc/sysvipc/sem"), testing::HasSubstr(text));
}

TEST(Sem, ManyThreadsOneMutex) {
  const Set set(1);
  set.Put(0, 1);
  int counter = 0;
  const auto work = [&] {
    for (int i = 0; i < 300; ++i) {
      EXPECT_THAT(set.Op(-1), SyscallSucceeds());
      ++counter;
      EXPECT_THAT(set.Op(1), SyscallSucceeds());
    }
  };
  {
    const ScopedThread a(work), b(work), c(work);
  }
  EXPECT_EQ(counter, 900);
  EXPECT_EQ(set.Value(), 1);
}

}  // namespace
}  // namespace cloister::tests
