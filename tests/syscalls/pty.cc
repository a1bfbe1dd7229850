#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"

// pty(7), termios(3), ioctl_tty(2), and job control of credentials(7).
namespace cloister::tests {
namespace {

class PtyTest : public ::testing::Test {
 protected:
  PtyTest() {
    int master = -1, slave = -1;
    EXPECT_THAT(openpty(&master, &slave, nullptr, nullptr, nullptr), SyscallSucceeds());
    master_ = TestFd(master);
    slave_ = TestFd(slave);
  }

  void Change(tcflag_t local_off, tcflag_t output_off = OPOST) {
    termios settings;
    ASSERT_THAT(tcgetattr(slave_.get(), &settings), SyscallSucceeds());
    settings.c_lflag &= ~local_off;
    settings.c_oflag &= ~output_off;
    ASSERT_THAT(tcsetattr(slave_.get(), TCSANOW, &settings), SyscallSucceeds());
  }

  static std::string Take(const TestFd& fd, size_t most = 200) {
    pollfd entry = {.fd = fd.get(), .events = POLLIN, .revents = 0};
    EXPECT_THAT(poll(&entry, 1, 10000), SyscallSucceedsWithValue(1));
    std::string text(most, 0);
    const ssize_t got = read(fd.get(), text.data(), most);
    EXPECT_THAT(got, SyscallSucceeds());
    text.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return text;
  }
  static bool Quiet(const TestFd& fd) {
    pollfd entry = {.fd = fd.get(), .events = POLLIN, .revents = 0};
    return poll(&entry, 1, 0) == 0;
  }
  // Linux hands what was typed over in a worker of the kernel's: waits for it.
  void TypeAndArrive(const std::string& line) {
    Type(line);
    pollfd entry = {.fd = slave_.get(), .events = POLLIN, .revents = 0};
    ASSERT_THAT(poll(&entry, 1, -1), SyscallSucceedsWithValue(1));
  }
  void Type(const std::string& keys) { EXPECT_TRUE(WriteAll(master_.get(), keys)); }

