#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), CLONE_PIDFD, waitid(P_PIDFD), process_mrelease(2),
// kcmp(2).
namespace cloister::tests {
namespace {

constexpr auto kPidfd = static_cast<idtype_t>(3);  // P_PIDFD

int PidfdOpen(pid_t pid, unsigned flags = 0) { return static_cast<int>(syscall(SYS_pidfd_open, pid, flags)); }
int SendSignal(int fd, int signo, siginfo_t* info = nullptr, unsigned flags = 0) {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, fd, signo, info, flags));
}
int GetFd(int pidfd, int fd, unsigned flags = 0) {
  return static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, fd, flags));
}
long Kcmp(pid_t a, pid_t b, int type, unsigned long x = 0, unsigned long y = 0) {
  return syscall(SYS_kcmp, a, b, type, x, y);
}

short Poll(int fd, int timeout = 0) {
  pollfd entry = {fd, POLLIN, 0};
  EXPECT_GE(poll(&entry, 1, timeout), 0);
  return entry.revents;
}

// A child that stays until the test is done with it.
class Sleeper : public Child {
 public:
  Sleeper()
      : Child([] {
          for (;;) pause();
        }) {}
};

TEST(PidfdOpen, IsCloseOnExecAndNamed) {
  const TestFd fd(PidfdOpen(getpid()));
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(fcntl(fd.get(), F_GETFL), SyscallSucceedsWithValue(::testing::Eq(O_RDWR)));
  char name[64] = {};
  EXPECT_THAT(readlink(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), name, sizeof name - 1),
              SyscallSucceeds());
  EXPECT_STREQ(name, "anon_inode:[pidfd]");
  const TestFd nonblocking(PidfdOpen(getpid(), O_NONBLOCK));
  EXPECT_THAT(fcntl(nonblocking.get(), F_GETFL), SyscallSucceedsWithValue(O_RDWR | O_NONBLOCK));
}

