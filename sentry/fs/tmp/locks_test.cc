#include <thread>

#include "sentry/fs/tmp/vfs_fixture.h"
#include "sentry/vfs/fd_table.h"
#include "sentry/vfs/file_locks.h"

namespace cloister::tmp {
namespace {

using vfs::FileLocks;
using vfs::LockWait;
using Type = vfs::FileLocks::Type;

const int kOne = 0, kTwo = 0, kThree = 0;
const FileLocks::Owner one{&kOne, 1}, two{&kTwo, 2}, three{&kThree, 3};

TEST(FileLocksTest, SharedAndExclusive) {
  FileLocks locks;
  EXPECT_THAT(locks.Lock(one, Type::kShared, {0, 10}), Succeeds());
  EXPECT_THAT(locks.Lock(two, Type::kShared, {5, 15}), Succeeds());
  EXPECT_THAT(locks.Lock(two, Type::kExclusive, {5, 15}), FailsWith(Errno::kAgain));
  EXPECT_THAT(locks.Lock(two, Type::kExclusive, {10, 15}), Succeeds());
  EXPECT_THAT(locks.Lock(one, Type::kShared, {14, 20}), FailsWith(Errno::kAgain));
  const auto conflict = locks.Test(one, Type::kShared, {0, 100});
  ASSERT_TRUE(conflict.has_value());
  EXPECT_EQ(conflict->owner.pid, 2);
  EXPECT_EQ(conflict->range.first, 10u);
  EXPECT_EQ(conflict->range.end, 15u);
}

TEST(FileLocksTest, UnlockSplitsAndLocksMerge) {
  FileLocks locks;
  EXPECT_THAT(locks.Lock(one, Type::kExclusive, {}), Succeeds());
  locks.Unlock(one, {10, 20});
  ASSERT_EQ(locks.Held(false).size(), 2u);
  EXPECT_EQ(locks.Held(false)[0].range.end, 10u);
  EXPECT_EQ(locks.Held(false)[1].range.first, 20u);
  EXPECT_THAT(locks.Lock(two, Type::kExclusive, {10, 20}), Succeeds());
  locks.Unlock(two, {});
  EXPECT_THAT(locks.Lock(one, Type::kExclusive, {10, 20}), Succeeds());
  EXPECT_EQ(locks.Held(false).size(), 1u);
  EXPECT_THAT(locks.Lock(one, Type::kShared, {5, 6}), Succeeds());
  EXPECT_EQ(locks.Held(false).size(), 3u);
}

TEST(FileLocksTest, FindsRingsOfWaiters) {
  FileLocks a, b, c;
  EXPECT_THAT(a.Lock(one, Type::kExclusive, {}), Succeeds());
  EXPECT_THAT(b.Lock(two, Type::kExclusive, {}), Succeeds());
  EXPECT_THAT(c.Lock(three, Type::kExclusive, {}), Succeeds());
  LockWait first, second, third;
  EXPECT_THAT(b.LockOrWait(one, Type::kExclusive, {}, first), FailsWith(Errno::kAgain));
  EXPECT_THAT(c.LockOrWait(two, Type::kExclusive, {}, second), FailsWith(Errno::kAgain));
  EXPECT_THAT(a.LockOrWait(three, Type::kExclusive, {}, third), FailsWith(Errno::kDeadLk));
  first = LockWait();  // the first waiter gave up
  EXPECT_THAT(a.LockOrWait(three, Type::kExclusive, {}, third), FailsWith(Errno::kAgain));
  a.Unlock(one, {});
  EXPECT_THAT(a.LockOrWait(three, Type::kExclusive, {}, third), Succeeds());
}

TEST(FileLocksTest, FlockConversionMayLoseTheLock) {
  FileLocks locks;
  EXPECT_THAT(locks.Flock(&kOne, Type::kShared), Succeeds());
  EXPECT_THAT(locks.Flock(&kTwo, Type::kShared), Succeeds());
  EXPECT_THAT(locks.Flock(&kOne, Type::kExclusive), FailsWith(Errno::kAgain));
  EXPECT_EQ(locks.Held(true).size(), 1u);
  locks.Funlock(&kTwo);
  EXPECT_THAT(locks.Flock(&kOne, Type::kExclusive), Succeeds());
}

TEST(FileLocksTest, TwoThreadsNeverHoldTheSameByte) {
  FileLocks locks;
  int guarded = 0;
  const auto work = [&](FileLocks::Owner owner) {
    for (int done = 0; done < 2000;) {
      if (!locks.Lock(owner, Type::kExclusive, {7, 8}).ok()) continue;
      ++guarded;
      ++done;
      locks.Unlock(owner, {0, 100});
    }
  };
  std::thread other(work, one);
  work(two);
  other.join();
  EXPECT_EQ(guarded, 4000);
}

class LockLifeTest : public VfsTest {};

TEST_F(LockLifeTest, ClosingAnyDescriptorDropsThePosixLocks) {
  Put("/f", "");
  const Ref<vfs::FdTable> table = MakeRef<vfs::FdTable>();
  const int fd = table->Install(*Open(root, "/f", O_RDWR), false, 0, 100).value();
  const int other = table->Install(*Open(root, "/f", O_RDWR), false, 0, 100).value();
  FileLocks& locks = At("/f").dentry()->inode()->locks();
  EXPECT_THAT(locks.Lock({table.get(), 1}, Type::kExclusive, {}), Succeeds());
  EXPECT_THAT(table->Remove(other), Succeeds());
  EXPECT_TRUE(locks.Held(false).empty());
  EXPECT_EQ(table->Install(*Open(root, "/f", O_RDWR), false, 0, 100).value(), other);
  EXPECT_THAT(table->Get(fd), Succeeds());
  EXPECT_THAT(table->Get(-1), FailsWith(Errno::kBadf));
}

TEST_F(LockLifeTest, TheLastReferenceDropsTheFlock) {
  Put("/f", "");
  Ref<vfs::FileDescription> file = *Open(root, "/f", O_RDWR);
  FileLocks& locks = file->inode()->locks();
  EXPECT_THAT(locks.Flock(file.get(), Type::kExclusive), Succeeds());
  file.reset();
  EXPECT_TRUE(locks.Held(true).empty());
}

TEST(FdTableTest, LowestNumberFirst) {
  const Ref<vfs::FdTable> table = MakeRef<vfs::FdTable>();
  const auto file = [] {
    return Ref<vfs::FileDescription>(
        MakeRef<vfs::FileDescription>(O_RDWR, vfs::Path(), auth::Credentials::Root()));
  };
  EXPECT_EQ(table->Install(file(), false, 0, 4).value(), 0);
  EXPECT_EQ(table->Install(file(), true, 0, 4).value(), 1);
  EXPECT_EQ(table->Install(file(), false, 3, 4).value(), 3);
  EXPECT_EQ(table->Install(file(), false, 0, 4).value(), 2);
  EXPECT_THAT(table->Install(file(), false, 0, 4), FailsWith(Errno::kMFile));
  EXPECT_THAT(table->Remove(0), Succeeds());
  EXPECT_EQ(table->Install(file(), false, 0, 4).value(), 0);
  EXPECT_THAT(table->InstallAt(4, file(), false, 4), FailsWith(Errno::kBadf));
  EXPECT_EQ(table->RemoveCloexec().size(), 1u);
  EXPECT_THAT(table->Numbers(), ::testing::ElementsAre(0, 2, 3));
  EXPECT_EQ(table->RemoveRange(1, ~0u).size(), 2u);
}

}  // namespace
}  // namespace cloister::tmp
