#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <atomic>
#include <climits>
#include <memory>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// futex(2): FUTEX_LOCK_PI and its kin; glibc's mutexes with PTHREAD_PRIO_INHERIT.
namespace cloister::tests {
namespace {

using Word = std::atomic<uint32_t>;

long Futex(Word* word, int operation, uint32_t value = 0, const timespec* timeout = nullptr,
           Word* other = nullptr, uint32_t value3 = 0) {
  return syscall(SYS_futex, word, operation, value, timeout, other, value3);
}

uint32_t Tid() { return static_cast<uint32_t>(syscall(SYS_gettid)); }
const timespec* Count(uintptr_t count) { return reinterpret_cast<const timespec*>(count); }

// A thread that holds the lock until it is told to let go.
class Holder {
 public:
  explicit Holder(Word* word, int flags = FUTEX_PRIVATE_FLAG)
      : thread_([this, word, flags] {
          EXPECT_THAT(Futex(word, FUTEX_LOCK_PI | flags), SyscallSucceedsWithValue(0));
          holds_ = true;
          holds_.notify_all();
          let_go_.wait(false);
          EXPECT_THAT(Futex(word, FUTEX_UNLOCK_PI | flags), SyscallSucceedsWithValue(0));
        }) {
    holds_.wait(false);
  }
  ~Holder() { LetGo(); }
  void LetGo() {
    let_go_ = true;
    let_go_.notify_all();
    thread_.Join();
  }
  uint32_t tid() { return static_cast<uint32_t>(thread_.tid()); }

 private:
  std::atomic<bool> holds_ = false, let_go_ = false;
  ScopedThread thread_;
};

TEST(FutexPi, FreeLockIsTaken) {
  for (const int flags : {0, FUTEX_PRIVATE_FLAG}) {
    Word word = 0;
    EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI | flags), SyscallSucceedsWithValue(0));
    EXPECT_EQ(word, Tid());
    EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI | flags), SyscallFailsWithErrno(EDEADLK));
    EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI | flags), SyscallSucceedsWithValue(0));
    EXPECT_EQ(word, 0u);
    EXPECT_THAT(Futex(&word, FUTEX_TRYLOCK_PI | flags), SyscallSucceedsWithValue(0));
    EXPECT_EQ(word, Tid());
    EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI | flags), SyscallSucceedsWithValue(0));
    EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI | flags), SyscallFailsWithErrno(EPERM));
  }
}

TEST(FutexPi, HeldLockIsNotTaken) {
  Word word = 0;
  Holder holder(&word);
  EXPECT_EQ(word, holder.tid());
  EXPECT_THAT(Futex(&word, FUTEX_TRYLOCK_PI_PRIVATE), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallFailsWithErrno(EPERM));
}

TEST(FutexPi, UnlockHandsOver) {
  Word word = 0;
  auto holder = std::make_unique<Holder>(&word);
  std::atomic<uint32_t> seen = 0;
  ScopedThread waiter([&] {
    EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
    seen = word & FUTEX_TID_MASK;
    EXPECT_EQ(seen, Tid());
    EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
  });
  EXPECT_TRUE(YieldUntil([&] { return (word & FUTEX_WAITERS) != 0; }));
  EXPECT_EQ(seen, 0u);
  holder.reset();
  waiter.Join();
  EXPECT_EQ(seen, static_cast<uint32_t>(waiter.tid()));
  EXPECT_EQ(word, 0u);
}

TEST(FutexPi, ManyThreadsExclude) {
  Word word = 0;
  long count = 0;
  constexpr int kThreads = 4, kRounds = 500;
  {
    std::vector<std::unique_ptr<ScopedThread>> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.push_back(std::make_unique<ScopedThread>([&] {
        const uint32_t self = Tid();
        for (int round = 0; round < kRounds; ++round) {
          uint32_t expected = 0;
          if (!word.compare_exchange_strong(expected, self)) {
            EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
          }
          ++count;
          if (round % 16 == 0) sched_yield();
          expected = self;
          if (!word.compare_exchange_strong(expected, 0)) {
            EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
          }
        }
      }));
    }
  }
  EXPECT_EQ(count, kThreads * kRounds);
  EXPECT_EQ(word & FUTEX_TID_MASK, 0u);
}

