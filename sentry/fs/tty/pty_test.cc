#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "sentry/fs/tty/devpts.h"
#include "sentry/fs/tty/terminal_file.h"
#include "sentry/task/kernel.h"
#include "sentry/wait/parker.h"
#include "sentry/wait/poller.h"

namespace cloister::tty {
namespace {

using vfs::FileDescription;

// One page of "guest memory" at kBase; everything else faults.
class SmallSpace final : public platform::AddressSpace {
 public:
  static constexpr uint64_t kBase = 0x10000;
  size_t Read(uint64_t addr, std::span<std::byte> dst) override {
    const size_t size = Fits(addr, dst.size());
    memcpy(dst.data(), bytes + (size > 0 ? addr - kBase : 0), size);
    return size;
  }
  size_t Write(uint64_t addr, std::span<const std::byte> src) override {
    const size_t size = Fits(addr, src.size());
    memcpy(bytes + (size > 0 ? addr - kBase : 0), src.data(), size);
    return size;
  }
  uint64_t CpuTimeNs() const override { return 0; }
  std::byte bytes[4096] = {};

 private:
  static size_t Fits(uint64_t addr, size_t size) {
    if (addr < kBase || addr >= kBase + 4096) return 0;
    return std::min<size_t>(size, kBase + 4096 - addr);
  }
};

class PtyTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(wait::Poller::Get().Start().ok()); }

  PtyTest() {
    master_ = *devpts_->OpenMaster({O_RDWR, {}, auth::Credentials::Root()});
    slave_ = OpenSlave(0);
  }

  ~PtyTest() override {
    master_ = nullptr;
    slave_ = nullptr;
    FlushPoller();
  }

  // What the poller was asked to do has been done, and what that asked for.
  static void FlushPoller() {
    for (int i = 0; i < 3; ++i) {
      absl::Notification done;
      wait::Poller::Get().Post([&done] { done.Notify(); });
      done.WaitForNotification();
    }
  }

  Ref<FileDescription> OpenSlave(unsigned index) {
    static_cast<Pty&>(*devpts_->Find(index)).locked = false;
    return *devpts_->OpenTerminal(*devpts_->Find(index), {O_RDWR | O_NOCTTY, {}, auth::Credentials::Root()});
  }

  static ErrnoOr<size_t> Write(FileDescription& file, std::string_view text) {
    auto buffer = usermem::UserBuffer::KernelConst(std::as_bytes(std::span(text)));
    return file.Write(buffer);
  }
  static ErrnoOr<std::string> Read(FileDescription& file, size_t most = 4096) {
    std::string text(most, '\0');
    auto buffer = usermem::UserBuffer::Kernel(std::as_writable_bytes(std::span(text)));
    text.resize(TRY(file.Read(buffer)));
    return text;
  }
  ErrnoOr<int64_t> Ioctl(FileDescription& file, uint32_t command, uint64_t arg = SmallSpace::kBase) {
    return file.Ioctl({command, arg, *space_, caller_});
  }
  template <typename T>
  T& Memory() {
    return *reinterpret_cast<T*>(space_->bytes);
  }

  task::Kernel kernel_{nullptr, task::Machine{}, nullptr};
  Ref<DevPts> devpts_ = MakeRef<DevPts>(kernel_, DevPts::Options{});
  Ref<SmallSpace> space_ = MakeRef<SmallSpace>();
  vfs::Caller caller_;
  Ref<FileDescription> master_, slave_;
};

TEST_F(PtyTest, KeysBecomeLinesAndWritesReachTheMaster) {
  EXPECT_EQ(Read(*slave_).error(), Errno::kAgain);
  EXPECT_EQ(*Write(*master_, "hi\r"), 3u);
  EXPECT_EQ(*Read(*slave_), "hi\n");
  EXPECT_EQ(*Read(*master_), "hi\r\n");
  EXPECT_EQ(*Write(*slave_, "out\n"), 4u);
  EXPECT_EQ(*Read(*master_), "out\r\n");
  EXPECT_EQ(Read(*master_).error(), Errno::kAgain);
}

TEST_F(PtyTest, NumbersAndLock) {
  ASSERT_TRUE(Ioctl(*master_, TIOCGPTN).ok());
  EXPECT_EQ(Memory<uint32_t>(), 0u);
  const auto other = *devpts_->OpenMaster({O_RDWR, {}, auth::Credentials::Root()});
  ASSERT_TRUE(Ioctl(*other, TIOCGPTN).ok());
  EXPECT_EQ(Memory<uint32_t>(), 1u);
  EXPECT_EQ(devpts_->OpenTerminal(*devpts_->Find(1), {O_RDWR, {}, auth::Credentials::Root()}).error(),
            Errno::kIo);
  EXPECT_EQ(devpts_->Numbers(0), (std::vector<unsigned>{0, 1}));
  EXPECT_EQ(slave_->Name(), "/dev/pts/0");
}

