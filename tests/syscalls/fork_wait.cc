#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <vector>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// fork(2), vfork(2), clone(2), clone3(2), wait(2), waitid(2), exit(2), and who adopts orphans.
namespace cloister::tests {
namespace {

TEST(Fork, ChildHasItsOwnMemoryAndNumbers) {
  int word = 1;
  const pid_t parent = getpid();
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(word == 1 && getppid() == parent && getpid() != parent);
                CHILD_CHECK(getpgrp() == getpgid(parent) && getsid(0) == getsid(parent));
                word = 2;
              }),
              ExitedWith(0));
  EXPECT_EQ(word, 1);
}

TEST(Fork, StatusOfExitAndSignal) {
  EXPECT_THAT(InChild([] { _exit(0x1ff); }), ExitedWith(0xff));
  EXPECT_THAT(InChild([] { kill(getpid(), SIGKILL); }), KilledBy(SIGKILL));
  EXPECT_THAT(InChild([] { raise(SIGTERM); }), KilledBy(SIGTERM));
}

TEST(Fork, PendingSignalsAreNotInherited) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  ASSERT_THAT(raise(SIGUSR1), SyscallSucceeds());
  EXPECT_THAT(InChild([] {
                sigset_t set;
                CHILD_CHECK(sigpending(&set) == 0 && sigismember(&set, SIGUSR1) == 0);
                CHILD_CHECK(sigprocmask(SIG_SETMASK, nullptr, &set) == 0 && sigismember(&set, SIGUSR1) == 1);
              }),
              ExitedWith(0));
  const sigset_t usr1 = SignalSet({SIGUSR1});
  EXPECT_THAT(sigtimedwait(&usr1, nullptr, nullptr), SyscallSucceedsWithValue(SIGUSR1));
}

TEST(Fork, OnlyTheCallerLivesOn) {
  const Pipe hold;
  ScopedThread other([&] {
    char byte;
    EXPECT_EQ(read(hold.read.get(), &byte, 1), 1);
  });
  other.tid();
  EXPECT_THAT(InChild([] { CHILD_CHECK(List("/proc/self/task").size() == 1); }), ExitedWith(0));
  ASSERT_THAT(write(hold.write.get(), "x", 1), SyscallSucceeds());
}

TEST(Vfork, ParentWaitsForTheChild) {
  volatile int word = 0;
  const pid_t pid = vfork();
  if (pid == 0) {
    word = 7;  // the memory is the parent's
    _exit(3);
  }
  EXPECT_EQ(word, 7);
  EXPECT_THAT(WaitStatus(pid), ExitedWith(3));
}

TEST(Vfork, ReturnsAtExec) {
  const pid_t pid = vfork();
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", "exit 4", nullptr);
    _exit(99);
  }
  EXPECT_THAT(WaitStatus(pid), ExitedWith(4));
}

TEST(Wait, NoChild) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(wait(nullptr) == -1 && errno == ECHILD);
                CHILD_CHECK(waitpid(getppid(), nullptr, 0) == -1 && errno == ECHILD);
                siginfo_t info;
                CHILD_CHECK(waitid(P_ALL, 0, &info, WEXITED) == -1 && errno == ECHILD);
              }),
              ExitedWith(0));
}

