#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <atomic>
#include <climits>
#include <memory>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// futex(2), get_robust_list(2).
namespace cloister::tests {
namespace {

using Word = std::atomic<uint32_t>;

long Futex(Word* word, int operation, uint32_t value, const timespec* timeout = nullptr,
           Word* other = nullptr, uint32_t value3 = 0) {
  return syscall(SYS_futex, word, operation, value, timeout, other, value3);
}

// Wakes until `count` sleepers have been woken.
void WakeAll(Word* word, long count, int operation = FUTEX_WAKE_PRIVATE) {
  EXPECT_TRUE(YieldUntil([&] {
    const long woken = Futex(word, operation, INT_MAX);
    EXPECT_THAT(woken, SyscallSucceeds());
    count -= woken;
    return count <= 0;
  }));
}

TEST(Futex, WaitComparesFirst) {
  Word word = 5;
  EXPECT_THAT(Futex(&word, FUTEX_WAIT_PRIVATE, 6), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(Futex(&word, FUTEX_WAIT, 6), SyscallFailsWithErrno(EAGAIN));
}

TEST(Futex, WakeWithoutSleepers) {
  Word word = 0;
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_PRIVATE, 1), SyscallSucceedsWithValue(0));
}

TEST(Futex, WaitAndWake) {
  Word word = 0;
  long result = -1;
  ScopedThread sleeper([&] { result = Futex(&word, FUTEX_WAIT_PRIVATE, 0); });
  WakeAll(&word, 1);
  sleeper.Join();
  EXPECT_EQ(result, 0);
}

TEST(Futex, WakeCountsExactly) {
  Word word = 0;
  std::atomic<int> woken = 0;
  std::vector<std::unique_ptr<ScopedThread>> threads;
  for (int i = 0; i < 4; ++i) {
    threads.push_back(std::make_unique<ScopedThread>([&] {
      if (Futex(&word, FUTEX_WAIT_PRIVATE, 0) == 0) ++woken;
    }));
  }
  for (int i = 1; i <= 4; ++i) {
    EXPECT_TRUE(YieldUntil([&] { return Futex(&word, FUTEX_WAKE_PRIVATE, 1) == 1; }));
    EXPECT_TRUE(YieldUntil([&] { return woken == i; }));
  }
}

TEST(Futex, RelativeTimeout) {
  Word word = 0;
  const timespec timeout = ToTimespec(3 * kMillisecond);
  const int64_t start = Now();
  EXPECT_THAT(Futex(&word, FUTEX_WAIT_PRIVATE, 0, &timeout), SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_GE(Now() - start, 3 * kMillisecond);
}

TEST(Futex, AbsoluteTimeouts) {
  Word word = 0;
  const timespec monotonic = ToTimespec(Now() + 3 * kMillisecond);
  EXPECT_THAT(Futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &monotonic, nullptr, ~0u),
              SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_GE(Now(), Nanoseconds(monotonic));
  const timespec realtime = ToTimespec(Now(CLOCK_REALTIME) + 3 * kMillisecond);
  EXPECT_THAT(Futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &realtime, nullptr, ~0u),
              SyscallFailsWithErrno(ETIMEDOUT));
  const timespec past = {.tv_sec = 1, .tv_nsec = 0};
  EXPECT_THAT(Futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &past, nullptr, ~0u),
              SyscallFailsWithErrno(ETIMEDOUT));
}

TEST(Futex, Errors) {
  Word word = 0;
  auto* odd = reinterpret_cast<Word*>(reinterpret_cast<uintptr_t>(&word) + 1);
  EXPECT_THAT(Futex(odd, FUTEX_WAIT, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Futex(BadPointer<Word>(), FUTEX_WAIT, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Futex(&word, 99, 0), SyscallFailsWithErrno(ENOSYS));
  EXPECT_THAT(Futex(&word, FUTEX_WAIT_BITSET, 0, nullptr, nullptr, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Futex(&word, FUTEX_WAKE_BITSET, 1, nullptr, nullptr, 0), SyscallFailsWithErrno(EINVAL));
  const timespec wrong = {.tv_sec = 0, .tv_nsec = kSecond};
  EXPECT_THAT(Futex(&word, FUTEX_WAIT, 0, &wrong), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Futex(&word, FUTEX_WAIT, 0, BadPointer<timespec>()), SyscallFailsWithErrno(EFAULT));
}

TEST(Futex, Bitsets) {
  Word word = 0;
  std::atomic<bool> woken = false;
  ScopedThread sleeper([&] { woken = Futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, nullptr, nullptr, 2) == 0; });
  sleeper.tid();
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(Futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, nullptr, nullptr, 5), SyscallSucceedsWithValue(0));
    sched_yield();
  }
  EXPECT_FALSE(woken);
  EXPECT_TRUE(
      YieldUntil([&] { return Futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, nullptr, nullptr, 3) == 1; }));
}

TEST(Futex, Requeue) {
  Word from = 0, to = 0;
  std::atomic<int> woken = 0;
  std::vector<std::unique_ptr<ScopedThread>> threads;
  for (int i = 0; i < 3; ++i) {
    threads.push_back(std::make_unique<ScopedThread>([&] {
      if (Futex(&from, FUTEX_WAIT_PRIVATE, 0) == 0) ++woken;
    }));
  }
  const auto count = reinterpret_cast<const timespec*>(uintptr_t{INT_MAX});
  EXPECT_THAT(Futex(&from, FUTEX_CMP_REQUEUE_PRIVATE, 1, count, &to, 9), SyscallFailsWithErrno(EAGAIN));
  long moved = 0;
  EXPECT_TRUE(
      YieldUntil([&] { return (moved += Futex(&from, FUTEX_CMP_REQUEUE_PRIVATE, 0, count, &to, 0)) == 3; }));
  EXPECT_EQ(woken, 0);
  EXPECT_THAT(Futex(&from, FUTEX_WAKE_PRIVATE, INT_MAX), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Futex(&to, FUTEX_WAKE_PRIVATE, INT_MAX), SyscallSucceedsWithValue(3));
  threads.clear();
  EXPECT_EQ(woken, 3);
}

