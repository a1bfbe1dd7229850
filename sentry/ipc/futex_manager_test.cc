#include "sentry/ipc/futex_manager.h"

#include <linux/futex.h>
#include <sys/mman.h>

#include <atomic>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/inproc/space.h"
#include "sentry/usermem/user_ptr.h"

namespace cloister::ipc {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using usermem::UserPtr;

constexpr uint32_t kAny = FUTEX_BITSET_MATCH_ANY;
constexpr pid_t kTid = 42;

class FutexTest : public ::testing::Test {
 protected:
  FutexTest() {
    mm::MemoryManager::MapRequest request;
    request.length = 4 * mm::kPageSize;
    request.prot = PROT_READ | PROT_WRITE;
    request.flags = MAP_PRIVATE | MAP_ANONYMOUS;
    base_ = MapOn(*memory_, request);
    request.flags = MAP_SHARED | MAP_ANONYMOUS;
    shared_ = MapOn(*memory_, request);
  }

  uint64_t MapOn(mm::MemoryManager& memory, const mm::MemoryManager::MapRequest& request) {
    const mm::Plan plan = *memory.Map(request, {});
    for (const platform::HostOp& op : plan.ops) EXPECT_GE(space_->Run(op), 0);
    return plan.result;
  }
  FutexKey Key(uint64_t addr, bool shared = false) { return *futexes_.KeyOf(*memory_, addr, shared); }
  ErrnoOr<Ref<FutexWaiter>> Wait(uint64_t addr, uint32_t expected, uint32_t bitset = kAny) {
    return futexes_.Wait(*memory_, addr, Key(addr), expected, bitset);
  }
  void Set(uint64_t addr, uint32_t value) {
    EXPECT_TRUE(usermem::CopyOut(*space_, UserPtr<uint32_t>(addr), value).ok());
  }
  void SetLong(uint64_t addr, uint64_t value) {
    EXPECT_TRUE(usermem::CopyOut(*space_, UserPtr<uint64_t>(addr), value).ok());
  }
  uint32_t Get(uint64_t addr) { return *usermem::CopyIn(*space_, UserPtr<const uint32_t>(addr)); }