  TestFd master_, slave_;
};

TEST_F(PtyTest, NamesAndNumbers) {
  unsigned number = ~0u;
  ASSERT_THAT(ioctl(master_.get(), TIOCGPTN, &number), SyscallSucceeds());
  EXPECT_EQ(std::string(ptsname(master_.get())), "/dev/pts/" + std::to_string(number));
  EXPECT_TRUE(Exists("/dev/pts/" + std::to_string(number)));
  EXPECT_EQ(isatty(slave_.get()), 1);
  struct stat info;
  ASSERT_THAT(fstat(slave_.get(), &info), SyscallSucceeds());
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  EXPECT_EQ(info.st_rdev >> 8, 136u);
}

TEST_F(PtyTest, LockedUntilUnlocked) {
  const TestFd master = Open("/dev/ptmx", O_RDWR | O_NOCTTY);
  ASSERT_NE(ptsname(master.get()), nullptr);
  const std::string name = ptsname(master.get());
  EXPECT_THAT(open(name.c_str(), O_RDWR | O_NOCTTY), SyscallFailsWithErrno(EIO));
  ASSERT_THAT(unlockpt(master.get()), SyscallSucceeds());
  const TestFd slave = Open(name, O_RDWR | O_NOCTTY);
}

TEST_F(PtyTest, LinesAreEchoedAndHandedOverWhole) {
  Type("hel");
  EXPECT_EQ(Take(master_), "hel");
  EXPECT_TRUE(Quiet(slave_));
  Type("lo\r");
  EXPECT_EQ(Take(slave_), "hello\n");
  EXPECT_EQ(Take(master_), "lo\r\n");
}

TEST_F(PtyTest, EditingKeys) {
  Change(ECHO);
  Type("helxo\177\177lo\n");
  EXPECT_EQ(Take(slave_), "hello\n");
  Type("forget this\025keep\n");
  EXPECT_EQ(Take(slave_), "keep\n");
  Type("one two\027three\n");
  EXPECT_EQ(Take(slave_), "one three\n");
  Type("\026\003literal\n");
  EXPECT_EQ(Take(slave_), "\003literal\n");
}

TEST_F(PtyTest, EndOfFileKey) {
  Change(ECHO);
  Type("part\004");
  EXPECT_EQ(Take(slave_), "part");
  Type("\004");
  EXPECT_EQ(Take(slave_), "");
}

TEST_F(PtyTest, ShortReadsLeaveTheRestOfALine) {
  Change(ECHO);
  Type("abcdef\nsecond\n");
  EXPECT_EQ(Take(slave_, 3), "abc");
  EXPECT_EQ(Take(slave_), "def\n");
  EXPECT_EQ(Take(slave_), "second\n");
}

TEST_F(PtyTest, RawMode) {
  Change(ECHO | ICANON | ISIG);
  Type("a\003\177");
  EXPECT_EQ(Take(slave_), "a\003\177");
  EXPECT_TRUE(Quiet(master_));
}

TEST_F(PtyTest, MinimumAndTime) {
  termios settings;
  ASSERT_THAT(tcgetattr(slave_.get(), &settings), SyscallSucceeds());
  settings.c_lflag &= ~(ICANON | ECHO);
  settings.c_cc[VMIN] = 0;
  settings.c_cc[VTIME] = 0;
  ASSERT_THAT(tcsetattr(slave_.get(), TCSANOW, &settings), SyscallSucceeds());
  char text[8];
  EXPECT_THAT(read(slave_.get(), text, sizeof text), SyscallSucceedsWithValue(0));
  settings.c_cc[VTIME] = 1;
  ASSERT_THAT(tcsetattr(slave_.get(), TCSANOW, &settings), SyscallSucceeds());
  EXPECT_THAT(read(slave_.get(), text, sizeof text), SyscallSucceedsWithValue(0));
}

TEST_F(PtyTest, OutputIsProcessed) {
  EXPECT_TRUE(WriteAll(slave_.get(), "a\nb"));
  EXPECT_EQ(Take(master_), "a\r\nb");
  Change(0);
  EXPECT_TRUE(WriteAll(slave_.get(), "a\nb"));
  EXPECT_EQ(Take(master_), "a\nb");
}

TEST_F(PtyTest, SettingsAreReadBackAndFlush) {
  Change(ECHO);
  TypeAndArrive("typed ahead\n");
  termios settings;
  ASSERT_THAT(tcgetattr(slave_.get(), &settings), SyscallSucceeds());
  EXPECT_EQ(settings.c_lflag & ECHO, 0u);
  EXPECT_EQ(settings.c_cc[VINTR], 3);
  ASSERT_THAT(tcsetattr(slave_.get(), TCSAFLUSH, &settings), SyscallSucceeds());
  Type("new\n");
  EXPECT_EQ(Take(slave_), "new\n");
  EXPECT_THAT(ioctl(slave_.get(), TCGETS, BadPointer()), SyscallFailsWithErrno(EFAULT));
  const Pipe pipe;
  EXPECT_THAT(tcgetattr(pipe.read.get(), &settings), SyscallFailsWithErrno(ENOTTY));
}

TEST_F(PtyTest, WindowSize) {
  winsize size = {.ws_row = 40, .ws_col = 132, .ws_xpixel = 0, .ws_ypixel = 0}, seen = {};
  EXPECT_THAT(ioctl(master_.get(), TIOCSWINSZ, &size), SyscallSucceeds());
  EXPECT_THAT(ioctl(slave_.get(), TIOCGWINSZ, &seen), SyscallSucceeds());
  EXPECT_EQ(seen.ws_row, 40);
  EXPECT_EQ(seen.ws_col, 132);
}

TEST_F(PtyTest, HowManyBytesWait) {
  Change(ECHO);
  int count = -1;
  TypeAndArrive("12345\n");
  EXPECT_THAT(ioctl(slave_.get(), FIONREAD, &count), SyscallSucceeds());
  EXPECT_EQ(count, 6);
}

TEST_F(PtyTest, ClosedEnds) {
  slave_.reset();
  char byte;
  EXPECT_THAT(read(master_.get(), &byte, 1), SyscallFailsWithErrno(EIO));
  pollfd entry = {.fd = master_.get(), .events = POLLIN, .revents = 0};
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_TRUE(entry.revents & POLLHUP);
  const TestFd again = Open(ptsname(master_.get()), O_RDWR | O_NOCTTY);
  const std::string name = ptsname(master_.get());
  master_.reset();
  EXPECT_THAT(read(again.get(), &byte, 1), SyscallSucceedsWithValue(0));
  EXPECT_THAT(write(again.get(), &byte, 1), SyscallFailsWithErrno(EIO));
  EXPECT_FALSE(Exists(name));
}

// What follows runs as the leader of a session of its own with the terminal.
class JobControlTest : public PtyTest {
 protected:
  template <typename Body>
  int InSession(Body&& body) {
    return InChild([&] {
      CHILD_CHECK(setsid() > 0 && ioctl(slave_.get(), TIOCSCTTY, 0) == 0);
      body();
    });
  }
};

TEST_F(JobControlTest, ControllingTerminal) {
  EXPECT_THAT(InSession([this] {
                CHILD_CHECK(tcgetpgrp(slave_.get()) == getpgrp() && tcgetsid(slave_.get()) == getsid(0));
                const int tty = open("/dev/tty", O_RDWR);
                CHILD_CHECK(tty >= 0 && isatty(tty) == 1);
                signal(SIGHUP, SIG_IGN);
                CHILD_CHECK(ioctl(tty, TIOCNOTTY) == 0);
                CHILD_CHECK(open("/dev/tty", O_RDWR) == -1 && errno == ENXIO);
              }),
              ExitedWith(0));
}

TEST_F(JobControlTest, KeysSendSignals) {
  for (const auto& [key, signal] : {std::pair{"\003", SIGINT}, {"\034", SIGQUIT}}) {
    const int status = InSession([this, key = key, signal = signal] {
      ::signal(signal, SIG_DFL);
      CHILD_CHECK(write(master_.get(), key, 1) == 1);
      for (;;) pause();
    });
    EXPECT_THAT(status, KilledBy(signal));
  }
}

TEST_F(JobControlTest, SuspendKeyStopsTheForeground) {
  EXPECT_THAT(InSession([this] {
                Child job([] {
                  setpgid(0, 0);
                  for (;;) pause();
                });
                setpgid(job.pid(), job.pid());
                signal(SIGTTOU, SIG_IGN);
                CHILD_CHECK(tcsetpgrp(slave_.get(), job.pid()) == 0 && tcgetpgrp(slave_.get()) == job.pid());
                CHILD_CHECK(write(master_.get(), "\032", 1) == 1);
                const int status = WaitStatus(job.pid(), WUNTRACED);
                CHILD_CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
              }),
              ExitedWith(0));
}

TEST_F(JobControlTest, BackgroundReadStops) {
  EXPECT_THAT(InSession([this] {
                Child job([this] {
                  setpgid(0, 0);
                  char byte;
                  read(slave_.get(), &byte, 1);
                });
                const int status = WaitStatus(job.pid(), WUNTRACED);
                CHILD_CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
              }),
              ExitedWith(0));
}

TEST_F(JobControlTest, BackgroundReadFailsWhereTheSignalIsIgnored) {
  EXPECT_THAT(InSession([this] {
                Child job([this] {
                  setpgid(0, 0);
                  signal(SIGTTIN, SIG_IGN);
                  char byte;
                  CHILD_CHECK(read(slave_.get(), &byte, 1) == -1 && errno == EIO);
                });
                CHILD_CHECK(job.Wait() == 0);
              }),
              ExitedWith(0));
}

TEST_F(JobControlTest, BackgroundWriteStopsOnlyWithTostop) {
  EXPECT_THAT(InSession([this] {
                Child free([this] {
                  setpgid(0, 0);
                  CHILD_CHECK(write(slave_.get(), "ok", 2) == 2);
                });
                CHILD_CHECK(free.Wait() == 0);
                termios settings;
                CHILD_CHECK(tcgetattr(slave_.get(), &settings) == 0);
                settings.c_lflag |= TOSTOP;
                CHILD_CHECK(tcsetattr(slave_.get(), TCSANOW, &settings) == 0);
                Child held([this] {
                  setpgid(0, 0);
                  write(slave_.get(), "no", 2);
                });
                const int status = WaitStatus(held.pid(), WUNTRACED);
                CHILD_CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
              }),
              ExitedWith(0));
}

TEST_F(JobControlTest, BackgroundMayNotTakeTheTerminal) {
  EXPECT_THAT(InSession([this] {
                Child job([this] {
                  setpgid(0, 0);
                  tcsetpgrp(slave_.get(), getpid());
                });
                const int status = WaitStatus(job.pid(), WUNTRACED);
                CHILD_CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
                CHILD_CHECK(tcsetpgrp(slave_.get(), 1 << 21) == -1 && (errno == ESRCH || errno == EPERM));
              }),
              ExitedWith(0));
}

TEST_F(JobControlTest, ResizeSignalsTheForeground) {
  EXPECT_THAT(InSession([this] {
                const ScopedSigmask blocked(SIG_BLOCK, {SIGWINCH});
                const winsize size = {.ws_row = 11, .ws_col = 22, .ws_xpixel = 0, .ws_ypixel = 0};
                signal(SIGWINCH, [](int) {});
                CHILD_CHECK(ioctl(master_.get(), TIOCSWINSZ, &size) == 0);
                const sigset_t set = SignalSet({SIGWINCH});
                const timespec most = {.tv_sec = 10, .tv_nsec = 0};
                CHILD_CHECK(sigtimedwait(&set, nullptr, &most) == SIGWINCH);
              }),
              ExitedWith(0));
}

TEST_F(JobControlTest, HangupWhenTheMasterCloses) {
  const Pipe ready;
  Child child([&] {
    master_.reset();  // the parent's is then the only one
    signal(SIGHUP, SIG_DFL);
    CHILD_CHECK(setsid() > 0 && ioctl(slave_.get(), TIOCSCTTY, 0) == 0 &&
                write(ready.write.get(), "x", 1) == 1);
    for (;;) pause();
  });
  char byte;
  ASSERT_THAT(read(ready.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
  master_.reset();
  EXPECT_THAT(child.Wait(), KilledBy(SIGHUP));
}

}  // namespace
}  // namespace cloister::tests