TEST(Futex, WakeOp) {
  Word first = 0, second = 5;
  const auto count = reinterpret_cast<const timespec*>(uintptr_t{1});
  const uint32_t add = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5);
  ScopedThread sleeper([&] { Futex(&second, FUTEX_WAIT_PRIVATE, second.load()); });
  sleeper.tid();
  EXPECT_THAT(Futex(&first, FUTEX_WAKE_OP_PRIVATE, 1, count, &second, add), SyscallSucceeds());
  EXPECT_EQ(second, 8u);

  std::atomic<bool> stop = false;
  ScopedThread waker([&] {
    while (!stop) {
      Futex(&second, FUTEX_WAKE_PRIVATE, INT_MAX);
      sched_yield();
    }
  });
  sleeper.Join();
  stop = true;
}

TEST(Futex, SharedBetweenProcesses) {
  const Mapping map = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  auto* word = new (map.data()) Word(0);
  Child child([&] { CHILD_CHECK(Futex(word, FUTEX_WAIT, 0) == 0); });
  WakeAll(word, 1, FUTEX_WAKE);
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(Futex, SharedThroughTwoMappingsOfAFile) {
  const TempDir dir;
  const TestFd fd = Open(dir.WithFile("f", std::string(kPage, 0)), O_RDWR);
  const Mapping a(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), kPage);
  const Mapping b(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), kPage);
  long result = -1;
  ScopedThread sleeper([&] { result = Futex(reinterpret_cast<Word*>(a.data()), FUTEX_WAIT, 0); });
  WakeAll(reinterpret_cast<Word*>(b.data()), 1, FUTEX_WAKE);
  sleeper.Join();
  EXPECT_EQ(result, 0);
}

TEST(Futex, PrivateWordsOfProcessesAreApart) {
  Word word = 0;
  Child child([&] {
    const timespec timeout = ToTimespec(50 * kMillisecond);
    CHILD_CHECK(Futex(&word, FUTEX_WAIT_PRIVATE, 0, &timeout) == -1 && errno == ETIMEDOUT);
  });
  for (int i = 0; i < 20; ++i) EXPECT_THAT(Futex(&word, FUTEX_WAKE_PRIVATE, 1), SyscallSucceedsWithValue(0));
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(Futex, InterruptedBySignal) {
  const ScopedSigaction action(SIGUSR1, +[](int) {});
  Word word = 0;
  std::atomic<bool> done = false;
  int error = 0;
  ScopedThread sleeper([&] {
    const timespec timeout = {.tv_sec = 20, .tv_nsec = 0};
    if (Futex(&word, FUTEX_WAIT_PRIVATE, 0, &timeout) != 0) error = errno;
    done = true;
  });
  EXPECT_TRUE(YieldUntil([&] { return tgkill(getpid(), sleeper.tid(), SIGUSR1) != 0 || done.load(); }));
  sleeper.Join();
  EXPECT_EQ(error, EINTR);
}

TEST(Futex, RestartedBySaRestart) {
  static std::atomic<int> handled;
  handled = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { ++handled; }, SA_RESTART);
  Word word = 0;
  long result = -1;
  ScopedThread sleeper([&] { result = Futex(&word, FUTEX_WAIT_PRIVATE, 0); });
  EXPECT_TRUE(YieldUntil([&] { return tgkill(getpid(), sleeper.tid(), SIGUSR1) == 0 && handled > 20; }));
  WakeAll(&word, 1);
  sleeper.Join();
  EXPECT_EQ(result, 0);
}

struct RobustLock {
  robust_list link;
  Word word;
};

TEST(RobustList, DeadOwnersAreMarked) {
  const Mapping map = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  auto* lock = new (map.data()) RobustLock{};
  Child child([&] {
    static robust_list_head head;
    head.list.next = &lock->link;
    lock->link.next = &head.list;
    head.futex_offset = offsetof(RobustLock, word);
    CHILD_CHECK(syscall(SYS_set_robust_list, &head, sizeof head) == 0);
    lock->word = static_cast<uint32_t>(syscall(SYS_gettid)) | FUTEX_WAITERS;
  });
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(lock->word.load(), uint32_t{FUTEX_OWNER_DIED | FUTEX_WAITERS});
}

TEST(RobustList, GetAndErrors) {
  robust_list_head* head = nullptr;
  size_t size = 0;
  EXPECT_THAT(syscall(SYS_get_robust_list, 0, &head, &size), SyscallSucceeds());
  EXPECT_EQ(size, sizeof(robust_list_head));
  EXPECT_THAT(syscall(SYS_set_robust_list, head, 5), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_get_robust_list, 1 << 22, &head, &size), SyscallFailsWithErrno(ESRCH));
}

TEST(RobustMutex, OwnerThatDied) {
  const Mapping map = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  auto* mutex = reinterpret_cast<pthread_mutex_t*>(map.data());
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  ASSERT_EQ(pthread_mutex_init(mutex, &attributes), 0);
  EXPECT_THAT(InChild([&] { CHILD_CHECK(pthread_mutex_lock(mutex) == 0); }), ExitedWith(0));
  EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_consistent(mutex), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
}

}  // namespace
}  // namespace cloister::tests
