#include <sys/signalfd.h>

#include <atomic>
#include <deque>
#include <thread>

#include "gtest/gtest.h"
#include "sentry/fs/event/event_fd.h"
#include "sentry/fs/event/signal_fd.h"
#include "sentry/fs/event/timer_fd.h"

namespace cloister::event {
namespace {

ErrnoOr<uint64_t> Take(vfs::FileDescription& file) {
  uint64_t value = 0;
  UserBuffer dst = UserBuffer::Kernel(std::as_writable_bytes(std::span(&value, 1)));
  TRY_VOID(file.Read(dst));
  return value;
}

ErrnoOr<size_t> Put(vfs::FileDescription& file, uint64_t value) {
  UserBuffer src = UserBuffer::KernelConst(std::as_bytes(std::span(&value, 1)));
  return file.Write(src);
}

Ref<EventFd> NewEventFd(uint64_t count, EventFd::Mode mode = EventFd::Mode::kCounter) {
  return MakeRef<EventFd>(O_RDWR, auth::Credentials::Root(), count, mode);
}

TEST(EventFd, ReadSpendsTheCounter) {
  auto file = NewEventFd(2);
  EXPECT_EQ(file->Ready(), Poll::kIn | Poll::kOut);
  ASSERT_TRUE(Put(*file, 5).ok());
  EXPECT_EQ(*Take(*file), 7u);
  EXPECT_EQ(Take(*file).error(), Errno::kAgain);
  EXPECT_EQ(file->Ready(), Poll::kOut);
}

TEST(EventFd, SemaphoreGivesOneAtATime) {
  auto file = NewEventFd(2, EventFd::Mode::kSemaphore);
  EXPECT_EQ(*Take(*file), 1u);
  EXPECT_EQ(*Take(*file), 1u);
  EXPECT_EQ(Take(*file).error(), Errno::kAgain);
}

TEST(EventFd, AFullCounterTakesNoMore) {
  auto file = NewEventFd(0);
  EXPECT_EQ(Put(*file, ~uint64_t{0}).error(), Errno::kInval);
  ASSERT_TRUE(Put(*file, ~uint64_t{0} - 1).ok());
  EXPECT_EQ(file->Ready(), Poll::kIn);
  EXPECT_EQ(Put(*file, 1).error(), Errno::kAgain);
}

TEST(EventFd, ShortBuffersAreRefused) {
  auto file = NewEventFd(1);
  uint32_t half;
  UserBuffer buffer = UserBuffer::Kernel(std::as_writable_bytes(std::span(&half, 1)));
  EXPECT_EQ(file->Read(buffer).error(), Errno::kInval);
  EXPECT_EQ(file->Write(buffer).error(), Errno::kInval);
}

TEST(EventFd, TwoThreadsLoseNothing) {
  auto file = NewEventFd(0);
  constexpr uint64_t kTotal = 20000;
  std::thread writer([&file] {
    for (uint64_t i = 0; i < kTotal; ++i) ASSERT_TRUE(Put(*file, 1).ok());
  });
  uint64_t got = 0;
  while (got < kTotal) {
    const ErrnoOr<uint64_t> value = Take(*file);
    if (value.ok()) got += *value;
  }
  writer.join();
  EXPECT_EQ(got, kTotal);
}

Ref<TimerFd> NewTimerFd(clockid_t clock) {
  return MakeRef<TimerFd>(O_RDWR, auth::Credentials::Root(), clock);
}

TEST(TimerFd, PastDeadlineIsReadableAtOnce) {
  auto file = NewTimerFd(CLOCK_MONOTONIC);
  EXPECT_EQ(Take(*file).error(), Errno::kAgain);
  file->Set({.value_ns = 1}, /*absolute=*/true);
  EXPECT_EQ(file->Ready(), Poll::kIn);
  EXPECT_EQ(*Take(*file), 1u);
  EXPECT_EQ(Take(*file).error(), Errno::kAgain);
  EXPECT_EQ(file->Get().value_ns, 0);
}

TEST(TimerFd, IntervalsAreCounted) {
  auto file = NewTimerFd(CLOCK_REALTIME);
  file->Set({.value_ns = 1, .interval_ns = int64_t{86'400} * 1'000'000'000}, /*absolute=*/true);
  EXPECT_GT(*Take(*file), 20000u);  // days since 1970
  EXPECT_GT(file->Get().value_ns, 0);
}

TEST(TimerFd, SettingGivesTheTimeLeftAndZeroDisarms) {
  auto file = NewTimerFd(CLOCK_BOOTTIME);
  file->Set({.value_ns = int64_t{100} * 1'000'000'000, .interval_ns = 7}, /*absolute=*/false);
  const TimerFd::Setting old = file->Set({}, /*absolute=*/false);
  EXPECT_GT(old.value_ns, int64_t{90} * 1'000'000'000);
  EXPECT_EQ(old.interval_ns, 7);
  EXPECT_EQ(file->Get().value_ns, 0);
  EXPECT_EQ(file->Ready(), Poll::kNone);
}

TEST(TimerFd, HugeTimesNeverCome) {
  auto file = NewTimerFd(CLOCK_MONOTONIC);
  file->Set({.value_ns = wait::kNever, .interval_ns = wait::kNever}, /*absolute=*/false);
  EXPECT_EQ(file->Ready(), Poll::kNone);
  EXPECT_GT(file->Get().value_ns, 0);
}

// Signals that a test put in.
class FakeSignals final : public SignalSource {
 public:
  std::optional<siginfo_t> Take(uint64_t mask) override {
    for (auto it = queue_.begin(); it != queue_.end(); ++it) {
      if (!(mask >> (it->si_signo - 1) & 1)) continue;
      const siginfo_t info = *it;
      queue_.erase(it);
      return info;
    }
    return std::nullopt;
  }
  uint64_t Pending() override {
    uint64_t bits = 0;
    for (const siginfo_t& info : queue_) bits |= uint64_t{1} << (info.si_signo - 1);
    return bits;
  }
  wait::WaitQueue& signal_queue() override { return waiters_; }

  void Queue(int signo, int value) {
    siginfo_t info = {};
    info.si_signo = signo;
    info.si_code = SI_QUEUE;
    info.si_pid = 7;
    info.si_int = value;
    queue_.push_back(info);
    waiters_.Notify(Poll::kIn);
  }

 private:
  wait::WaitQueue waiters_;
  std::deque<siginfo_t> queue_;
};

TEST(SignalFd, ReadsWhatItsMaskWants) {
  auto signals = MakeRef<FakeSignals>();
  auto file = MakeRef<SignalFd>(O_RDWR, auth::Credentials::Root(), signals, uint64_t{1} << (SIGUSR1 - 1));
  signalfd_siginfo got[3] = {};
  UserBuffer dst = UserBuffer::Kernel(std::as_writable_bytes(std::span(got)));
  EXPECT_EQ(file->Read(dst).error(), Errno::kAgain);
  signals->Queue(SIGUSR2, 1);
  EXPECT_EQ(file->Ready(), Poll::kNone);
  signals->Queue(SIGUSR1, 2);
  signals->Queue(SIGUSR1, 3);
  EXPECT_EQ(file->Ready(), Poll::kIn);
  EXPECT_EQ(*file->Read(dst), 2 * sizeof(signalfd_siginfo));
  EXPECT_EQ(got[0].ssi_signo, static_cast<uint32_t>(SIGUSR1));
  EXPECT_EQ(got[0].ssi_int, 2);
  EXPECT_EQ(got[1].ssi_int, 3);
  EXPECT_EQ(got[1].ssi_pid, 7u);
  file->SetMask(~uint64_t{0});
  EXPECT_EQ(file->Ready(), Poll::kIn);
}

}  // namespace
}  // namespace cloister::event