TEST_F(PtyTest, ClosingTheSlaveTellsTheMaster) {
  EXPECT_FALSE(master_->Ready().Any(Poll::kHup));
  slave_ = nullptr;
  EXPECT_TRUE(master_->Ready().Any(Poll::kHup));
  EXPECT_EQ(Read(*master_).error(), Errno::kIo);
  slave_ = OpenSlave(0);
  EXPECT_EQ(Read(*master_).error(), Errno::kAgain);
}

TEST_F(PtyTest, ClosingTheMasterHangsUp) {
  master_ = nullptr;
  EXPECT_EQ(*Read(*slave_), "");
  EXPECT_EQ(Write(*slave_, "x").error(), Errno::kIo);
  EXPECT_EQ(Ioctl(*slave_, TCGETS).error(), Errno::kIo);
  EXPECT_TRUE(slave_->Ready().Any(Poll::kHup));
  EXPECT_TRUE(devpts_->Numbers(0).empty());
}

TEST_F(PtyTest, WritersWaitForTheMaster) {
  const std::string lot(100'000, 'x');
  const auto written = Write(*slave_, lot);
  ASSERT_TRUE(written.ok());
  EXPECT_LT(*written, 20'000u);
  EXPECT_EQ(Write(*slave_, lot).error(), Errno::kAgain);
  EXPECT_FALSE(slave_->Ready().Any(Poll::kOut));
  EXPECT_GT(Read(*master_, 9000)->size(), 1000u);
  EXPECT_TRUE(slave_->Ready().Any(Poll::kOut));
}

TEST_F(PtyTest, ModesAndWindow) {
  ASSERT_TRUE(Ioctl(*slave_, TCGETS).ok());
  auto modes = Memory<struct termios>();
  EXPECT_NE(modes.c_lflag & ICANON, 0u);
  modes.c_lflag = 0;
  modes.c_cc[VMIN] = 3;
  modes.c_cc[VTIME] = 0;
  Memory<struct termios>() = modes;
  ASSERT_TRUE(Ioctl(*slave_, TCSETS).ok());
  ASSERT_TRUE(Write(*master_, "ab").ok());
  EXPECT_EQ(Read(*slave_).error(), Errno::kAgain);
  EXPECT_FALSE(slave_->Ready().Any(Poll::kIn));
  EXPECT_EQ(*Read(*slave_, 2), "ab");
  Memory<struct winsize>() = {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_TRUE(Ioctl(*master_, TIOCSWINSZ).ok());
  Memory<struct winsize>() = {};
  ASSERT_TRUE(Ioctl(*slave_, TIOCGWINSZ).ok());
  EXPECT_EQ(Memory<struct winsize>().ws_col, 80);
}

TEST_F(PtyTest, PacketMode) {
  Memory<int>() = 1;
  ASSERT_TRUE(Ioctl(*master_, TIOCPKT).ok());
  ASSERT_TRUE(Write(*slave_, "x").ok());
  EXPECT_EQ(*Read(*master_), std::string("\0x", 2));
  ASSERT_TRUE(Ioctl(*slave_, TCFLSH, TCOFLUSH).ok());
  EXPECT_EQ(*Read(*master_), std::string(1, TIOCPKT_FLUSHWRITE));
}

TEST_F(PtyTest, HostileIoctls) {
  for (uint32_t command = 0x5400; command < 0x5500; ++command) {
    for (const uint64_t arg : {uint64_t{0}, ~uint64_t{0}, SmallSpace::kBase, SmallSpace::kBase + 4095}) {
      memset(space_->bytes, 0xff, sizeof space_->bytes);
      static_cast<void>(Ioctl(*slave_, command, arg).ok());
      static_cast<void>(Ioctl(*master_, command, arg).ok());
    }
  }
}

// Input, output and changes of mode at once; what it finds, a sanitizer tells.
TEST_F(PtyTest, TwoThreads) {
  std::thread typist([this] {
    for (int i = 0; i < 3000; ++i) {
      static_cast<void>(Write(*master_, "some keys\r\x17\x03").ok());
      static_cast<void>(Read(*master_).ok());
    }
  });
  for (int i = 0; i < 3000; ++i) {
    static_cast<void>(Read(*slave_).ok());
    static_cast<void>(Write(*slave_, "some text\n").ok());
    ASSERT_TRUE(Ioctl(*slave_, TCGETS).ok());
    Memory<struct termios>().c_lflag ^= ICANON;
    ASSERT_TRUE(Ioctl(*slave_, TCSETSF).ok());
  }
  typist.join();
}

// A host's pty whose slave is a guest's terminal.
class HostTerminalTest : public PtyTest {
 protected:
  HostTerminalTest() {
    host_.reset(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK));
    EXPECT_EQ(grantpt(host_.get()), 0);
    EXPECT_EQ(unlockpt(host_.get()), 0);
    UniqueFd slave(open(ptsname(host_.get()), O_RDWR | O_NOCTTY));
    auto added = devpts_->AddHostTerminal(std::move(slave), 1000);
    EXPECT_TRUE(added.ok());
    terminal_ = *added;
    file_ = OpenFile();
  }
  ~HostTerminalTest() override {
    file_ = nullptr;
    FlushPoller();
    terminal_ = nullptr;
  }

  Ref<FileDescription> OpenFile() {
    return *devpts_->OpenTerminal(*terminal_, {O_RDWR | O_NOCTTY, {}, auth::Credentials::Root()});
  }
  // What comes out at the host's side: all until nothing more comes; "EIO" at the end.
  std::string HostRead(int patience_ms = 5000) {
    std::string all;
    pollfd ready = {host_.get(), POLLIN, 0};
    while (poll(&ready, 1, patience_ms) == 1) {
      char text[4096];
      const ssize_t got = read(host_.get(), text, sizeof text);
      if (got < 0) return all + (errno == EIO ? "EIO" : strerror(errno));
      all.append(text, static_cast<size_t>(got));
      patience_ms = 100;
    }
    return all;
  }
  void AwaitReady(Poll events) {
    const int64_t deadline = wait::MonotonicNow() + 5'000'000'000;
    while (!file_->Ready().Any(events) && wait::MonotonicNow() < deadline) std::this_thread::yield();
  }

  UniqueFd host_;
  Ref<HostTerminal> terminal_;
  Ref<FileDescription> file_;
};

TEST_F(HostTerminalTest, SpeaksThroughARawPty) {
  EXPECT_EQ(file_->Name(), "/dev/pts/1");
  ASSERT_EQ(*Write(*file_, "prompt\n"), 7u);
  EXPECT_EQ(HostRead(), "prompt\r\n");
  ASSERT_EQ(write(host_.get(), "ls\r", 3), 3);
  AwaitReady(Poll::kIn);
  EXPECT_EQ(*Read(*file_), "ls\n");
  EXPECT_EQ(HostRead(), "ls\r\n");  // the echo, ours alone
}

TEST_F(HostTerminalTest, TakesTheHostsWindow) {
  const winsize size = {.ws_row = 12, .ws_col = 34, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_EQ(ioctl(host_.get(), TIOCSWINSZ, &size), 0);
  terminal_->WindowMayHaveChanged();
  EXPECT_EQ(terminal_->WindowSize().ws_row, 12);
  EXPECT_EQ(terminal_->WindowSize().ws_col, 34);
}

TEST_F(HostTerminalTest, TheMastersEndHangsUp) {
  host_.reset();
  AwaitReady(Poll::kHup);
  FlushPoller();
  EXPECT_EQ(*Read(*file_), "");
  EXPECT_EQ(Write(*file_, "x").error(), Errno::kIo);
  EXPECT_EQ(devpts_->Numbers(0), std::vector<unsigned>{0});
  terminal_->WindowMayHaveChanged();  // nothing there to ask
}

TEST_F(HostTerminalTest, TheLastCloseIsTheEndForTheHost) {
  const Ref<FileDescription> second = OpenFile();
  file_ = nullptr;
  ASSERT_EQ(*Write(*second, "still\n"), 6u);
  EXPECT_EQ(HostRead(), "still\r\n");
  file_ = OpenFile();
}

TEST_F(HostTerminalTest, TheEndComesBehindTheLastByte) {
  ASSERT_EQ(write(host_.get(), "\x13", 1), 1);  // ^S: all is held back
  const int64_t deadline = wait::MonotonicNow() + 5'000'000'000;
  while (file_->Ready().Any(Poll::kOut) && wait::MonotonicNow() < deadline) std::this_thread::yield();
  EXPECT_EQ(Write(*file_, "x").error(), Errno::kAgain);
  ASSERT_EQ(write(host_.get(), "\x11", 1), 1);
  AwaitReady(Poll::kOut);
  const std::string lot(60'000, 'y');
  size_t written = 0;
  for (;;) {
    const auto some = Write(*file_, lot);
    if (!some.ok()) break;
    written += *some;
  }
  EXPECT_GT(written, 8192u);  // the host's pty is full, and ours
  file_ = nullptr;
  EXPECT_EQ(HostRead(), std::string(written, 'y') + "EIO");
  FlushPoller();
  EXPECT_EQ(devpts_->Numbers(0), std::vector<unsigned>{0});
}

TEST_F(HostTerminalTest, DrainsForAReaderThatIsSlow) {
  const std::string lot(60'000, 'z');
  size_t written = 0;
  for (;;) {
    const auto some = Write(*file_, lot);
    if (!some.ok()) break;
    written += *some;
  }
  std::string got;
  std::thread reader([&] { got = HostRead(); });
  terminal_->Drain();
  EXPECT_EQ(terminal_->OutputBytes(), 0u);
  reader.join();
  EXPECT_EQ(got.size(), written);
}

}  // namespace
}  // namespace cloister::tty
