#include <signal.h>
#include <unistd.h>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"

// setsid(2), setpgid(2), getsid(2); orphaned process groups.
namespace cloister::tests {
namespace {

TEST(Session, NewOne) {
  EXPECT_THAT(InChild([] {
                const pid_t pid = getpid();
                CHILD_CHECK(setsid() == pid && getsid(0) == pid && getpgrp() == pid && getpgid(0) == pid);
                CHILD_CHECK(setsid() == -1 && errno == EPERM);
                CHILD_CHECK(setpgid(0, 0) == -1 && errno == EPERM);  // a leader stays where it is
              }),
              ExitedWith(0));
}

TEST(Session, GroupLeadersCannotStartOne) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(setpgid(0, 0) == 0 && getpgrp() == getpid());
                CHILD_CHECK(setsid() == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST(Group, OwnChildrenMayBeMoved) {
  const Pipe hold;
  Child child([&] {
    char byte;
    read(hold.read.get(), &byte, 1);
  });
  EXPECT_THAT(getpgid(child.pid()), SyscallSucceedsWithValue(getpgrp()));
  EXPECT_THAT(setpgid(child.pid(), 0), SyscallSucceeds());
  EXPECT_THAT(getpgid(child.pid()), SyscallSucceedsWithValue(child.pid()));
  EXPECT_THAT(setpgid(child.pid(), getpgrp()), SyscallSucceeds());
  EXPECT_THAT(getsid(child.pid()), SyscallSucceedsWithValue(getsid(0)));
}

TEST(Group, NotAfterExec) {
  const Pipe ready;
  Child child([&] {
    dup2(ready.write.get(), STDOUT_FILENO);
    execl("/bin/sh", "sh", "-c", "echo; read x < /dev/null; while :; do :; done", nullptr);
  });
  char byte;
  ASSERT_THAT(read(ready.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
  EXPECT_THAT(setpgid(child.pid(), 0), SyscallFailsWithErrno(EACCES));
}

TEST(Group, Errors) {
  EXPECT_THAT(setpgid(0, -1), SyscallFailsWithErrno(EINVAL));
  // The first process of a container has no parent that it knows.
  EXPECT_THAT(InChild([] { CHILD_CHECK(setpgid(getppid(), 0) == -1 && errno == ESRCH); }), ExitedWith(0));
  EXPECT_THAT(getpgid(1 << 22), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(getsid(1 << 22), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(InChild([] { CHILD_CHECK(setpgid(0, 1 << 21) == -1 && errno == EPERM); }), ExitedWith(0));
}

TEST(Group, OtherSessionsAreClosed) {
  const Pipe ready, hold;
  Child other([&] {
    CHILD_CHECK(setsid() > 0 && write(ready.write.get(), "x", 1) == 1);
    char byte;
    read(hold.read.get(), &byte, 1);
  });
  char byte;
  ASSERT_THAT(read(ready.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
  EXPECT_THAT(setpgid(other.pid(), getpgrp()), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(InChild([&] { CHILD_CHECK(setpgid(0, other.pid()) == -1 && errno == EPERM); }), ExitedWith(0));
  EXPECT_THAT(getsid(other.pid()), SyscallSucceedsWithValue(other.pid()));
}

TEST(Group, OrphanedAndStoppedIsHungUp) {
  const Pipe told;
  Child parent([&] {
    setsid();
    Child middle([&] {
      setpgid(0, 0);
      const pid_t grandchild = fork();
      if (grandchild == 0) {
        static int out;
        out = told.write.get();
        signal(SIGHUP, [](int) {
          write(out, "h", 1);
          _exit(0);
        });
        raise(SIGSTOP);
        for (;;) pause();
      }
      CHILD_CHECK(WIFSTOPPED(WaitStatus(grandchild, WUNTRACED)));
    });  // its end orphans the group of the stopped grandchild
    CHILD_CHECK(middle.Wait() == 0);
  });
  EXPECT_THAT(parent.Wait(), ExitedWith(0));
  char byte = 0;
  EXPECT_THAT(read(told.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(byte, 'h');
}

TEST(Group, OrphanedGroupsDoNotStopFromTheTerminal) {
  EXPECT_THAT(InChild([] {
                setsid();
                signal(SIGTSTP, SIG_DFL);
                CHILD_CHECK(raise(SIGTSTP) == 0);  // nobody could continue it
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace cloister::tests
