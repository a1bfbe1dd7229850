#include <asm/prctl.h>
#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <atomic>
#include <cfenv>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// Threads: clone(2) with CLONE_THREAD, gettid(2), set_tid_address(2), tgkill(2), exit_group(2).
namespace cloister::tests {
namespace {

constexpr int kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

pid_t Gettid() { return static_cast<pid_t>(syscall(SYS_gettid)); }

TEST(Threads, NumbersInOneProcess) {
  EXPECT_THAT(InChild([] { CHILD_CHECK(Gettid() == getpid()); }), ExitedWith(0));
  const pid_t pid = getpid(), parent = getppid();
  pid_t seen_pid = 0, seen_parent = 0;
  ScopedThread thread([&] {
    seen_pid = getpid();
    seen_parent = getppid();
  });
  const pid_t tid = thread.tid();
  thread.Join();
  EXPECT_EQ(seen_pid, pid);
  EXPECT_EQ(seen_parent, parent);
  EXPECT_NE(tid, pid);
}

TEST(Threads, ShareDescriptorsAndDirectory) {
  EXPECT_THAT(InChild([] {
                int fd = -1;
                std::thread([&] {
                  fd = dup(0);
                  chdir("/proc");
                }).join();
                CHILD_CHECK(fcntl(fd, F_GETFD) >= 0);
                char cwd[16];
                CHILD_CHECK(getcwd(cwd, sizeof cwd) != nullptr && std::string(cwd) == "/proc");
              }),
              ExitedWith(0));
}

TEST(Threads, EachHasItsMaskAndName) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  bool inherited = false;
  ScopedThread thread([&] {
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, nullptr, &set);
    inherited = sigismember(&set, SIGUSR1) == 1;
    const sigset_t usr2 = SignalSet({SIGUSR2});
    pthread_sigmask(SIG_BLOCK, &usr2, nullptr);
    pthread_setname_np(pthread_self(), "other");
  });
  thread.Join();
  EXPECT_TRUE(inherited);
  sigset_t set;
  pthread_sigmask(SIG_SETMASK, nullptr, &set);
  EXPECT_EQ(sigismember(&set, SIGUSR2), 0);
  char name[16];
  pthread_getname_np(pthread_self(), name, sizeof name);
  EXPECT_STRNE(name, "other");
}

TEST(Threads, ManyAtOnce) {
  constexpr int kThreads = 100;
  std::mutex mutex;
  std::set<pid_t> tids;
  std::atomic<int> waiting = 0;
  std::atomic<bool> go = false;
  {
    std::vector<std::unique_ptr<ScopedThread>> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.push_back(std::make_unique<ScopedThread>([&] {
        {
          const std::lock_guard lock(mutex);
          tids.insert(Gettid());
        }
        ++waiting;
        go.wait(false);
      }));
    }
    EXPECT_TRUE(YieldUntil([&] { return waiting == kThreads; }));
    EXPECT_EQ(List("/proc/self/task").size(), size_t{kThreads} + 1);
    go = true;
    go.notify_all();
  }
  EXPECT_EQ(tids.size(), size_t{kThreads});
}

TEST(Threads, CreateAndJoinRepeatedly) {
  int sum = 0;
  for (int i = 0; i < 300; ++i) std::thread([&] { ++sum; }).join();
  EXPECT_EQ(sum, 300);
}

// A thread that begins where another one has just ended must have nothing of that one.

TEST(ThreadsAfterOthers, RoundAsTheirMakerDoes) {
  const int before = fegetround();
  for (int i = 0; i < 5; ++i) {
    for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO, FE_TONEAREST}) {
      fesetround(mode);
      int seen = -1;
      unsigned csr = 0;
      std::thread([&] {
        seen = fegetround();
        csr = _mm_getcsr();
        fesetround(mode == FE_UPWARD ? FE_DOWNWARD : FE_UPWARD);
        feraiseexcept(FE_DIVBYZERO);
      }).join();
      EXPECT_EQ(seen, mode);
      EXPECT_EQ(csr, _mm_getcsr());
      EXPECT_EQ(fegetround(), mode);
    }
  }
  fesetround(before);
}