TEST(FutexPi, Timeouts) {
  Word word = 0;
  Holder holder(&word);
  const timespec realtime = ToTimespec(Now(CLOCK_REALTIME) + 3 * kMillisecond);
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, &realtime), SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_GE(Now(CLOCK_REALTIME), Nanoseconds(realtime));
  const timespec monotonic = ToTimespec(Now() + 3 * kMillisecond);
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI2_PRIVATE, 0, &monotonic), SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_GE(Now(), Nanoseconds(monotonic));
  const timespec past = {.tv_sec = 1, .tv_nsec = 0};
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI2_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &past),
              SyscallFailsWithErrno(ETIMEDOUT));
  holder.LetGo();
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
}

TEST(FutexPi, Errors) {
  Word word = 1u << 29;  // nobody's number
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(Futex(BadPointer<Word>(), FUTEX_LOCK_PI_PRIVATE), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Futex(BadPointer<Word>(), FUTEX_UNLOCK_PI_PRIVATE), SyscallFailsWithErrno(EFAULT));
  auto* odd = reinterpret_cast<Word*>(reinterpret_cast<uintptr_t>(&word) + 1);
  EXPECT_THAT(Futex(odd, FUTEX_LOCK_PI_PRIVATE), SyscallFailsWithErrno(EINVAL));
  word = 0;
  const timespec wrong = {.tv_sec = 0, .tv_nsec = kSecond};
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, &wrong), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE | FUTEX_CLOCK_REALTIME), SyscallFailsWithErrno(ENOSYS));
  const Mapping readonly = MapAnonymous(kPage, PROT_READ);
  EXPECT_THAT(Futex(reinterpret_cast<Word*>(readonly.data()), FUTEX_LOCK_PI_PRIVATE),
              SyscallFailsWithErrno(EFAULT));
}

TEST(FutexPi, SignalsDoNotEndTheWait) {
  static std::atomic<int> handled;
  handled = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { ++handled; });
  Word word = 0;
  auto holder = std::make_unique<Holder>(&word);
  ScopedThread waiter([&] {
    EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
    EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
  });
  EXPECT_TRUE(YieldUntil([&] { return (word & FUTEX_WAITERS) != 0; }));
  EXPECT_TRUE(YieldUntil([&] { return tgkill(getpid(), waiter.tid(), SIGUSR1) == 0 && handled > 10; }));
  holder.reset();
  waiter.Join();
}