  FutexManager& futexes_ = FutexManager::Get();
  Ref<inproc::Space> space_ = MakeRef<inproc::Space>();
  Ref<mm::MemoryManager> memory_ = MakeRef<mm::MemoryManager>(space_, inproc::kTaskSize);
  uint64_t base_ = 0, shared_ = 0;
};

TEST_F(FutexTest, AnotherValueOrBadMemoryDoesNotWait) {
  Set(base_, 7);
  EXPECT_EQ(Wait(base_, 8).error(), Errno::kAgain);
  EXPECT_EQ(futexes_.KeyOf(*memory_, base_ + 2, false).error(), Errno::kInval);
  EXPECT_EQ(futexes_.KeyOf(*memory_, ~uint64_t{3}, false).error(), Errno::kFault);
  EXPECT_EQ(Wait(0x10000, 0).error(), Errno::kFault);
  EXPECT_EQ(futexes_.Wake(Key(base_), 1, kAny), 0);
}

TEST_F(FutexTest, WakeTakesSoManyInTheirOrder) {
  auto a = *Wait(base_, 0), b = *Wait(base_, 0), c = *Wait(base_, 0), elsewhere = *Wait(base_ + 4, 0);
  EXPECT_EQ(futexes_.Wake(Key(base_), 2, kAny), 2);
  EXPECT_TRUE(a->TakeWake());
  EXPECT_TRUE(b->TakeWake());
  EXPECT_FALSE(c->TakeWake());
  EXPECT_EQ(futexes_.Wake(Key(base_), 100, kAny), 1);
  EXPECT_TRUE(c->TakeWake());
  EXPECT_FALSE(elsewhere->TakeWake());
  for (const auto& waiter : {a, b, c, elsewhere}) waiter->Drop();
}

TEST_F(FutexTest, BitsetsMustMeet) {
  auto a = *Wait(base_, 0, 1), b = *Wait(base_, 0, 2);
  EXPECT_EQ(futexes_.Wake(Key(base_), 10, 4), 0);
  EXPECT_EQ(futexes_.Wake(Key(base_), 10, 2), 1);
  EXPECT_FALSE(a->TakeWake());
  EXPECT_TRUE(b->TakeWake());
  a->Drop();
  b->Drop();
}

TEST_F(FutexTest, WakeThatNobodyTookGoesToTheNext) {
  auto leaving = *Wait(base_, 0), next = *Wait(base_, 0);
  EXPECT_EQ(futexes_.Wake(Key(base_), 1, kAny), 1);
  leaving->Drop();  // a signal ended its call before it looked
  EXPECT_TRUE(next->TakeWake());
  next->Drop();
  EXPECT_EQ(futexes_.Wake(Key(base_), 1, kAny), 0);
}

TEST_F(FutexTest, RequeueMovesWaiters) {
  const uint64_t to = base_ + mm::kPageSize;
  auto a = *Wait(base_, 0), b = *Wait(base_, 0), c = *Wait(base_, 0);
  const uint32_t wrong = 5, right = 0;
  EXPECT_EQ(futexes_.Requeue(*memory_, base_, Key(base_), Key(to), 1, 1, &wrong).error(), Errno::kAgain);
  EXPECT_EQ(*futexes_.Requeue(*memory_, base_, Key(base_), Key(to), 1, 1, &right), 2);
  EXPECT_TRUE(a->TakeWake());
  EXPECT_EQ(futexes_.Wake(Key(to), 10, kAny), 1);
  EXPECT_TRUE(b->TakeWake());
  EXPECT_FALSE(c->TakeWake());
  EXPECT_EQ(*futexes_.Requeue(*memory_, base_, Key(base_), Key(base_), 0, 10, nullptr), 0);
  EXPECT_EQ(futexes_.Wake(Key(base_), 10, kAny), 1);
  for (const auto& waiter : {a, b, c}) waiter->Drop();
}

TEST_F(FutexTest, WakeOpChangesTheWordAndCompares) {
  const uint64_t second = base_ + 64;
  Set(second, 10);
  auto a = *Wait(base_, 0), b = *Wait(second, 10);
  auto op = [&](int operation, int arg, int compare, int with) {
    return futexes_.WakeOp(*memory_, second, Key(base_), Key(second), 1, 1,
                           static_cast<uint32_t>(FUTEX_OP(operation, arg, compare, with)));
  };
  EXPECT_EQ(*op(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_GT, 10), 1);
  EXPECT_EQ(Get(second), 15u);
  EXPECT_FALSE(b->TakeWake());
  EXPECT_EQ(*op(FUTEX_OP_ADD, -1, FUTEX_OP_CMP_EQ, 15), 1);
  EXPECT_EQ(Get(second), 14u);
  EXPECT_TRUE(b->TakeWake());
  EXPECT_EQ(*op(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 8, FUTEX_OP_CMP_NE, 14), 0);
  EXPECT_EQ(Get(second), 256u + 14u);
  EXPECT_EQ(op(7, 0, FUTEX_OP_CMP_EQ, 0).error(), Errno::kNoSys);
  a->Drop();
  b->Drop();
}

TEST_F(FutexTest, SharedMemoryHasOneQueueForAllWhoMapIt) {
  std::vector<platform::HostOp> extra;
  const auto child = memory_->Fork(space_, &extra);
  const FutexKey mine = Key(shared_ + 8, true);
  EXPECT_EQ(mine, *futexes_.KeyOf(*child, shared_ + 8, true));
  EXPECT_FALSE(Key(base_, true) == *futexes_.KeyOf(*child, base_, true));
  auto waiter = *futexes_.Wait(*memory_, shared_ + 8, mine, 0, kAny);
  futexes_.Wake(*child, shared_ + 8, 1);
  EXPECT_TRUE(waiter->TakeWake());
  waiter->Drop();
}

TEST_F(FutexTest, RobustListMarksWhatTheDeadOwned) {
  // head: next, futex_offset, list_op_pending; an entry: next, and the word 8 bytes behind.
  const uint64_t head = base_, first = base_ + 0x100, second = base_ + 0x200, foreign = base_ + 0x300;
  SetLong(head, first);
  SetLong(head + 8, 8);
  SetLong(head + 16, foreign);
  SetLong(first, second);
  SetLong(second, head);
  Set(first + 8, kTid | FUTEX_WAITERS);
  Set(second + 8, kTid);
  Set(foreign + 8, kTid + 1);
  EXPECT_THAT(FutexManager::MarkRobustList(*memory_, head, kTid), ElementsAre(first + 8, second + 8));
  EXPECT_EQ(Get(first + 8), FUTEX_WAITERS | FUTEX_OWNER_DIED);
  EXPECT_EQ(Get(second + 8), static_cast<uint32_t>(FUTEX_OWNER_DIED));
  EXPECT_EQ(Get(foreign + 8), static_cast<uint32_t>(kTid + 1));
}

TEST_F(FutexTest, HostileRobustListsEnd) {
  SetLong(base_, base_ + 0x100);
  SetLong(base_ + 8, ~uint64_t{0});
  SetLong(base_ + 16, ~uint64_t{7});
  SetLong(base_ + 0x100, base_ + 0x100);  // a ring that does not lead back
  EXPECT_THAT(FutexManager::MarkRobustList(*memory_, base_, kTid), IsEmpty());
  SetLong(base_, ~uint64_t{0});
  EXPECT_THAT(FutexManager::MarkRobustList(*memory_, base_, kTid), IsEmpty());
  EXPECT_THAT(FutexManager::MarkRobustList(*memory_, 8, kTid), IsEmpty());
}

TEST_F(FutexTest, NoWakeIsLostBetweenTwoThreads) {
  constexpr int kRounds = 2000;
  std::atomic<bool> stop{false};
  std::thread waker([&] {
    while (!stop.load()) {
      Set(base_, 1);
      futexes_.Wake(Key(base_), 1, kAny);
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    Set(base_, 0);
    ErrnoOr<Ref<FutexWaiter>> waiter = Wait(base_, 0);
    if (!waiter.ok()) {
      EXPECT_EQ(waiter.error(), Errno::kAgain);
      continue;
    }
    while (!(*waiter)->TakeWake()) std::this_thread::yield();
    (*waiter)->Drop();
  }
  stop = true;
  waker.join();
}

}  // namespace
}  // namespace cloister::ipc
