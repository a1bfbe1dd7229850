#include "sentry/ipc/pi_futexes.h"

#include <linux/futex.h>
#include <sys/mman.h>

#include <atomic>
#include <thread>

#include "gtest/gtest.h"
#include "platform/inproc/space.h"
#include "sentry/usermem/user_ptr.h"

namespace cloister::ipc {
namespace {

using usermem::UserPtr;
using Next = PiFutexes::Progress::Next;
using Owner = PiFutexes::Owner;

constexpr uint32_t kOwner = 41, kWaiter = 42;

class PiFutexesTest : public ::testing::Test {
 protected:
  PiFutexesTest() {
    mm::MemoryManager::MapRequest request;
    request.length = mm::kPageSize;
    request.prot = PROT_READ | PROT_WRITE;
    request.flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const mm::Plan plan = *memory_->Map(request, {});
    for (const platform::HostOp& op : plan.ops) EXPECT_GE(space_->Run(op), 0);
    addr_ = plan.result;
    waiter_ = NewWaiter(kWaiter);
  }
  ~PiFutexesTest() override { waiter_->Drop(); }

  Ref<PiWaiter> NewWaiter(uint32_t tid) {
    const FutexKey key = *FutexManager::Get().KeyOf(*memory_, addr_, false);
    return MakeRef<PiWaiter>(memory_, addr_, key, static_cast<pid_t>(tid));
  }
  ErrnoOr<PiFutexes::Progress> Lock(bool exchanged, Owner owner = Owner::kLives) {
    return futexes_.Lock(*waiter_, exchanged, false, [owner](pid_t) { return owner; });
  }
  // What the caller's thread does at kExchange.
  bool Exchange(const PiFutexes::Progress& progress) {
    EXPECT_EQ(progress.next, Next::kExchange);
    if (Word() != progress.expected) return false;
    Set(progress.desired);
    return true;
  }
  void Set(uint32_t word) { EXPECT_TRUE(usermem::CopyOut(*space_, UserPtr<uint32_t>(addr_), word).ok()); }
  uint32_t Word() { return *usermem::CopyIn(*space_, UserPtr<const uint32_t>(addr_)); }

  PiFutexes& futexes_ = PiFutexes::Get();
  Ref<inproc::Space> space_ = MakeRef<inproc::Space>();
  Ref<mm::MemoryManager> memory_ = MakeRef<mm::MemoryManager>(space_, inproc::kTaskSize);
  uint64_t addr_ = 0;
  Ref<PiWaiter> waiter_;
};

TEST_F(PiFutexesTest, HeldLockIsWaitedFor) {
  Set(kOwner);
  EXPECT_TRUE(Exchange(*Lock(false)));
  EXPECT_EQ(Lock(true)->next, Next::kQueued);
  EXPECT_EQ(waiter_->TakeGrant().error(), Errno::kAgain);
  EXPECT_TRUE(
      futexes_.Unlock(*memory_, addr_, *FutexManager::Get().KeyOf(*memory_, addr_, false), kOwner).ok());
  EXPECT_TRUE(waiter_->TakeGrant().ok());
  EXPECT_EQ(Word(), kWaiter | FUTEX_WAITERS);
}

TEST_F(PiFutexesTest, OwnerThatEndsBeforeTheBitIsSetLeavesTheLock) {
  Set(kOwner);
  const PiFutexes::Progress asked = *Lock(false);
  futexes_.ExitOwner(kOwner);
  EXPECT_EQ(Word(), kWaiter | FUTEX_WAITERS | FUTEX_OWNER_DIED);
  EXPECT_FALSE(Exchange(asked));
  EXPECT_EQ(Lock(false, Owner::kNone)->next, Next::kQueued);
  EXPECT_TRUE(waiter_->TakeGrant().ok());
}

TEST_F(PiFutexesTest, OwnerThatEndsAfterTheBitIsSetLeavesTheLock) {
  Set(kOwner);
  EXPECT_TRUE(Exchange(*Lock(false)));
  futexes_.ExitOwner(kOwner);
  EXPECT_EQ(Lock(true, Owner::kNone)->next, Next::kQueued);
  EXPECT_TRUE(waiter_->TakeGrant().ok());
  EXPECT_EQ(Word(), kWaiter | FUTEX_WAITERS | FUTEX_OWNER_DIED);
}

TEST_F(PiFutexesTest, LockThatWasLetGoOfMeanwhileIsTaken) {
  Set(kOwner);
  const PiFutexes::Progress asked = *Lock(false);
  Set(0);
  futexes_.ExitOwner(kOwner);
  EXPECT_EQ(Word(), 0u);
  EXPECT_FALSE(Exchange(asked));
  EXPECT_TRUE(Exchange(*Lock(false)));
  EXPECT_EQ(Word(), kWaiter);
}

TEST_F(PiFutexesTest, OwnerThatIsGoneIsNoOwner) {
  Set(kOwner);
  EXPECT_EQ(Lock(false, Owner::kNone).error(), Errno::kSrch);
  EXPECT_EQ(Lock(false, Owner::kGoes)->next, Next::kOwnerIsGoing);
  futexes_.ExitOwner(kOwner);
  EXPECT_EQ(Word(), kOwner);  // nobody waits
}

// Two threads: either the owner is found gone, or it leaves the lock to who waits.
TEST_F(PiFutexesTest, OwnerEndsWhileAnotherComes) {
  for (int round = 0; round < 2000; ++round) {
    Set(kOwner);
    std::atomic<bool> dead = false;
    std::thread owner([&] {
      dead = true;
      futexes_.ExitOwner(kOwner);
    });
    const Ref<PiWaiter> waiter = NewWaiter(kWaiter);
    const auto progress =
        futexes_.Lock(*waiter, false, false, [&](pid_t) { return dead ? Owner::kNone : Owner::kLives; });
    owner.join();
    EXPECT_EQ(progress.ok(), waiter->TakeGrant().ok());
    waiter->Drop();
  }
}

}  // namespace
}  // namespace cloister::ipc