// Over and over: the owner ends at any point of the other's coming.
TEST(FutexPi, OwnerThatDiesLeavesItToTheNext) {
  for (int round = 0; round < 50 && !HasFailure(); ++round) {
    Word word = 0;
    std::atomic<bool> holds = false;
    ScopedThread owner([&] {
      EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
      holds = true;
      EXPECT_TRUE(YieldUntil([&] { return (word & FUTEX_WAITERS) != 0; }));
    });
    EXPECT_TRUE(YieldUntil([&] { return holds.load(); }));
    EXPECT_THAT(Futex(&word, FUTEX_LOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
    EXPECT_EQ(word & (FUTEX_TID_MASK | FUTEX_OWNER_DIED), Tid() | FUTEX_OWNER_DIED);
    EXPECT_THAT(Futex(&word, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
  }
}

TEST(FutexPi, BetweenProcesses) {
  const Mapping map = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  auto* word = new (map.data()) Word(0);
  auto holder = std::make_unique<Holder>(word, 0);
  Child child([&] {
    CHILD_CHECK(Futex(word, FUTEX_LOCK_PI) == 0);
    CHILD_CHECK((*word & FUTEX_TID_MASK) == Tid());
    CHILD_CHECK(Futex(word, FUTEX_UNLOCK_PI) == 0);
  });
  EXPECT_TRUE(YieldUntil([&] { return (*word & FUTEX_WAITERS) != 0; }));
  holder.reset();
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(FutexRequeuePi, WaitersGetTheLockOneByOne) {
  Word from = 0, lock = 0;
  std::atomic<int> got = 0;
  std::vector<std::unique_ptr<ScopedThread>> threads;
  for (int i = 0; i < 3; ++i) {
    threads.push_back(std::make_unique<ScopedThread>([&] {
      EXPECT_THAT(Futex(&from, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, nullptr, &lock),
                  SyscallSucceedsWithValue(0));
      EXPECT_EQ(lock & FUTEX_TID_MASK, Tid());
      ++got;
      EXPECT_THAT(Futex(&lock, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
    }));
  }
  EXPECT_THAT(Futex(&lock, FUTEX_LOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Futex(&from, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, Count(INT_MAX), &lock, 9),
              SyscallFailsWithErrno(EAGAIN));
  long moved = 0;
  EXPECT_TRUE(YieldUntil([&] {
    return (moved += Futex(&from, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, Count(INT_MAX), &lock, 0)) == 3;
  }));
  EXPECT_EQ(got, 0);
  EXPECT_THAT(Futex(&lock, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
  threads.clear();
  EXPECT_EQ(got, 3);
}

TEST(FutexRequeuePi, FreeLockGoesToTheFirst) {
  Word from = 0, lock = 0;
  ScopedThread waiter([&] {
    EXPECT_THAT(Futex(&from, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, nullptr, &lock), SyscallSucceedsWithValue(0));
    EXPECT_EQ(lock & FUTEX_TID_MASK, Tid());
    EXPECT_THAT(Futex(&lock, FUTEX_UNLOCK_PI_PRIVATE), SyscallSucceedsWithValue(0));
  });
  EXPECT_TRUE(
      YieldUntil([&] { return Futex(&from, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, Count(0), &lock, 0) == 1; }));
}

TEST(FutexRequeuePi, Errors) {
  Word from = 0, lock = 0;
  EXPECT_THAT(Futex(&from, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 1, nullptr, &lock), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(Futex(&from, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, nullptr, &from), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Futex(&from, FUTEX_CMP_REQUEUE_PI_PRIVATE, 2, Count(0), &lock, 0),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Futex(&from, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, Count(0), &from, 0),
              SyscallFailsWithErrno(EINVAL));
  const timespec past = {.tv_sec = 1, .tv_nsec = 0};
  EXPECT_THAT(Futex(&from, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, &past, &lock), SyscallFailsWithErrno(ETIMEDOUT));
}

pthread_mutex_t* InitMutex(void* at, bool robust) {
  auto* mutex = static_cast<pthread_mutex_t*>(at);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (robust) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  EXPECT_EQ(pthread_mutex_init(mutex, &attributes), 0);
  return mutex;
}

TEST(PiMutex, ExcludesThreadsAndWorksWithConditions) {
  const Mapping map = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  pthread_mutex_t* const mutex = InitMutex(map.data(), false);
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  int turn = 0;
  const auto play = [&](int mine) {
    for (int i = 0; i < 200; ++i) {
      EXPECT_EQ(pthread_mutex_lock(mutex), 0);
      while (turn != mine) EXPECT_EQ(pthread_cond_wait(&condition, mutex), 0);
      turn = 1 - mine;
      EXPECT_EQ(pthread_cond_broadcast(&condition), 0);
      EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
    }
  };
  ScopedThread first([&] { play(0); }), second([&] { play(1); });
}

TEST(PiMutex, TimedLock) {
  const Mapping map = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  pthread_mutex_t* const mutex = InitMutex(map.data(), false);
  ASSERT_EQ(pthread_mutex_lock(mutex), 0);
  ScopedThread([&] {
    const timespec until = ToTimespec(Now(CLOCK_REALTIME) + 3 * kMillisecond);
    EXPECT_EQ(pthread_mutex_timedlock(mutex, &until), ETIMEDOUT);
  });
  EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
}

TEST(PiMutex, RobustOwnerThatDied) {
  const Mapping map = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  pthread_mutex_t* const mutex = InitMutex(map.data(), true);
  EXPECT_THAT(InChild([&] { CHILD_CHECK(pthread_mutex_lock(mutex) == 0); }), ExitedWith(0));
  EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_consistent(mutex), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
  EXPECT_EQ(pthread_mutex_lock(mutex), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
}

TEST(PiMutex, RobustOwnerDiesWhileSomebodyWaits) {
  const Mapping map = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  pthread_mutex_t* const mutex = InitMutex(map.data(), true);
  const Pipe locked;
  Child owner([&] {
    CHILD_CHECK(pthread_mutex_lock(mutex) == 0);
    CHILD_CHECK(write(locked.write.get(), "x", 1) == 1);
    const auto* word = reinterpret_cast<const Word*>(mutex);
    CHILD_CHECK(YieldUntil([&] { return (*word & FUTEX_WAITERS) != 0; }));
  });
  char byte;
  ASSERT_THAT(read(locked.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_consistent(mutex), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
  EXPECT_THAT(owner.Wait(), ExitedWith(0));
}

long Waitv(futex_waitv* waiters, unsigned count, const timespec* until = nullptr,
           clockid_t clock = CLOCK_MONOTONIC, unsigned flags = 0) {
  return syscall(SYS_futex_waitv, waiters, count, flags, until, clock);
}

futex_waitv WaitFor(Word* word, uint32_t value, uint32_t flags = FUTEX_32 | FUTEX_PRIVATE_FLAG) {
  return {.val = value, .uaddr = reinterpret_cast<uint64_t>(word), .flags = flags, .__reserved = 0};
}

TEST(FutexWaitv, TellsWhichWasWoken) {
  Word words[3] = {0, 1, 2};
  std::atomic<long> woken = -1;
  ScopedThread sleeper([&] {
    futex_waitv waiters[] = {WaitFor(&words[0], 0), WaitFor(&words[1], 1), WaitFor(&words[2], 2)};
    woken = Waitv(waiters, 3);
  });
  EXPECT_TRUE(YieldUntil([&] { return Futex(&words[1], FUTEX_WAKE_PRIVATE, 1) == 1; }));
  sleeper.Join();
  EXPECT_EQ(woken, 1);
  for (Word& word : words) EXPECT_THAT(Futex(&word, FUTEX_WAKE_PRIVATE, 1), SyscallSucceedsWithValue(0));
}

TEST(FutexWaitv, TimeoutsAndErrors) {
  Word words[2] = {0, 1};
  futex_waitv waiters[] = {WaitFor(&words[0], 0), WaitFor(&words[1], 1)};
  const timespec monotonic = ToTimespec(Now() + 3 * kMillisecond);
  EXPECT_THAT(Waitv(waiters, 2, &monotonic), SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_GE(Now(), Nanoseconds(monotonic));
  const timespec past = {.tv_sec = 1, .tv_nsec = 0};
  EXPECT_THAT(Waitv(waiters, 2, &past, CLOCK_REALTIME), SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_THAT(Waitv(waiters, 2, &past, CLOCK_BOOTTIME), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Waitv(waiters, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Waitv(waiters, 129), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Waitv(waiters, 2, nullptr, CLOCK_MONOTONIC, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Waitv(BadPointer<futex_waitv>(), 1), SyscallFailsWithErrno(EFAULT));
  waiters[1].val = 5;
  EXPECT_THAT(Waitv(waiters, 2), SyscallFailsWithErrno(EAGAIN));
  waiters[1] = WaitFor(&words[1], 1, FUTEX_PRIVATE_FLAG);
  EXPECT_THAT(Waitv(waiters, 2), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace cloister::tests
