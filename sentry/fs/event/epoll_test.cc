#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "sentry/fs/event/epoll_file.h"
#include "sentry/fs/event/event_fd.h"

namespace cloister::event {
namespace {

class EpollTest : public ::testing::Test {
 protected:
  static Ref<EventFd> NewEventFd(uint64_t count) {
    return MakeRef<EventFd>(O_RDWR, auth::Credentials::Root(), count, EventFd::Mode::kCounter);
  }
  static Ref<EpollFile> NewEpoll() { return MakeRef<EpollFile>(auth::Credentials::Root()); }
  static epoll_event Event(uint32_t events, uint64_t data) {
    epoll_event event = {};
    event.events = events;
    event.data.u64 = data;
    return event;
  }
  static void Put(EventFd& file, uint64_t value) {
    UserBuffer src = UserBuffer::KernelConst(std::as_bytes(std::span(&value, 1)));
    ASSERT_TRUE(file.Write(src).ok());
  }
  static void Drain(EventFd& file) {
    uint64_t value;
    UserBuffer dst = UserBuffer::Kernel(std::as_writable_bytes(std::span(&value, 1)));
    ASSERT_TRUE(file.Read(dst).ok());
  }
  // The data of the events that one wait gives.
  static std::vector<uint64_t> Wait(EpollFile& epoll, size_t max = 16) {
    std::vector<uint64_t> data;
    const auto count = epoll.core().Collect(max, [&data](std::span<const epoll_event> events) {
      for (const epoll_event& event : events) data.push_back(event.data.u64);
      return Ok();
    });
    EXPECT_TRUE(count.ok());
    return data;
  }
  using Data = std::vector<uint64_t>;

