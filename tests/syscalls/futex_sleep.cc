#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <climits>
#include <cstdio>
#include <memory>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/thread.h"

// What happens to threads that sleep in futex(2) and futex_waitv(2): signals, stops, forks, the end.
namespace cloister::tests {
namespace {

using Word = std::atomic<uint32_t>;

long Futex(Word* word, int operation, uint32_t value, const timespec* timeout = nullptr,
           Word* other = nullptr, uint32_t value3 = 0) {
  return syscall(SYS_futex, word, operation, value, timeout, other, value3);
}

char StateOfThread(pid_t tid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  FILE* file = fopen(path, "re");
  if (file == nullptr) return 0;
  char state = 0;
  if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 0;
  fclose(file);
  return state;
}

bool FallsAsleep(pid_t tid) {
  return YieldUntil([&] { return StateOfThread(tid) == 'S'; });
}

TEST(FutexSleep, IsSeenInProc) {
  Word word = 0;
  ScopedThread sleeper([&] {
    while (word == 0) Futex(&word, FUTEX_WAIT_PRIVATE, 0);
  });
  EXPECT_TRUE(FallsAsleep(sleeper.tid()));
  word = 1;
  Futex(&word, FUTEX_WAKE_PRIVATE, 1);
}

// One signal is enough: it comes before the wait, whose word is another then, or it ends it.
TEST(FutexSleep, NoSignalIsSleptThrough) {
  static Word word;
  word = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { ++word; });
  constexpr uint32_t kRounds = 3000;
  std::atomic<uint32_t> round = 0;
  ScopedThread sleeper([&] {
    for (uint32_t i = 0; i < kRounds; ++i) {
      round = i + 1;
      while (word == i) Futex(&word, FUTEX_WAIT_PRIVATE, i);
    }
  });
  for (uint32_t i = 0; i < kRounds; ++i) {
    ASSERT_TRUE(YieldUntil([&] { return round == i + 1; }));
    if (i % 3 == 1) sched_yield();
    ASSERT_THAT(tgkill(getpid(), sleeper.tid(), SIGUSR1), SyscallSucceeds());
    ASSERT_TRUE(YieldUntil([&] { return word == i + 1; })) << "in round " << i;
  }
}

TEST(FutexSleep, WakesAndSignalsAtOnceLoseNeither) {
  static std::atomic<int> handled;
  handled = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { ++handled; }, SA_RESTART);
  Word word = 0;
  std::atomic<bool> stop = false;
  std::atomic<int> woken = 0;
  ScopedThread sleeper([&] {
    while (!stop) {
      if (Futex(&word, FUTEX_WAIT_PRIVATE, 0) == 0) ++woken;
    }
  });
  const pid_t tid = sleeper.tid();
  int told = 0;
  for (int i = 0; i < 500; ++i) {
    ASSERT_THAT(tgkill(getpid(), tid, SIGUSR1), SyscallSucceeds());
    const long heard = Futex(&word, FUTEX_WAKE_PRIVATE, 1);
    ASSERT_THAT(heard, SyscallSucceeds());
    told += static_cast<int>(heard);
    ASSERT_TRUE(YieldUntil([&] { return woken == told; }));
  }
  ASSERT_TRUE(YieldUntil([&] { return handled > 0; }));
  stop = true;
  word = 1;
  Futex(&word, FUTEX_WAKE_PRIVATE, 1);
}

TEST(FutexSleep, AStoppedWaitKeepsItsDeadline) {
  for (const int operation : {FUTEX_WAIT, FUTEX_WAIT_BITSET}) {
    const Mapping map = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
    auto* ready = new (map.data()) Word{0};
    constexpr int64_t kLong = 400 * kMillisecond;
    Child child([&] {
      Word word = 0;
      const int64_t began = Now();
      *ready = 1;
      const timespec until = ToTimespec(operation == FUTEX_WAIT ? kLong : began + kLong);
      CHILD_CHECK(Futex(&word, operation, 0, &until, nullptr, FUTEX_BITSET_MATCH_ANY) == -1);
      CHILD_CHECK(errno == ETIMEDOUT);
      CHILD_CHECK(Now() - began >= kLong);
      CHILD_CHECK(Now() - began < 3 * kLong);
    });
    ASSERT_TRUE(YieldUntil([&] { return *ready == 1 && ProcessState(child.pid()) == 'S'; }));
    for (int i = 0; i < 5; ++i) {
      ASSERT_THAT(kill(child.pid(), SIGSTOP), SyscallSucceeds());
      ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'T'; }));
      ASSERT_THAT(kill(child.pid(), SIGCONT), SyscallSucceeds());
    }
    EXPECT_THAT(child.Wait(), ExitedWith(0)) << operation;
  }
}

TEST(FutexSleep, OneThatIsKilledTakesNoWake) {
  const Mapping map = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  auto* word = new (map.data()) Word{0};
  const auto wait = [&] { CHILD_CHECK(Futex(word, FUTEX_WAIT, 0) == 0); };
  {
    Child first(wait);
    ASSERT_TRUE(YieldUntil([&] { return ProcessState(first.pid()) == 'S'; }));
    kill(first.pid(), SIGKILL);
    first.Wait();
  }
  Child second(wait);
  ASSERT_TRUE(YieldUntil([&] { return Futex(word, FUTEX_WAKE, 1) == 1; }));
  EXPECT_THAT(second.Wait(), ExitedWith(0));
}

