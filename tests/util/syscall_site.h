#ifndef CLOISTER_TESTS_UTIL_SYSCALL_SITE_H_
#define CLOISTER_TESTS_UTIL_SYSCALL_SITE_H_

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// What happens to one `syscall` instruction, whatever stands around it. A site is to be run by one test
// alone, so that its first runs and the later ones are both seen.

namespace cloister::tests {

constexpr int kOften = 1000;

template <typename Site>
void ExpectThreadsCanShare(Site site, long wanted) {
  std::atomic<int> wrong = 0;
  {
    std::vector<std::unique_ptr<ScopedThread>> threads;
    for (int k = 0; k < 4; ++k) {
      threads.push_back(std::make_unique<ScopedThread>([&] {
        for (int i = 0; i < 20 * kOften; ++i) wrong += site() != wanted;
      }));
    }
  }
  EXPECT_EQ(wrong, 0);
}

template <typename Site>
void ExpectSignalsDoNoHarm(Site site, long wanted) {
  static volatile sig_atomic_t alarms;
  alarms = 0;
  const ScopedSigaction on_alarm(SIGALRM, [](int) { alarms = alarms + 1; });
  const itimerval often = {{0, 500}, {0, 500}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
  long wrong = 0;
  while (alarms < 50) wrong += site() != wanted;
  const itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  EXPECT_EQ(wrong, 0);
}

// getppid(2), before and after a fork.
template <typename Site>
void ExpectAForkedChildCanRun(Site getppid_site) {
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(getppid_site(), getppid());
  const pid_t self = getpid();
  EXPECT_THAT(InChild([&] {
                for (int i = 0; i < kOften; ++i) CHILD_CHECK(getppid_site() == self);
              }),
              ExitedWith(0));
}

inline int written_by_handler;

// read_byte(fd, &byte) is read(2) of one byte. SA_RESTART runs its instruction again; without, it gives
// `interrupted`.
template <typename Read>
void ExpectInterruptionsAreSettled(Read read_byte, long interrupted) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const TestFd in(ends[0]), out(ends[1]);
  char byte = 0;
  for (int i = 0; i < kOften; ++i) {
    ASSERT_EQ(write(out.get(), "a", 1), 1);
    ASSERT_EQ(read_byte(in.get(), &byte), 1);
  }
  written_by_handler = out.get();
  for (const int flags : {SA_RESTART, 0}) {
    struct sigaction action = {}, before;
    action.sa_handler = [](int) { static_cast<void>(!write(written_by_handler, "b", 1)); };
    action.sa_flags = flags;
    ASSERT_EQ(sigaction(SIGALRM, &action, &before), 0);
    for (int i = 0; i < 20; ++i) {
      const itimerval soon = {{0, 0}, {0, 3000}};
      ASSERT_EQ(setitimer(ITIMER_REAL, &soon, nullptr), 0);
      if (flags == 0) {
        ASSERT_EQ(read_byte(in.get(), &byte), interrupted);
      }
      ASSERT_EQ(read_byte(in.get(), &byte), 1);
      ASSERT_EQ(byte, 'b');
    }
    sigaction(SIGALRM, &before, nullptr);
  }
}

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_SYSCALL_SITE_H_