TEST(Wait, NoHang) {
  const Pipe hold;
  Child child([&] {
    char byte;
    CHILD_CHECK(read(hold.read.get(), &byte, 1) == 1);
  });
  EXPECT_THAT(waitpid(child.pid(), nullptr, WNOHANG), SyscallSucceedsWithValue(0));
  ASSERT_THAT(write(hold.write.get(), "x", 1), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(Wait, StoppedAndContinued) {
  const Pipe go;  // an end would hide the continuation
  Child child([&go] {
    raise(SIGSTOP);
    char byte;
    read(go.read.get(), &byte, 1);
  });
  EXPECT_THAT(WaitStatus(child.pid(), WUNTRACED), StoppedBy(SIGSTOP));
  EXPECT_EQ(ProcessState(child.pid()), 'T');
  EXPECT_THAT(waitpid(child.pid(), nullptr, WUNTRACED | WNOHANG), SyscallSucceedsWithValue(0));  // told once
  ASSERT_THAT(kill(child.pid(), SIGCONT), SyscallSucceeds());
  const int status = WaitStatus(child.pid(), WCONTINUED);
  if (WIFCONTINUED(status)) {
    EXPECT_TRUE(WriteAll(go.write.get(), "x"));
    EXPECT_THAT(child.Wait(), ExitedWith(0));
  } else {
    ADD_FAILURE() << "not told of the continuation: " << DescribeStatus(status);
  }
}

TEST(Wait, ByGroup) {
  Child a([] { _exit(1); });
  Child b([] {
    setpgid(0, 0);
    _exit(2);
  });
  setpgid(b.pid(), b.pid());
  int status;
  EXPECT_THAT(waitpid(-b.pid(), &status, 0), SyscallSucceedsWithValue(b.pid()));
  EXPECT_THAT(status, ExitedWith(2));
  EXPECT_THAT(waitpid(0, &status, 0), SyscallSucceedsWithValue(a.pid()));
  EXPECT_THAT(status, ExitedWith(1));
}

TEST(Wait, Waitid) {
  Child child([] { _exit(9); });
  siginfo_t info = {};
  ASSERT_THAT(waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT), SyscallSucceeds());
  EXPECT_EQ(info.si_signo, SIGCHLD);
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_status, 9);
  EXPECT_EQ(info.si_pid, child.pid());
  EXPECT_EQ(ProcessState(child.pid()), 'Z');
  EXPECT_THAT(child.Wait(), ExitedWith(9));
  EXPECT_THAT(waitid(P_ALL, 0, &info, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(waitid(static_cast<idtype_t>(99), 0, &info, WEXITED), SyscallFailsWithErrno(EINVAL));
}

TEST(Wait, WaitidWithoutNews) {
  const Pipe hold;
  Child child([&] {
    char byte;
    read(hold.read.get(), &byte, 1);
  });
  siginfo_t info;
  info.si_pid = 5;
  EXPECT_THAT(waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOHANG),
              SyscallSucceedsWithValue(0));
  EXPECT_EQ(info.si_pid, 0);
}

TEST(Wait, UsageAndBadPointers) {
  Child a([] {
    const int64_t start = clock();
    while (clock() - start < CLOCKS_PER_SEC / 100) continue;
  });
  rusage usage = {};
  int status;
  EXPECT_THAT(wait4(a.pid(), &status, 0, &usage), SyscallSucceedsWithValue(a.pid()));
  EXPECT_GE(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec, 5000);
  Child b([] {});
  EXPECT_THAT(waitpid(b.pid(), BadPointer<int>(), 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(waitpid(-1, &status, 0x1000), SyscallFailsWithErrno(EINVAL));
}

TEST(Wait, ThreadsWaitForEachOthersChildren) {
  Child child([] { _exit(6); });
  int status = 0;
  ScopedThread waiter([&] { status = child.Wait(); });
  waiter.Join();
  EXPECT_THAT(status, ExitedWith(6));
}

TEST(Wait, IgnoredChildrenLeaveNoZombies) {
  EXPECT_THAT(InChild([] {
                signal(SIGCHLD, SIG_IGN);
                const pid_t pid = fork();
                if (pid == 0) _exit(0);
                CHILD_CHECK(waitpid(pid, nullptr, 0) == -1 && errno == ECHILD);
              }),
              ExitedWith(0));
}

TEST(Wait, SignalSaysHowTheChildEnded) {
  static volatile int code, status, pid;
  const ScopedSigaction action(
      SIGCHLD, +[](int, siginfo_t* info, void*) {
        code = info->si_code;
        status = info->si_status;
        pid = info->si_pid;
      });
  Child child([] { raise(SIGKILL); });
  const pid_t number = child.pid();
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
  EXPECT_TRUE(YieldUntil([] { return pid != 0; }));
  EXPECT_EQ(pid, number);
  EXPECT_EQ(code, CLD_KILLED);
  EXPECT_EQ(status, SIGKILL);
}

TEST(Orphans, GoToTheSubreaper) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
                int is = 0;
                CHILD_CHECK(prctl(PR_GET_CHILD_SUBREAPER, &is) == 0 && is == 1);
                const Pipe pipe;
                Child middle([&] {
                  const pid_t grandchild = fork();
                  if (grandchild == 0) {
                    char byte;
                    read(pipe.read.get(), &byte, 1);
                    _exit(55);
                  }
                });
                CHILD_CHECK(middle.Wait() == 0);
                CHILD_CHECK(write(pipe.write.get(), "x", 1) == 1);
                int status;
                CHILD_CHECK(wait(&status) > 0 && WEXITSTATUS(status) == 55);
              }),
              ExitedWith(0));
}