TEST(ThreadsAfterOthers, RunWhereTheirMakerMay) {
  cpu_set_t all, one, seen;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  int first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  for (int i = 0; i < 3; ++i) {
    std::thread([&] { sched_setaffinity(0, sizeof one, &one); }).join();
    std::thread([&] { sched_getaffinity(0, sizeof seen, &seen); }).join();
    EXPECT_TRUE(CPU_EQUAL(&seen, &all));
  }
  ScopedThread maker([&] {
    sched_setaffinity(0, sizeof one, &one);
    std::thread([&] { sched_getaffinity(0, sizeof seen, &seen); }).join();
  });
  maker.Join();
  EXPECT_TRUE(CPU_EQUAL(&seen, &one));
}

TEST(ThreadsAfterOthers, HaveNeitherTheirStacksNorTheirSegments) {
  alignas(16) static char stack[16384];
  static uint64_t word = 42;
  for (int i = 0; i < 3; ++i) {
    std::thread([&] {
      stack_t alternate = {.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof stack};
      sigaltstack(&alternate, nullptr);
      syscall(SYS_arch_prctl, ARCH_SET_GS, &word);
    }).join();
    stack_t seen = {};
    uint64_t gs = 1;
    std::thread([&] {
      sigaltstack(nullptr, &seen);
      syscall(SYS_arch_prctl, ARCH_GET_GS, &gs);
    }).join();
    EXPECT_EQ(seen.ss_flags, SS_DISABLE);
    EXPECT_EQ(gs, 0u);
  }
}

TEST(ThreadsAfterOthers, TakeTheirSegmentFromTheirMaker) {
  static uint64_t word = 42;
  std::thread([] {}).join();
  uint64_t gs = 0;
  ScopedThread maker([&] {
    std::thread([] {}).join();
    syscall(SYS_arch_prctl, ARCH_SET_GS, &word);
    std::thread([&] { syscall(SYS_arch_prctl, ARCH_GET_GS, &gs); }).join();
  });
  maker.Join();
  EXPECT_EQ(gs, reinterpret_cast<uint64_t>(&word));
}

TEST(ThreadsAfterOthers, TakeSignalsOfTheirOwn) {
  static std::atomic<pid_t> taken;
  const ScopedSigaction action(SIGUSR1, [](int) { taken = Gettid(); });
  for (int i = 0; i < 20; ++i) {
    std::thread([] {}).join();
    taken = 0;
    std::atomic<bool> leave = false;
    ScopedThread thread([&] {
      while (!leave) sched_yield();
    });
    const pid_t tid = thread.tid();
    EXPECT_EQ(syscall(SYS_tgkill, getpid(), tid, SIGUSR1), 0);
    while (taken == 0) sched_yield();
    leave = true;
    EXPECT_EQ(taken, tid);
  }
}

TEST(ThreadsAfterOthers, ManyMakersAtOnce) {
  std::atomic<int> sum = 0;
  {
    std::vector<std::unique_ptr<ScopedThread>> makers;
    for (int i = 0; i < 6; ++i) {
      makers.push_back(std::make_unique<ScopedThread>([&] {
        for (int k = 0; k < 100; ++k) std::thread([&] { ++sum; }).join();
      }));
    }
  }
  EXPECT_EQ(sum, 600);
}

TEST(ThreadsAfterOthers, ForkExecAndExitWithThemGone) {
  EXPECT_THAT(InChild([] {
                for (int i = 0; i < 6; ++i) std::thread([] {}).join();
                const int status = InChild([] {
                  std::thread([] {}).join();
                  execl("/bin/sh", "sh", "-c", "exit 7", nullptr);
                });
                CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
                std::thread([] { syscall(SYS_exit_group, 5); }).join();
              }),
              ExitedWith(5));
}

TEST(Threads, ContendedMutexCounts) {
  std::mutex mutex;
  int64_t sum = 0;
  {
    std::vector<std::unique_ptr<ScopedThread>> threads;
    for (int i = 0; i < 4; ++i) {
      threads.push_back(std::make_unique<ScopedThread>([&] {
        for (int j = 0; j < 20000; ++j) {
          const std::lock_guard lock(mutex);
          ++sum;
        }
      }));
    }
  }
  EXPECT_EQ(sum, 80000);
}

TEST(Threads, ExitGroupEndsAll) {
  EXPECT_THAT(InChild([] {
                for (int i = 0; i < 8; ++i) std::thread([] { pause(); }).detach();
                std::thread([] { syscall(SYS_exit_group, 23); }).detach();
                for (;;) pause();
              }),
              ExitedWith(23));
}

