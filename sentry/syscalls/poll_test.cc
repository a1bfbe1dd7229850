// Waiting for several files at once, and the files that carry events.

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "sentry/syscalls/sandbox_fixture.h"

namespace cloister::syscalls {
namespace {

class PollSyscallTest : public SandboxTest {
 protected:
  struct PipeFds {
    uint64_t reader, writer;
  };
  PipeFds MakePipe(uint64_t flags = 0) {
    Must(SYS_pipe2, {scratch_ + 8, flags});
    return {static_cast<uint64_t>(Get<int>(scratch_ + 8)), static_cast<uint64_t>(Get<int>(scratch_ + 12))};
  }
  void PutPollFd(uint64_t fd, short events) { Put(at_, pollfd{static_cast<int>(fd), events, 0}); }
  short Found() { return Get<pollfd>(at_).revents; }
  void BlockSignal(int signo) {
    Put<uint64_t>(scratch_ + 16, uint64_t{1} << (signo - 1));
    Must(SYS_rt_sigprocmask, {SIG_BLOCK, scratch_ + 16, 0, 8});
  }
  const uint64_t at_ = scratch_ + 256;
  const uint64_t text_ = scratch_ + 512;
};

TEST_F(PollSyscallTest, PollSeesAPipeFill) {
  const auto [reader, writer] = MakePipe();
  PutPollFd(reader, POLLIN);
  EXPECT_EQ(Call(SYS_poll, {at_, 1, 0}), 0);
  EXPECT_EQ(Call(SYS_write, {writer, text_, 3}), 3);
  EXPECT_EQ(Call(SYS_poll, {at_, 1, ~uint64_t{0}}), 1);
  EXPECT_EQ(Found(), POLLIN);
  Must(SYS_close, {writer});
  EXPECT_EQ(Call(SYS_poll, {at_, 1, 0}), 1);
  EXPECT_EQ(Found(), POLLIN | POLLHUP);
  PutPollFd(99, POLLIN);
  EXPECT_EQ(Call(SYS_poll, {at_, 1, 0}), 1);
  EXPECT_EQ(Found(), POLLNVAL);
  EXPECT_EQ(Call(SYS_poll, {at_, 1 << 30, 0}), -EINVAL);
  EXPECT_EQ(Call(SYS_poll, {8, 1, 0}), -EFAULT);
}

TEST_F(PollSyscallTest, PollWaitsForAnotherProcess) {
  const auto [reader, writer] = MakePipe();
  const Ref<inproc::Thread> child = Fork();
  PutPollFd(reader, POLLIN);
  EXPECT_EQ(Call(SYS_poll, {at_, 1, ~uint64_t{0}}), std::nullopt);
  EXPECT_EQ(child->Syscall(SYS_write, {writer, text_, 1}), 1);
  EXPECT_EQ(Result(*thread_), 1);
  EXPECT_EQ(Found(), POLLIN);
}

TEST_F(PollSyscallTest, PpollTakesItsMaskBack) {
  const auto [reader, writer] = MakePipe();
  BlockSignal(SIGUSR1);
  struct {
    uint64_t handler, flags, restorer, mask;
  } const action = {0x401000, 0x04000000, 0x401000, 0};
  Put(scratch_ + 64, action);
  Must(SYS_rt_sigaction, {SIGUSR1, scratch_ + 64, 0, 8});
  PutPollFd(reader, POLLIN);
  Put<uint64_t>(scratch_ + 16, 0);
  Must(SYS_kill, {1, SIGUSR1});
  // The pending signal is let in by the call's own mask, and its handler runs.
  EXPECT_EQ(Call(SYS_ppoll, {at_, 1, 0, scratch_ + 16, 8}), 0);
  EXPECT_EQ(thread_->regs().rip, 0x401000u);
  EXPECT_EQ(thread_->regs().rdi, static_cast<uint64_t>(SIGUSR1));
  Must(SYS_close, {writer});
}

TEST_F(PollSyscallTest, SelectCountsBits) {
  const auto [reader, writer] = MakePipe();
  const uint64_t read_set = uint64_t{1} << reader, write_set = uint64_t{1} << writer;
  Put<uint64_t>(at_, read_set);
  Put<uint64_t>(at_ + 128, write_set);
  Put(at_ + 512, timeval{0, 0});
  EXPECT_EQ(Call(SYS_select, {writer + 1, at_, at_ + 128, 0, at_ + 512}), 1);
  EXPECT_EQ(Get<uint64_t>(at_), 0u);
  EXPECT_EQ(Get<uint64_t>(at_ + 128), write_set);
  Must(SYS_write, {writer, text_, 1});
  Put<uint64_t>(at_, read_set);
  EXPECT_EQ(Call(SYS_pselect6, {writer + 1, at_, at_ + 128, 0, 0, 0}), 2);
  EXPECT_EQ(Get<uint64_t>(at_), read_set);
  Put<uint64_t>(at_, uint64_t{1} << 40);
  EXPECT_EQ(Call(SYS_select, {64, at_, 0, 0, at_ + 512}), -EBADF);
  EXPECT_EQ(Call(SYS_select, {~uint64_t{0}, at_, 0, 0, 0}), -EINVAL);
}

TEST_F(PollSyscallTest, EpollLevelAndEdge) {
  const auto [reader, writer] = MakePipe();
  const uint64_t epoll = Must(SYS_epoll_create1, {EPOLL_CLOEXEC});
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = 77;
  Put(at_, event);
  EXPECT_EQ(Call(SYS_epoll_ctl, {epoll, EPOLL_CTL_ADD, reader, at_}), 0);
  EXPECT_EQ(Call(SYS_epoll_ctl, {epoll, EPOLL_CTL_ADD, reader, at_}), -EEXIST);
  EXPECT_EQ(Call(SYS_epoll_ctl, {epoll, EPOLL_CTL_MOD, writer, at_}), -ENOENT);
  EXPECT_EQ(Call(SYS_epoll_ctl, {epoll, EPOLL_CTL_ADD, epoll, at_}), -EINVAL);
  EXPECT_EQ(Call(SYS_epoll_wait, {epoll, text_, 4, 0}), 0);
  const Ref<inproc::Thread> child = Fork();
  EXPECT_EQ(Call(SYS_epoll_wait, {epoll, text_, 4, ~uint64_t{0}}), std::nullopt);
  EXPECT_EQ(child->Syscall(SYS_write, {writer, at_, 1}), 1);
  EXPECT_EQ(Result(*thread_), 1);
  EXPECT_EQ(Get<epoll_event>(text_).data.u64, 77u);
  EXPECT_EQ(Call(SYS_epoll_wait, {epoll, text_, 4, 0}), 1);
  event.events = EPOLLIN | EPOLLET;
  Put(at_, event);
  EXPECT_EQ(Call(SYS_epoll_ctl, {epoll, EPOLL_CTL_MOD, reader, at_}), 0);
  EXPECT_EQ(Call(SYS_epoll_pwait, {epoll, text_, 4, 0, 0, 0}), 1);
  EXPECT_EQ(Call(SYS_epoll_pwait, {epoll, text_, 4, 0, 0, 0}), 0);
  EXPECT_EQ(Call(SYS_epoll_ctl, {epoll, EPOLL_CTL_DEL, reader, 0}), 0);
  EXPECT_EQ(Call(SYS_epoll_wait, {epoll, text_, 0, 0}), -EINVAL);
  EXPECT_EQ(Call(SYS_epoll_wait, {reader, text_, 1, 0}), -EINVAL);
}

TEST_F(PollSyscallTest, EpollRefusesRegularFiles) {
  const uint64_t epoll = Must(SYS_epoll_create, {1});
  const uint64_t file = Must(SYS_open, {PutText(text_, "/bin/test"), O_RDONLY, 0});
  EXPECT_EQ(Call(SYS_epoll_ctl, {epoll, EPOLL_CTL_ADD, file, at_}), -EPERM);
}

TEST_F(PollSyscallTest, EventFdCounts) {
  const uint64_t fd = Must(SYS_eventfd2, {3, EFD_NONBLOCK});
  EXPECT_EQ(Call(SYS_read, {fd, at_, 8}), 8);
  EXPECT_EQ(Get<uint64_t>(at_), 3u);
  EXPECT_EQ(Call(SYS_read, {fd, at_, 8}), -EAGAIN);
  EXPECT_EQ(Call(SYS_read, {fd, at_, 4}), -EINVAL);
  const uint64_t semaphore = Must(SYS_eventfd2, {0, EFD_SEMAPHORE});
  const Ref<inproc::Thread> other = NewThread();
  EXPECT_EQ(Call(SYS_read, {semaphore, at_, 8}), std::nullopt);
  other->space().Write(text_, std::as_bytes(std::span("\2\0\0\0\0\0\0", 8)));
  EXPECT_EQ(other->Syscall(SYS_write, {semaphore, text_, 8}), 8);
  EXPECT_EQ(Result(*thread_), 8);
  EXPECT_EQ(Get<uint64_t>(at_), 1u);
  EXPECT_EQ(Call(SYS_eventfd2, {0, 1 << 20}), -EINVAL);
}

TEST_F(PollSyscallTest, TimerFdShowsWhatIsLeft) {
  const uint64_t fd = Must(SYS_timerfd_create, {CLOCK_MONOTONIC, TFD_NONBLOCK});
  Put(at_, itimerspec{{0, 0}, {1000, 0}});
  EXPECT_EQ(Call(SYS_timerfd_settime, {fd, 0, at_, 0}), 0);
  EXPECT_EQ(Call(SYS_timerfd_gettime, {fd, at_ + 64}), 0);
  const auto left = Get<itimerspec>(at_ + 64);
  EXPECT_GT(left.it_value.tv_sec, 900);
  EXPECT_LE(left.it_value.tv_sec, 1000);
  EXPECT_EQ(Call(SYS_read, {fd, at_ + 64, 8}), -EAGAIN);
  Put(at_, itimerspec{{0, 0}, {0, 1}});
  EXPECT_EQ(Call(SYS_timerfd_settime, {fd, TFD_TIMER_ABSTIME, at_, 0}), 0);  // long ago
  PutPollFd(fd, POLLIN);
  EXPECT_EQ(Call(SYS_poll, {at_, 1, 0}), 1);
  EXPECT_EQ(Call(SYS_read, {fd, at_ + 64, 8}), 8);
  EXPECT_EQ(Get<uint64_t>(at_ + 64), 1u);
  Put(at_, itimerspec{{0, 0}, {0, 1'000'000'000}});
  EXPECT_EQ(Call(SYS_timerfd_settime, {fd, 0, at_, 0}), -EINVAL);
  EXPECT_EQ(Call(SYS_timerfd_gettime, {Must(SYS_eventfd, {0}), at_}), -EINVAL);
}

TEST_F(PollSyscallTest, SignalFdTakesBlockedSignals) {
  BlockSignal(SIGUSR1);
  const uint64_t fd = Must(SYS_signalfd4, {~uint64_t{0}, scratch_ + 16, 8, 0});
  PutPollFd(fd, POLLIN);
  EXPECT_EQ(Call(SYS_poll, {at_, 1, 0}), 0);
  const Ref<inproc::Thread> child = Fork();
  EXPECT_EQ(Call(SYS_read, {fd, at_ + 64, sizeof(signalfd_siginfo)}), std::nullopt);
  EXPECT_EQ(child->Syscall(SYS_kill, {1, SIGUSR1}), 0);
  EXPECT_EQ(Result(*thread_), static_cast<int64_t>(sizeof(signalfd_siginfo)));
  EXPECT_EQ(Get<signalfd_siginfo>(at_ + 64).ssi_signo, static_cast<uint32_t>(SIGUSR1));
  EXPECT_NE(Get<signalfd_siginfo>(at_ + 64).ssi_pid, 1u);
  Must(SYS_kill, {1, SIGUSR1});
  EXPECT_EQ(Call(SYS_poll, {at_, 1, 0}), 1);
  Put<uint64_t>(scratch_ + 16, 0);
  EXPECT_EQ(Call(SYS_signalfd, {fd, scratch_ + 16, 8}), static_cast<int64_t>(fd));
  EXPECT_EQ(Call(SYS_poll, {at_, 1, 0}), 0);
  EXPECT_EQ(Call(SYS_signalfd4, {~uint64_t{0}, scratch_ + 16, 4, 0}), -EINVAL);
}

TEST_F(PollSyscallTest, SignalsThatInitUnblocksAreForgotten) {
  BlockSignal(SIGTERM);
  Must(SYS_kill, {1, SIGTERM});
  Must(SYS_rt_sigpending, {at_, 8});
  EXPECT_EQ(Get<uint64_t>(at_), uint64_t{1} << (SIGTERM - 1));
  Must(SYS_rt_sigprocmask, {SIG_UNBLOCK, scratch_ + 16, 0, 8});
  EXPECT_EQ(Call(SYS_getpid), 1);
  Must(SYS_rt_sigpending, {at_, 8});
  EXPECT_EQ(Get<uint64_t>(at_), 0u);
}

TEST_F(PollSyscallTest, BrokenPipeRaisesSigpipe) {
  const auto [reader, writer] = MakePipe();
  BlockSignal(SIGPIPE);
  Must(SYS_close, {reader});
  EXPECT_EQ(Call(SYS_write, {writer, text_, 1}), -EPIPE);
  Must(SYS_rt_sigpending, {at_, 8});
  EXPECT_EQ(Get<uint64_t>(at_), uint64_t{1} << (SIGPIPE - 1));
}

}  // namespace
}  // namespace cloister::syscalls