TEST(Orphans, SignalAtTheParentsDeath) {
  const Pipe ready, done;
  Child parent([&] {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGUSR1);
      signal(SIGUSR1, SIG_DFL);
      write(ready.write.get(), "x", 1);
      for (;;) pause();
    }
    char byte;
    read(ready.read.get(), &byte, 1);
  });
  EXPECT_THAT(parent.Wait(), ExitedWith(0));
  Pipe& ends = const_cast<Pipe&>(ready);
  ends.write.reset();
  char byte;
  EXPECT_THAT(read(ready.read.get(), &byte, 1), SyscallSucceedsWithValue(0));  // the grandchild has died too
}

TEST(Clone, Flags) {
  EXPECT_THAT(InChild([] {
                // CLONE_FILES: a descriptor closed by the child is closed here.
                const int fd = dup(0);
                const long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, nullptr, nullptr, 0);
                if (pid == 0) _exit(close(fd));
                CHILD_CHECK(WaitStatus(static_cast<pid_t>(pid)) == 0);
                CHILD_CHECK(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
                // CLONE_FS: so is the working directory.
                const long other = syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, nullptr, nullptr, 0);
                if (other == 0) _exit(chdir("/proc"));
                CHILD_CHECK(WaitStatus(static_cast<pid_t>(other)) == 0);
                char cwd[16];
                CHILD_CHECK(getcwd(cwd, sizeof cwd) != nullptr && std::string(cwd) == "/proc");
              }),
              ExitedWith(0));
}

TEST(Clone, NumbersAreStored) {
  pid_t in_parent = 0, in_child = 0;
  const long pid =
      syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &in_parent, &in_child, 0);
  if (pid == 0) _exit(in_child == getpid() ? 0 : 1);
  EXPECT_EQ(in_parent, pid);
  EXPECT_EQ(in_child, 0);
  EXPECT_THAT(WaitStatus(static_cast<pid_t>(pid)), ExitedWith(0));
}

TEST(Clone, OtherExitSignals) {
  const long pid = syscall(SYS_clone, 0, 0, nullptr, nullptr, 0);  // no signal at all
  if (pid == 0) _exit(0);
  EXPECT_THAT(waitpid(static_cast<pid_t>(pid), nullptr, 0), SyscallFailsWithErrno(ECHILD));
  EXPECT_THAT(WaitStatus(static_cast<pid_t>(pid), __WCLONE), ExitedWith(0));
}

TEST(Clone, BadFlags) {
  EXPECT_THAT(syscall(SYS_clone, CLONE_THREAD, 0, nullptr, nullptr, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_clone, CLONE_SIGHAND, 0, nullptr, nullptr, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_clone, CLONE_NEWNS | CLONE_FS, 0, nullptr, nullptr, 0),
              SyscallFailsWithErrno(EINVAL));
}

TEST(Clone3, LikeFork) {
  clone_args arguments = {};
  pid_t stored = 0;
  arguments.flags = CLONE_PARENT_SETTID;
  arguments.parent_tid = reinterpret_cast<uintptr_t>(&stored);
  arguments.exit_signal = SIGCHLD;
  const long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) _exit(8);
  ASSERT_GT(pid, 0);
  EXPECT_EQ(stored, pid);
  EXPECT_THAT(WaitStatus(static_cast<pid_t>(pid)), ExitedWith(8));
}

TEST(Clone3, Errors) {
  clone_args arguments = {};
  EXPECT_THAT(syscall(SYS_clone3, &arguments, 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_clone3, BadPointer(), sizeof arguments), SyscallFailsWithErrno(EFAULT));
  arguments.exit_signal = 1000;
  EXPECT_THAT(syscall(SYS_clone3, &arguments, sizeof arguments), SyscallFailsWithErrno(EINVAL));
  arguments = {};
  arguments.stack = 0x1000;
  EXPECT_THAT(syscall(SYS_clone3, &arguments, sizeof arguments), SyscallFailsWithErrno(EINVAL));
}

TEST(Many, ChildrenAtOnce) {
  std::vector<Child> children;
  for (int i = 0; i < 50; ++i) children.emplace_back([i] { _exit(i); });
  for (int i = 0; i < 50; ++i) EXPECT_THAT(children[static_cast<size_t>(i)].Wait(), ExitedWith(i));
}

TEST(Many, GenerationsInARow) {
  for (int i = 0; i < 100; ++i) ASSERT_THAT(InChild([] {}), ExitedWith(0));
}

}  // namespace
}  // namespace cloister::tests