TEST(PidfdOpen, Errors) {
  EXPECT_THAT(PidfdOpen(0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(PidfdOpen(-1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(PidfdOpen(getpid(), 1), SyscallFailsWithErrno(EINVAL));
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  WaitStatus(gone);
  EXPECT_THAT(PidfdOpen(gone), SyscallFailsWithErrno(ESRCH));
}

TEST(PidfdOpen, NeitherReadsNorWrites) {
  const TestFd fd(PidfdOpen(getpid()));
  char byte = 0;
  EXPECT_THAT(read(fd.get(), &byte, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(write(fd.get(), &byte, 1), SyscallFailsWithErrno(EINVAL));
}

TEST(PidfdPoll, TellsOfTheEnd) {
  Sleeper child;
  const TestFd fd(PidfdOpen(child.pid()));
  const TestFd epoll(epoll_create1(0));
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = 7}};
  ASSERT_THAT(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd.get(), &event), SyscallSucceeds());
  EXPECT_EQ(Poll(fd.get()), 0);
  EXPECT_THAT(epoll_wait(epoll.get(), &event, 1, 0), SyscallSucceedsWithValue(0));
  kill(child.pid(), SIGKILL);
  EXPECT_EQ(Poll(fd.get(), -1), POLLIN);
  EXPECT_THAT(epoll_wait(epoll.get(), &event, 1, -1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(event.data.u64, 7u);
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
  EXPECT_TRUE(Poll(fd.get()) & POLLIN);
}

TEST(PidfdPoll, AProcessLastsAsLongAsItsThreads) {
  const Pipe hold;
  Child child([&] {
    std::thread([&] {
      char byte;
      CHILD_CHECK(read(hold.read.get(), &byte, 1) == 1);
      _exit(3);
    }).detach();
    syscall(SYS_exit, 0);
  });
  const TestFd fd(PidfdOpen(child.pid()));
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'Z'; }));
  EXPECT_EQ(Poll(fd.get()), 0);
  ASSERT_TRUE(WriteAll(hold.write.get(), "x"));
  EXPECT_EQ(Poll(fd.get(), -1), POLLIN);
  EXPECT_THAT(child.Wait(), ExitedWith(3));
}

TEST(PidfdInfo, NamesTheProcess) {
  Sleeper child;
  const TestFd fd(PidfdOpen(child.pid()));
  const std::string path = "/proc/self/fdinfo/" + std::to_string(fd.get());
  EXPECT_NE(ReadFile(path).find("\nPid:\t" + std::to_string(child.pid()) + "\nNSpid:\t"), std::string::npos);
  kill(child.pid(), SIGKILL);
  child.Wait();
  EXPECT_NE(ReadFile(path).find("\nPid:\t-1\n"), std::string::npos);
}

TEST(PidfdSendSignal, ReachesTheProcess) {
  Sleeper child;
  const TestFd fd(PidfdOpen(child.pid()));
  EXPECT_THAT(SendSignal(fd.get(), 0), SyscallSucceeds());
  EXPECT_THAT(SendSignal(fd.get(), SIGTERM), SyscallSucceeds());
  EXPECT_EQ(Poll(fd.get(), -1), POLLIN);
  EXPECT_THAT(SendSignal(fd.get(), SIGTERM), SyscallSucceeds());  // a zombie may be signalled
  EXPECT_THAT(child.Wait(), KilledBy(SIGTERM));
  EXPECT_THAT(SendSignal(fd.get(), 0), SyscallFailsWithErrno(ESRCH));
}

TEST(PidfdSendSignal, CarriesInformation) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const TestFd fd(PidfdOpen(getpid()));
  const sigset_t usr1 = SignalSet({SIGUSR1});
  siginfo_t got;
  ASSERT_THAT(SendSignal(fd.get(), SIGUSR1), SyscallSucceeds());
  ASSERT_THAT(sigwaitinfo(&usr1, &got), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_EQ(got.si_code, SI_USER);
  EXPECT_EQ(got.si_pid, getpid());
  siginfo_t info = {};
  info.si_signo = SIGUSR1;
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 1234;
  ASSERT_THAT(SendSignal(fd.get(), SIGUSR1, &info), SyscallSucceeds());
  ASSERT_THAT(sigwaitinfo(&usr1, &got), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_EQ(got.si_code, SI_QUEUE);
  EXPECT_EQ(got.si_value.sival_int, 1234);
}

TEST(PidfdSendSignal, Errors) {
  Sleeper child;
  const TestFd fd(PidfdOpen(child.pid()));
  siginfo_t info = {};
  info.si_signo = SIGUSR2;
  EXPECT_THAT(SendSignal(fd.get(), SIGUSR1, &info), SyscallFailsWithErrno(EINVAL));
  info.si_signo = SIGUSR1;
  info.si_code = SI_USER;
  EXPECT_THAT(SendSignal(fd.get(), SIGUSR1, &info), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(SendSignal(fd.get(), SIGUSR1, BadPointer<siginfo_t>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(SendSignal(fd.get(), 65), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(SendSignal(fd.get(), SIGUSR1, nullptr, 0x100), SyscallFailsWithErrno(EINVAL));
  const Pipe pipe;
  EXPECT_THAT(SendSignal(pipe.read.get(), 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(SendSignal(-1, 0), SyscallFailsWithErrno(EBADF));
}

TEST(PidfdSendSignal, ObeysPermissions) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  Sleeper child;
  const TestFd fd(PidfdOpen(child.pid()));
  EXPECT_THAT(InChild([&] {
                BecomeUser(1234, 1234);
                CHILD_CHECK(SendSignal(fd.get(), 0) == -1 && errno == EPERM);
                CHILD_CHECK(GetFd(fd.get(), 0) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST(PidfdGetfd, GivesTheSameOpenFile) {
  const Pipe told;
  const TestFd shared(memfd_create("shared", 0));
  Child child([&] {
    const int other = open("/dev/null", O_RDONLY);
    CHILD_CHECK(dup2(shared.get(), 100) == 100 && write(100, "text", 4) == 4 && other >= 0);
    CHILD_CHECK(write(told.write.get(), "x", 1) == 1);
    for (;;) pause();
  });
  char byte;
  ASSERT_THAT(read(told.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
  const TestFd pidfd(PidfdOpen(child.pid()));
  const TestFd got(GetFd(pidfd.get(), 100));
  EXPECT_THAT(fcntl(got.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(lseek(got.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(4));
  EXPECT_THAT(Kcmp(getpid(), getpid(), KCMP_FILE, static_cast<unsigned long>(got.get()),
                   static_cast<unsigned long>(shared.get())),
              SyscallSucceedsWithValue(0));
  EXPECT_THAT(GetFd(pidfd.get(), 101), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(GetFd(pidfd.get(), 100, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(GetFd(shared.get(), 100), SyscallFailsWithErrno(EBADF));
  kill(child.pid(), SIGKILL);
  child.Wait();
  EXPECT_THAT(GetFd(pidfd.get(), 100), SyscallFailsWithErrno(ESRCH));
}

TEST(PidfdClone, Clone3GivesADescriptor) {
  int pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_PIDFD;
  args.exit_signal = SIGCHLD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  const auto child = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
  if (child == 0) _exit(fcntl(pidfd, F_GETFD) == -1 ? 5 : 6);  // the child does not have it
  ASSERT_GT(child, 0);
  const TestFd fd(pidfd);
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_EQ(Poll(fd.get(), -1), POLLIN);
  siginfo_t info = {};
  ASSERT_THAT(waitid(kPidfd, static_cast<id_t>(fd.get()), &info, WEXITED), SyscallSucceeds());
  EXPECT_EQ(info.si_pid, child);
  EXPECT_EQ(info.si_status, 5);
}

TEST(PidfdClone, CloneStoresItAtTheParentsTid) {
  int pidfd = -1;
  const auto child = static_cast<pid_t>(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0));
  if (child == 0) _exit(0);
  ASSERT_GT(child, 0);
  const TestFd fd(pidfd);
  EXPECT_THAT(WaitStatus(child), ExitedWith(0));
  EXPECT_THAT(SendSignal(fd.get(), 0), SyscallFailsWithErrno(ESRCH));
}

TEST(PidfdClone, Errors) {
  int pidfd = -1;
  EXPECT_THAT(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &pidfd, 0, 0),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_clone, CLONE_PIDFD | CLONE_DETACHED | SIGCHLD, 0, &pidfd, 0, 0),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, BadPointer(), 0, 0),
              SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(InChild([] {
                const rlimit none = {0, 0};
                CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
                int fd;
                CHILD_CHECK(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0) == -1 && errno == EMFILE);
                CHILD_CHECK(waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD);
              }),
              ExitedWith(0));
}

TEST(PidfdWait, WaitsForOneChild) {
  Sleeper first, second;
  const TestFd fd(PidfdOpen(second.pid()));
  siginfo_t info = {};
  EXPECT_THAT(waitid(kPidfd, static_cast<id_t>(fd.get()), &info, WEXITED | WNOHANG), SyscallSucceeds());
  EXPECT_EQ(info.si_pid, 0);
  kill(first.pid(), SIGKILL);
  kill(second.pid(), SIGTERM);
  EXPECT_THAT(waitid(kPidfd, static_cast<id_t>(fd.get()), &info, WEXITED | WNOWAIT), SyscallSucceeds());
  EXPECT_EQ(info.si_pid, second.pid());
  EXPECT_EQ(info.si_code, CLD_KILLED);
  EXPECT_EQ(info.si_status, SIGTERM);
  EXPECT_THAT(second.Wait(), KilledBy(SIGTERM));
  EXPECT_THAT(waitid(kPidfd, static_cast<id_t>(fd.get()), &info, WEXITED), SyscallFailsWithErrno(ECHILD));
}

TEST(PidfdWait, NonblockingDescriptorsDoNotWait) {
  Sleeper child;
  const TestFd fd(PidfdOpen(child.pid(), O_NONBLOCK));
  siginfo_t info = {};
  EXPECT_THAT(waitid(kPidfd, static_cast<id_t>(fd.get()), &info, WEXITED), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(waitid(kPidfd, static_cast<id_t>(fd.get()), &info, WEXITED | WNOHANG), SyscallSucceeds());
}

TEST(PidfdWait, Errors) {
  const TestFd self(PidfdOpen(getpid()));
  const Pipe pipe;
  siginfo_t info = {};
  EXPECT_THAT(waitid(kPidfd, static_cast<id_t>(self.get()), &info, WEXITED), SyscallFailsWithErrno(ECHILD));
  EXPECT_THAT(waitid(kPidfd, static_cast<id_t>(pipe.read.get()), &info, WEXITED),
              SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(waitid(kPidfd, static_cast<id_t>(-1), &info, WEXITED), SyscallFailsWithErrno(EINVAL));
}

TEST(ProcessMrelease, Errors) {
  Sleeper child;
  const TestFd fd(PidfdOpen(child.pid()));
  EXPECT_THAT(syscall(SYS_process_mrelease, fd.get(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_process_mrelease, fd.get(), 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_process_mrelease, -1, 0), SyscallFailsWithErrno(EBADF));
  kill(child.pid(), SIGKILL);
  EXPECT_EQ(Poll(fd.get(), -1), POLLIN);
  EXPECT_THAT(syscall(SYS_process_mrelease, fd.get(), 0), SyscallFailsWithErrno(ESRCH));
}

TEST(Kcmp, TellsWhatIsShared) {
  const pid_t self = getpid();
  ScopedThread thread([] {});
  Sleeper child;
  for (const int type : {KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND}) {
    EXPECT_THAT(Kcmp(self, self, type), SyscallSucceedsWithValue(0)) << type;
    EXPECT_THAT(Kcmp(self, child.pid(), type), SyscallSucceedsWithValue(::testing::AnyOf(1, 2))) << type;
    EXPECT_EQ(Kcmp(self, child.pid(), type) + Kcmp(child.pid(), self, type), 3) << type;
  }
  EXPECT_THAT(Kcmp(self, self, KCMP_IO), SyscallSucceedsWithValue(0));
}

TEST(Kcmp, ComparesOpenFiles) {
  const TestFd a = Open("/dev/null", O_RDONLY), b = Open("/dev/null", O_RDONLY);
  const TestFd copy(dup(a.get()));
  const pid_t self = getpid();
  const auto fd = [](const TestFd& file) { return static_cast<unsigned long>(file.get()); };
  Sleeper child;
  EXPECT_THAT(Kcmp(self, self, KCMP_FILE, fd(a), fd(copy)), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Kcmp(self, self, KCMP_FILE, fd(a), fd(b)), SyscallSucceedsWithValue(::testing::AnyOf(1, 2)));
  EXPECT_THAT(Kcmp(self, child.pid(), KCMP_FILE, fd(a), fd(a)), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Kcmp(self, self, KCMP_FILE, fd(a), 1000), SyscallFailsWithErrno(EBADF));
}

TEST(Kcmp, Errors) {
  EXPECT_THAT(Kcmp(getpid(), getpid(), 100), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Kcmp(getpid(), 0x7ffffff, KCMP_VM), SyscallFailsWithErrno(ESRCH));
}

}  // namespace
}  // namespace cloister::tests