TEST(Threads, BusyThreadsEndToo) {
  EXPECT_THAT(InChild([] {
                for (int i = 0; i < 3; ++i) {
                  std::thread([] {
                    for (std::atomic<int> n = 0;; ++n) continue;
                  }).detach();
                }
                _exit(24);
              }),
              ExitedWith(24));
}

TEST(Threads, LeaderMayEndFirst) {
  EXPECT_THAT(InChild([] {
                std::thread([] {
                  CHILD_CHECK(YieldUntil([] { return ProcessState(getpid()) == 'Z'; }));
                  _exit(25);
                }).detach();
                syscall(SYS_exit, 1);
              }),
              ExitedWith(25));
}

TEST(Threads, FatalSignalEndsTheProcess) {
  EXPECT_THAT(InChild([] {
                signal(SIGSEGV, SIG_DFL);
                std::thread([] { *BadPointer<volatile int>() = 1; }).join();
              }),
              KilledBy(SIGSEGV));
}

TEST(Threads, ChildTidIsClearedAndWoken) {
  const Mapping stack = MapAnonymous(64 * kPage);
  static std::atomic<pid_t> word;
  word = 1;
  const auto body = [](void*) -> int {
    syscall(SYS_exit, 0);
    return 0;
  };
  pid_t tid = 0;
  ASSERT_THAT(clone(body, stack.data() + stack.size(),
                    kThreadFlags | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID, nullptr, &tid, nullptr, &word),
              SyscallSucceeds());
  for (pid_t seen; (seen = word.load()) != 0;) {
    syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
  }
  EXPECT_GT(tid, 0);
  EXPECT_EQ(word.load(), 0);
  EXPECT_TRUE(YieldUntil([&] { return tgkill(getpid(), tid, 0) == -1 && errno == ESRCH; }));
}

TEST(Threads, SetTidAddressAnswersTheTid) {
  EXPECT_THAT(InChild([] {
                pid_t word = 5;
                CHILD_CHECK(syscall(SYS_set_tid_address, &word) == getpid());
              }),
              ExitedWith(0));
}

TEST(Threads, TgkillReachesOneThread) {
  static std::atomic<pid_t> handler;
  handler = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { handler = Gettid(); });
  std::atomic<bool> stop = false;
  ScopedThread thread([&] {
    while (!stop) sched_yield();
  });
  ASSERT_THAT(tgkill(getpid(), thread.tid(), SIGUSR1), SyscallSucceeds());
  EXPECT_TRUE(YieldUntil([] { return handler != 0; }));
  EXPECT_EQ(handler.load(), thread.tid());
  stop = true;
}

TEST(Threads, TgkillErrors) {
  EXPECT_THAT(tgkill(getpid(), getpid(), 65), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(tgkill(getpid(), -1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(tgkill(getpid() + 1, Gettid(), 0), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(syscall(SYS_tkill, Gettid(), 0), SyscallSucceeds());
}

TEST(Threads, StoppingStopsAll) {
  const Mapping counter = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  auto& count = *reinterpret_cast<std::atomic<uint64_t>*>(counter.data());
  Child child([&] {
    std::thread([&] {
      for (;;) ++count;
    }).detach();
    for (;;) pause();
  });
  EXPECT_TRUE(YieldUntil([&] { return count > 0; }));
  ASSERT_THAT(kill(child.pid(), SIGSTOP), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child.pid(), WUNTRACED), StoppedBy(SIGSTOP));
  const uint64_t seen = count;
  for (int i = 0; i < 200; ++i) sched_yield();
  EXPECT_EQ(count, seen);
  ASSERT_THAT(kill(child.pid(), SIGCONT), SyscallSucceeds());
  EXPECT_TRUE(YieldUntil([&] { return count > seen; }));
}

TEST(Threads, ForkFromAThread) {
  int status = -1;
  ScopedThread thread([&] { status = InChild([] { CHILD_CHECK(Gettid() == getpid()); }); });
  thread.Join();
  EXPECT_THAT(status, ExitedWith(0));
}

TEST(Threads, LocalStorageIsSeparate) {
  static thread_local int local = 1;
  local = 2;
  int seen = 0;
  std::thread([&] { seen = local; }).join();
  EXPECT_EQ(seen, 1);
}

}  // namespace
}  // namespace cloister::tests
