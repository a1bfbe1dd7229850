#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/thread.h"

// Many threads and processes that wait for long, and go on: by what they waited for, by a signal, by their
// end.
namespace cloister::tests {
namespace {

// What each of many threads finds when it goes on after a wait of many milliseconds.
class LongWaiters {
 public:
  static constexpr int kCount = 96;

  LongWaiters() : file_(static_cast<int>(syscall(SYS_memfd_create, "words", 0))) {
    EXPECT_EQ(ftruncate(file_, kPage), 0);
    for (int i = 0; i < kCount; ++i) {
      EXPECT_EQ(pipe(pipes_[i]), 0);
      threads_.emplace_back([this, i] { Run(i); });
    }
    EXPECT_TRUE(YieldUntil([&] { return begun_ == kCount; }));
  }
  ~LongWaiters() {
    for (auto& ends : pipes_) close(ends[1]);
    for (std::thread& thread : threads_) thread.join();
    for (auto& ends : pipes_) close(ends[0]);
    close(file_);
  }

  void Say(int i, char word) { EXPECT_EQ(write(pipes_[i][1], &word, 1), 1); }
  void Signal(int i, int signo) { pthread_kill(threads_[i].native_handle(), signo); }
  int heard() const { return heard_; }
  int interrupted() const { return interrupted_; }

 private:
  static constexpr size_t kPage = 4096;

  void Run(int i) {
    ++begun_;
    for (char word;;) {
      const ssize_t got = read(pipes_[i][0], &word, 1);
      if (got == 0) return;
      if (got < 0) {
        if (errno == EINTR) ++interrupted_;
        continue;
      }
      // A mapping of a file, that one finds what the others have written.
      auto* words = static_cast<char*>(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0));
      EXPECT_NE(words, MAP_FAILED);
      words[i] = word;
      EXPECT_EQ(words[i], word);
      munmap(words, kPage);
      ++heard_;
    }
  }

  const int file_;
  int pipes_[kCount][2];
  std::atomic<int> begun_{0}, heard_{0}, interrupted_{0};
  std::vector<std::thread> threads_;
};

// Lets the time go by that a wait has to last to be a long one.
void WaitLong() { EXPECT_EQ(poll(nullptr, 0, 60), 0); }

TEST(LongWait, AllHearWhatIsSaid) {
  LongWaiters waiters;
  for (int round = 1; round <= 5; ++round) {
    WaitLong();
    for (int i = 0; i < LongWaiters::kCount; ++i) waiters.Say(i, static_cast<char>(round));
    EXPECT_TRUE(YieldUntil([&] { return waiters.heard() == round * LongWaiters::kCount; })) << round;
  }
}

TEST(LongWait, SomeHearWhileOthersWaitOn) {
  LongWaiters waiters;
  WaitLong();
  for (int round = 1; round <= 300; ++round) {
    waiters.Say(round % 7, 'x');
    ASSERT_TRUE(YieldUntil([&] { return waiters.heard() == round; })) << round;
    if (round % 100 == 0) WaitLong();
  }
}

TEST(LongWait, SignalsInterruptIt) {
  struct sigaction action = {}, old;
  action.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  {
    LongWaiters waiters;
    WaitLong();
    for (int i = 0; i < LongWaiters::kCount; ++i) waiters.Signal(i, SIGUSR1);
    EXPECT_TRUE(YieldUntil([&] { return waiters.interrupted() == LongWaiters::kCount; }));
    WaitLong();
    for (int i = 0; i < LongWaiters::kCount; ++i) waiters.Say(i, 'y');
    EXPECT_TRUE(YieldUntil([&] { return waiters.heard() == LongWaiters::kCount; }));
  }
  sigaction(SIGUSR1, &old, nullptr);
}

TEST(LongWait, ChildrenThatWaitAreKilledAndLeave) {
  std::vector<Child> children;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  for (int i = 0; i < 64; ++i) {
    children.emplace_back([&] {
      close(ends[1]);
      char byte;
      CHILD_CHECK(read(ends[0], &byte, 1) == 0);
    });
  }
  WaitLong();
  for (int i = 0; i < 64; i += 2) EXPECT_EQ(kill(children[i].pid(), SIGKILL), 0);
  close(ends[1]);
  for (int i = 0; i < 64; ++i) {
    const int status = children[i].Wait();
    if (i % 2 == 0) {
      EXPECT_TRUE(WIFSIGNALED(status)) << i;
    } else {
      EXPECT_EQ(status, 0) << i;
    }
  }
  close(ends[0]);
}

}  // namespace
}  // namespace cloister::tests