TEST(FutexSleep, SleepersEndWithTheirProcess) {
  EXPECT_THAT(
      InChild([] {
        Word word = 0;
        std::vector<std::unique_ptr<ScopedThread>> sleepers;
        for (int i = 0; i < 5; ++i) {
          sleepers.push_back(std::make_unique<ScopedThread>([&] { Futex(&word, FUTEX_WAIT_PRIVATE, 0); }));
          CHILD_CHECK(FallsAsleep(sleepers.back()->tid()));
        }
        _exit(7);
      }),
      ExitedWith(7));
  EXPECT_THAT(InChild([] {
                Word word = 0;
                ScopedThread sleeper([&] { Futex(&word, FUTEX_WAIT_PRIVATE, 0); });
                CHILD_CHECK(FallsAsleep(sleeper.tid()));
                execl("/bin/sh", "sh", "-c", "exit 5", nullptr);
              }),
              ExitedWith(5));
}

TEST(FutexSleep, AForkLeavesTheSleeper) {
  Word word = 0;
  ScopedThread sleeper([&] {
    while (word == 0) Futex(&word, FUTEX_WAIT_PRIVATE, 0);
  });
  ASSERT_TRUE(FallsAsleep(sleeper.tid()));
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(Futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX) == 0);
                const timespec soon = ToTimespec(kMillisecond);
                CHILD_CHECK(Futex(&word, FUTEX_WAIT_PRIVATE, 0, &soon) == -1 && errno == ETIMEDOUT);
              }),
              ExitedWith(0));
  word = 1;
  EXPECT_TRUE(YieldUntil([&] { return Futex(&word, FUTEX_WAKE_PRIVATE, 1) == 1; }) || word == 1);
}

// More words than a list of operations holds.
TEST(FutexSleep, AThreadThatEndsWakesAllItsRobustLocksWaiters) {
  constexpr size_t kLocks = 70;
  const Mapping map = MapAnonymous(4 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  auto* locks = reinterpret_cast<pthread_mutex_t*>(map.data());
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  for (size_t i = 0; i < kLocks; ++i) ASSERT_EQ(pthread_mutex_init(&locks[i], &attributes), 0);
  std::atomic<bool> held = false, leave = false;
  ScopedThread owner([&] {
    for (size_t i = 0; i < kLocks; ++i) pthread_mutex_lock(&locks[i]);
    held = true;
    ASSERT_TRUE(YieldUntil([&] { return leave.load(); }));
  });
  ASSERT_TRUE(YieldUntil([&] { return held.load(); }));
  std::array<int, 6> results = {};
  std::vector<std::unique_ptr<ScopedThread>> waiters;
  for (size_t i = 0; i < results.size(); ++i) {
    pthread_mutex_t* const lock = &locks[i * (kLocks - 1) / (results.size() - 1)];
    waiters.push_back(
        std::make_unique<ScopedThread>([&results, i, lock] { results[i] = pthread_mutex_lock(lock); }));
    ASSERT_TRUE(FallsAsleep(waiters.back()->tid()));
  }
  leave = true;
  waiters.clear();
  for (const int result : results) EXPECT_EQ(result, EOWNERDEAD);
}

#ifdef SYS_futex_waitv
long Waitv(futex_waitv* waiters, unsigned count, const timespec* until = nullptr) {
  return syscall(SYS_futex_waitv, waiters, count, 0, until, CLOCK_MONOTONIC);
}

futex_waitv WaiterOf(Word* word, uint32_t value) {
  futex_waitv waiter = {};
  waiter.uaddr = reinterpret_cast<uint64_t>(word);
  waiter.val = value;
  waiter.flags = FUTEX_32 | FUTEX_PRIVATE_FLAG;
  return waiter;
}

TEST(FutexWaitv, TellsWhichWordWasWoken) {
  Word words[3] = {0, 0, 0};
  long result = -1;
  ScopedThread sleeper([&] {
    futex_waitv waiters[] = {WaiterOf(&words[0], 0), WaiterOf(&words[1], 0), WaiterOf(&words[2], 0)};
    result = Waitv(waiters, 3);
  });
  EXPECT_TRUE(YieldUntil([&] { return Futex(&words[1], FUTEX_WAKE_PRIVATE, 1) == 1; }));
  sleeper.Join();
  EXPECT_EQ(result, 1);
}

TEST(FutexWaitv, TimeoutsAndOtherValues) {
  Word word = 3;
  futex_waitv waiter = WaiterOf(&word, 3);
  const int64_t began = Now();
  const timespec until = ToTimespec(began + 2 * kMillisecond);
  EXPECT_THAT(Waitv(&waiter, 1, &until), SyscallFailsWithErrno(ETIMEDOUT));
  EXPECT_GE(Now() - began, 2 * kMillisecond);
  waiter.val = 4;
  EXPECT_THAT(Waitv(&waiter, 1), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(Waitv(&waiter, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Waitv(nullptr, 1), SyscallFailsWithErrno(EINVAL));
}

TEST(FutexWaitv, SignalsInterruptIt) {
  static std::atomic<int> handled;
  handled = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { ++handled; });
  Word word = 0;
  int error = 0;
  ScopedThread sleeper([&] {
    futex_waitv waiter = WaiterOf(&word, 0);
    if (Waitv(&waiter, 1) < 0) error = errno;
  });
  ASSERT_TRUE(FallsAsleep(sleeper.tid()));
  tgkill(getpid(), sleeper.tid(), SIGUSR1);
  sleeper.Join();
  EXPECT_EQ(error, EINTR);
  EXPECT_EQ(handled, 1);
}
#endif

}  // namespace
}  // namespace cloister::tests