  Ref<EpollFile> epoll_ = NewEpoll();
};

TEST_F(EpollTest, LevelTriggeredComesAgainUntilDrained) {
  auto file = NewEventFd(0);
  ASSERT_TRUE(epoll_->core().Add(3, *file, Event(EPOLLIN, 33)).ok());
  EXPECT_EQ(Wait(*epoll_), Data{});
  Put(*file, 1);
  EXPECT_EQ(epoll_->Ready(), Poll::kIn);
  EXPECT_EQ(Wait(*epoll_), Data{33});
  EXPECT_EQ(Wait(*epoll_), Data{33});
  Drain(*file);
  EXPECT_EQ(Wait(*epoll_), Data{});
  EXPECT_EQ(epoll_->Ready(), Poll::kNone);
}

TEST_F(EpollTest, EdgeTriggeredComesOncePerEvent) {
  auto file = NewEventFd(1);
  ASSERT_TRUE(epoll_->core().Add(3, *file, Event(EPOLLIN | EPOLLET, 1)).ok());
  EXPECT_EQ(Wait(*epoll_), Data{1});
  EXPECT_EQ(Wait(*epoll_), Data{});
  Put(*file, 1);
  EXPECT_EQ(Wait(*epoll_), Data{1});
  EXPECT_EQ(Wait(*epoll_), Data{});
}

TEST_F(EpollTest, OneShotSleepsUntilModified) {
  auto file = NewEventFd(1);
  ASSERT_TRUE(epoll_->core().Add(3, *file, Event(EPOLLIN | EPOLLONESHOT, 1)).ok());
  EXPECT_EQ(Wait(*epoll_), Data{1});
  Put(*file, 1);
  EXPECT_EQ(Wait(*epoll_), Data{});
  ASSERT_TRUE(epoll_->core().Modify(3, *file, Event(EPOLLIN | EPOLLONESHOT, 2)).ok());
  EXPECT_EQ(Wait(*epoll_), Data{2});
}

TEST_F(EpollTest, GivesEachItsTurn) {
  std::vector<Ref<EventFd>> files;
  for (int i = 0; i < 4; ++i) {
    files.push_back(NewEventFd(1));
    ASSERT_TRUE(epoll_->core().Add(i, *files[i], Event(EPOLLIN, i)).ok());
  }
  EXPECT_EQ(Wait(*epoll_, 2), (Data{0, 1}));
  EXPECT_EQ(Wait(*epoll_, 2), (Data{2, 3}));
  EXPECT_EQ(Wait(*epoll_, 3), (Data{0, 1, 2}));
}

TEST_F(EpollTest, ErrorsOfControl) {
  auto file = NewEventFd(0);
  EXPECT_EQ(epoll_->core().Modify(3, *file, Event(EPOLLIN, 1)).error(), Errno::kNoEnt);
  EXPECT_EQ(epoll_->core().Remove(3, *file).error(), Errno::kNoEnt);
  ASSERT_TRUE(epoll_->core().Add(3, *file, Event(EPOLLIN, 1)).ok());
  EXPECT_EQ(epoll_->core().Add(3, *file, Event(EPOLLIN, 1)).error(), Errno::kExist);
  ASSERT_TRUE(epoll_->core().Add(4, *file, Event(EPOLLIN, 2)).ok());  // another number, the same file
  EXPECT_TRUE(epoll_->core().Remove(3, *file).ok());
  Put(*file, 1);
  EXPECT_EQ(Wait(*epoll_), Data{2});
}

TEST_F(EpollTest, AClosedFileIsForgotten) {
  auto file = NewEventFd(1);
  ASSERT_TRUE(epoll_->core().Add(3, *file, Event(EPOLLIN, 1)).ok());
  file.reset();
  EXPECT_EQ(Wait(*epoll_), Data{});
  auto other = NewEventFd(1);
  EXPECT_TRUE(epoll_->core().Add(3, *other, Event(EPOLLIN, 2)).ok());
}

TEST_F(EpollTest, AClosedEpollLeavesItsFiles) {
  auto file = NewEventFd(0);
  ASSERT_TRUE(epoll_->core().Add(3, *file, Event(EPOLLIN, 1)).ok());
  epoll_.reset();
  Put(*file, 1);
  EXPECT_EQ(file->Ready(), Poll::kIn | Poll::kOut);
}

TEST_F(EpollTest, EventsThatCannotBeDeliveredStay) {
  auto file = NewEventFd(1);
  ASSERT_TRUE(epoll_->core().Add(3, *file, Event(EPOLLIN | EPOLLET | EPOLLONESHOT, 1)).ok());
  const auto fail = [](std::span<const epoll_event>) { return ErrnoOrVoid(Errno::kFault); };
  EXPECT_EQ(epoll_->core().Collect(1, fail).error(), Errno::kFault);
  EXPECT_EQ(Wait(*epoll_), Data{1});
}

TEST_F(EpollTest, NestsAndNotifiesOutwards) {
  auto outer = NewEpoll();
  auto file = NewEventFd(0);
  ASSERT_TRUE(outer->core().Add(9, *epoll_, Event(EPOLLIN, 9)).ok());
  ASSERT_TRUE(epoll_->core().Add(3, *file, Event(EPOLLIN, 3)).ok());
  EXPECT_EQ(Wait(*outer), Data{});
  Put(*file, 1);
  EXPECT_EQ(Wait(*outer), Data{9});
  EXPECT_EQ(Wait(*epoll_), Data{3});
  Drain(*file);
  EXPECT_EQ(Wait(*outer), Data{});
}

TEST_F(EpollTest, RefusesRingsAndDeepNests) {
  auto other = NewEpoll();
  ASSERT_TRUE(other->core().Add(1, *epoll_, Event(EPOLLIN, 0)).ok());
  EXPECT_EQ(epoll_->core().Add(1, *other, Event(EPOLLIN, 0)).error(), Errno::kLoop);
  EXPECT_EQ(epoll_->core().Add(1, *epoll_, Event(EPOLLIN, 0)).error(), Errno::kLoop);
  std::vector<Ref<EpollFile>> chain = {NewEpoll()};
  for (int i = 1; i < 5; ++i) {  // grown at its inner end
    chain.push_back(NewEpoll());
    ASSERT_TRUE(chain[i - 1]->core().Add(1, *chain[i], Event(EPOLLIN, 0)).ok());
  }
  EXPECT_EQ(chain.back()->core().Add(1, *NewEpoll(), Event(EPOLLIN, 0)).error(), Errno::kLoop);
  EXPECT_EQ(NewEpoll()->core().Add(1, *chain.front(), Event(EPOLLIN, 0)).error(), Errno::kLoop);
}

TEST_F(EpollTest, ExclusiveCannotBeModified) {
  auto file = NewEventFd(1);
  ASSERT_TRUE(epoll_->core().Add(3, *file, Event(EPOLLIN | EPOLLEXCLUSIVE, 1)).ok());
  EXPECT_EQ(epoll_->core().Modify(3, *file, Event(EPOLLIN, 1)).error(), Errno::kInval);
  EXPECT_EQ(epoll_->core().Add(4, *file, Event(EPOLLPRI | EPOLLEXCLUSIVE, 1)).error(), Errno::kInval);
  EXPECT_EQ(Wait(*epoll_), Data{1});
}

TEST_F(EpollTest, TwoThreadsAddCloseAndCollect) {
  std::atomic<bool> done{false};
  std::thread collector([this, &done] {
    while (!done.load()) Wait(*epoll_);
  });
  for (int i = 0; i < 3000; ++i) {
    auto file = NewEventFd(i % 2);
    ASSERT_TRUE(epoll_->core().Add(i, *file, Event(EPOLLIN | (i % 3 == 0 ? EPOLLET : 0u), i)).ok());
    Put(*file, 1);
    if (i % 5 == 0) {
      EXPECT_TRUE(epoll_->core().Remove(i, *file).ok());
    }
    file.reset();
    if (i % 5 != 0) std::this_thread::yield();
  }
  done = true;
  collector.join();
  EXPECT_EQ(Wait(*epoll_), Data{});
}

}  // namespace
}  // namespace cloister::event
