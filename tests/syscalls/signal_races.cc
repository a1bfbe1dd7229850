// Signals that come while their receiver changes its mask: sigprocmask(2) must neither lose one nor
// let a blocked one through.

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace cloister::tests {
namespace {

constexpr int kRounds = 2000;

std::atomic<int> handled{0};
std::atomic<int> handled_while_blocked{0};
thread_local volatile sig_atomic_t blocked = 0;

void Count(int) {
  handled.fetch_add(1);
  if (blocked) handled_while_blocked.fetch_add(1);
}

class SignalRaces : public testing::Test {
 protected:
  void SetUp() override {
    handled = 0;
    handled_while_blocked = 0;
    struct sigaction action = {};
    action.sa_handler = Count;
    ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
    sigemptyset(&set_);
    sigaddset(&set_, SIGUSR1);
  }
  void TearDown() override {
    signal(SIGUSR1, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
  }

  // Blocks and unblocks until done, and leaves the signal unblocked.
  void Toggle(const std::atomic<bool>& done) {
    while (!done.load()) {
      pthread_sigmask(SIG_BLOCK, &set_, nullptr);
      blocked = 1;
      blocked = 0;
      pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    }
  }

  sigset_t set_;
};

TEST_F(SignalRaces, EverySignalToAThreadThatTogglesItsMaskArrives) {
  std::atomic<bool> done{false};
  std::thread receiver([&] { Toggle(done); });
  for (int round = 0; round < kRounds; ++round) {
    ASSERT_EQ(pthread_kill(receiver.native_handle(), SIGUSR1), 0);
    while (handled.load() == round) sched_yield();
  }
  done = true;
  receiver.join();
  EXPECT_EQ(handled.load(), kRounds);
  EXPECT_EQ(handled_while_blocked.load(), 0);
}

TEST_F(SignalRaces, EverySignalToAProcessWhoseThreadsToggleArrives) {
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  std::atomic<bool> done{false};
  std::thread first([&] { Toggle(done); });
  std::thread second([&] { Toggle(done); });
  for (int round = 0; round < kRounds; ++round) {
    ASSERT_EQ(kill(getpid(), SIGUSR1), 0);
    while (handled.load() == round) sched_yield();
  }
  done = true;
  first.join();
  second.join();
  EXPECT_EQ(handled.load(), kRounds);
  EXPECT_EQ(handled_while_blocked.load(), 0);
}

TEST_F(SignalRaces, ABlockedSignalWaitsForTheUnblocking) {
  for (int round = 0; round < kRounds; ++round) {
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    raise(SIGUSR1);
    ASSERT_EQ(handled.load(), round);
    sigset_t pending;
    ASSERT_EQ(sigpending(&pending), 0);
    ASSERT_EQ(sigismember(&pending, SIGUSR1), 1);
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    ASSERT_EQ(handled.load(), round + 1);
  }
}

TEST_F(SignalRaces, TheOldMaskIsTheOneThatWas) {
  sigset_t old;
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set_, &old), 0);
  EXPECT_EQ(sigismember(&old, SIGUSR1), 0);
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &old), 0);
  EXPECT_EQ(sigismember(&old, SIGUSR1), 1);
  ASSERT_EQ(pthread_sigmask(SIG_UNBLOCK, &set_, &old), 0);
  EXPECT_EQ(sigismember(&old, SIGUSR1), 1);
}

}  // namespace
}  // namespace cloister::tests
