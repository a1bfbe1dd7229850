#include "sentry/mm/memory_manager.h"

#include <sys/mman.h>

#include "gtest/gtest.h"

namespace cloister::mm {
namespace {

constexpr uint64_t kTaskSize = uint64_t{1} << 30;
constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;
constexpr uint64_t kPlace = 0x10000000;

class MemoryManagerTest : public ::testing::Test {
 protected:
  ErrnoOr<Plan> Map(uint64_t addr, uint64_t length, int flags, int prot = PROT_READ | PROT_WRITE) {
    MemoryManager::MapRequest request;
    request.addr = addr;
    request.length = length;
    request.prot = prot;
    request.flags = flags;
    return memory_->Map(request, limits_);
  }
  Errno MapError(uint64_t addr, uint64_t length, int flags) {
    const ErrnoOr<Plan> plan = Map(addr, length, flags);
    EXPECT_FALSE(plan.ok());
    return plan.error();
  }

  Ref<MemoryManager> memory_ = MakeRef<MemoryManager>(nullptr, kTaskSize);
  Limits limits_;
};

TEST_F(MemoryManagerTest, BadMapArgumentsGetLinuxErrors) {
  EXPECT_EQ(MapError(0, 0, kPrivate), Errno::kInval);
  EXPECT_EQ(MapError(0, ~uint64_t{0}, kPrivate), Errno::kNoMem);
  EXPECT_EQ(MapError(0, kTaskSize + 1, kPrivate), Errno::kNoMem);
  EXPECT_EQ(MapError(0, kPageSize, MAP_ANONYMOUS), Errno::kInval);
  EXPECT_EQ(MapError(0, kPageSize, MAP_ANONYMOUS | MAP_SHARED_VALIDATE), Errno::kInval);
  EXPECT_EQ(MapError(0, kPageSize, MAP_PRIVATE), Errno::kBadf);
  EXPECT_EQ(MapError(0, kPageSize, kPrivate | MAP_HUGETLB), Errno::kNoMem);
  EXPECT_EQ(MapError(0, kPageSize, kPrivate | MAP_HUGETLB | 12 << MAP_HUGE_SHIFT), Errno::kInval);
  EXPECT_EQ(MapError(kPlace + 1, kPageSize, kPrivate | MAP_FIXED), Errno::kInval);
  EXPECT_EQ(MapError(0, kPageSize, kPrivate | MAP_FIXED), Errno::kPerm);
  EXPECT_EQ(MapError(0x8000, kPageSize, kPrivate | MAP_FIXED), Errno::kPerm);
  EXPECT_EQ(MapError(kTaskSize, kPageSize, kPrivate | MAP_FIXED), Errno::kNoMem);
  EXPECT_EQ(MapError(~uint64_t{0} << 12, kPageSize, kPrivate | MAP_FIXED), Errno::kNoMem);
  EXPECT_TRUE(memory_->Areas().empty());
}

// As /dev/zero: no host file behind it.
class NoHostFile final : public RefCounted, public Mappable {
 public:
  ErrnoOr<Backing> BackingFor(uint64_t, uint64_t, bool, bool) override { return Backing{}; }
  Identity identity() const override { return {1, 2}; }
  std::string MappedName() const override { return "/dev/zero"; }
};

TEST_F(MemoryManagerTest, SharedMappingsWithoutAHostFileAreDistinct) {
  const auto file = MakeRef<NoHostFile>();
  const auto map = [&](int type) {
    MemoryManager::MapRequest request;
    request.length = kPageSize;
    request.prot = PROT_READ | PROT_WRITE;
    request.flags = type;
    request.file = {file, file.get()};
    return memory_->Map(request, limits_);
  };
  const ErrnoOr<Plan> first = map(MAP_SHARED), second = map(MAP_SHARED), own = map(MAP_PRIVATE);
  ASSERT_TRUE(first.ok() && second.ok() && own.ok());
  EXPECT_EQ(first->ops[0].fd, -1);
  EXPECT_NE(first->ops[0].args[3] & MAP_ANONYMOUS, 0u);
  const auto one = memory_->FutexKey(first->result), two = memory_->FutexKey(second->result);
  EXPECT_TRUE(one.shared && two.shared);
  EXPECT_NE(one.inode, two.inode);
  EXPECT_FALSE(memory_->AreaAt(first->result)->file);
  EXPECT_TRUE(memory_->AreaAt(own->result)->file);
}

TEST_F(MemoryManagerTest, NeighboursMergeAndSplit) {
  ASSERT_TRUE(Map(kPlace, 2 * kPageSize, kPrivate | MAP_FIXED).ok());
  ASSERT_TRUE(Map(kPlace + 2 * kPageSize, kPageSize, kPrivate | MAP_FIXED).ok());
  EXPECT_EQ(memory_->Areas().size(), 1u);
  ASSERT_TRUE(memory_->Protect(kPlace + kPageSize, kPageSize, PROT_READ).ok());
  EXPECT_EQ(memory_->Areas().size(), 3u);
  ASSERT_TRUE(memory_->Protect(kPlace + kPageSize, kPageSize, PROT_READ | PROT_WRITE).ok());
  EXPECT_EQ(memory_->Areas().size(), 1u);
  ASSERT_TRUE(memory_->Unmap(kPlace + kPageSize, kPageSize).ok());
  EXPECT_EQ(memory_->Areas().size(), 2u);
  EXPECT_FALSE(memory_->IsMapped(kPlace, 2 * kPageSize));
  EXPECT_TRUE(memory_->IsMapped(kPlace, kPageSize));
}

TEST_F(MemoryManagerTest, NoReplaceRefusesAndHintsMove) {
  ASSERT_TRUE(Map(kPlace, kPageSize, kPrivate | MAP_FIXED).ok());
  EXPECT_EQ(MapError(kPlace, kPageSize, kPrivate | MAP_FIXED_NOREPLACE), Errno::kExist);
  EXPECT_NE(Map(kPlace, kPageSize, kPrivate)->result, kPlace);
  EXPECT_EQ(Map(kPlace + kPageSize, kPageSize, kPrivate)->result, kPlace + kPageSize);
}

TEST_F(MemoryManagerTest, GapIsKeptBelowWhatGrowsDown) {
  ASSERT_TRUE(Map(kPlace, kPageSize, kPrivate | MAP_FIXED | MAP_GROWSDOWN).ok());
  EXPECT_NE(Map(kPlace - kPageSize, kPageSize, kPrivate)->result, kPlace - kPageSize);
  EXPECT_EQ(Map(kPlace - AreaList::kGuardGap - kPageSize, kPageSize, kPrivate)->result,
            kPlace - AreaList::kGuardGap - kPageSize);
}

TEST_F(MemoryManagerTest, LimitsOfAddressSpaceAndData) {
  limits_.address_space = 4 * kPageSize;
  limits_.data = 2 * kPageSize;
  ASSERT_TRUE(Map(kPlace, 2 * kPageSize, kPrivate | MAP_FIXED).ok());
  EXPECT_EQ(MapError(0, kPageSize, kPrivate), Errno::kNoMem);
  ASSERT_TRUE(Map(0, 2 * kPageSize, kPrivate, PROT_READ).ok());
  EXPECT_EQ(MapError(0, kPageSize, MAP_SHARED | MAP_ANONYMOUS), Errno::kNoMem);
  EXPECT_TRUE(Map(kPlace, 2 * kPageSize, kPrivate | MAP_FIXED).ok());  // replaces, adds nothing
}

TEST_F(MemoryManagerTest, ProtectChecksHolesAndFiles) {
  ASSERT_TRUE(Map(kPlace, kPageSize, kPrivate | MAP_FIXED).ok());
  EXPECT_EQ(memory_->Protect(kPlace, 2 * kPageSize, PROT_READ).error(), Errno::kNoMem);
  EXPECT_EQ(memory_->Protect(kPlace + 1, kPageSize, PROT_READ).error(), Errno::kInval);
  EXPECT_EQ(memory_->Protect(kPlace, ~uint64_t{0}, PROT_READ).error(), Errno::kNoMem);
  MemoryManager::MapRequest request;
  request.addr = kPlace;
  request.length = kPageSize;
  request.prot = PROT_READ;
  request.flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
  request.may_write = false;
  ASSERT_TRUE(memory_->Map(request, limits_).ok());
  EXPECT_EQ(memory_->Protect(kPlace, kPageSize, PROT_WRITE).error(), Errno::kAcces);
}

TEST_F(MemoryManagerTest, RemapErrors) {
  ASSERT_TRUE(Map(kPlace, 4 * kPageSize, kPrivate | MAP_FIXED).ok());
  auto remap = [&](uint64_t old, uint64_t old_len, uint64_t new_len, int flags, uint64_t at) {
    return memory_->Remap(old, old_len, new_len, flags, at, limits_).error();
  };
  EXPECT_EQ(remap(kPlace, kPageSize, 0, 0, 0), Errno::kInval);
  EXPECT_EQ(remap(kPlace + 1, kPageSize, kPageSize, 0, 0), Errno::kInval);
  EXPECT_EQ(remap(kPlace, kPageSize, kPageSize, MREMAP_FIXED, 0), Errno::kInval);
  EXPECT_EQ(remap(kPlace * 2, kPageSize, 2 * kPageSize, MREMAP_MAYMOVE, 0), Errno::kFault);
  EXPECT_EQ(remap(kPlace, 5 * kPageSize, 6 * kPageSize, MREMAP_MAYMOVE, 0), Errno::kFault);
  EXPECT_EQ(remap(kPlace, kPageSize, 2 * kPageSize, 0, 0), Errno::kNoMem);
  EXPECT_EQ(remap(kPlace, 4 * kPageSize, kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, kPlace), Errno::kInval);
  EXPECT_EQ(remap(kPlace, kPageSize, kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, kTaskSize), Errno::kInval);
  EXPECT_EQ(remap(kPlace, 0, kPageSize, MREMAP_MAYMOVE, 0), Errno::kInval);
  EXPECT_EQ(remap(~uint64_t{0} << 12, kPageSize, kPageSize, 0, 0), Errno::kFault);
}

TEST_F(MemoryManagerTest, BrkGrowsShrinksAndRefuses) {
  memory_->SetBrkBase(kPlace + 123);
  EXPECT_EQ(memory_->Brk(0, limits_).result, kPlace + 123);
  EXPECT_EQ(memory_->Brk(kPlace + 3 * kPageSize, limits_).result, kPlace + 3 * kPageSize);
  EXPECT_EQ(memory_->AreaAt(kPlace + kPageSize)->name, "[heap]");
  ASSERT_TRUE(Map(kPlace + 8 * kPageSize, kPageSize, kPrivate | MAP_FIXED).ok());
  EXPECT_EQ(memory_->Brk(kPlace + 9 * kPageSize, limits_).result, kPlace + 3 * kPageSize);
  EXPECT_EQ(memory_->Brk(~uint64_t{0}, limits_).result, kPlace + 3 * kPageSize);
  limits_.data = kPageSize;
  EXPECT_EQ(memory_->Brk(kPlace + 4 * kPageSize, limits_).result, kPlace + 3 * kPageSize);
  const Plan shrink = memory_->Brk(kPlace + 124, limits_);
  EXPECT_EQ(shrink.result, kPlace + 124);
  EXPECT_EQ(shrink.result_if_failed, kPlace + 3 * kPageSize);
  memory_->Failed(shrink);
  EXPECT_EQ(memory_->Brk(0, limits_).result, kPlace + 3 * kPageSize);
}

TEST_F(MemoryManagerTest, ForkKeepsAdvice) {
  ASSERT_TRUE(Map(kPlace, 3 * kPageSize, kPrivate | MAP_FIXED).ok());
  ASSERT_TRUE(memory_->Advise(kPlace, kPageSize, MADV_DONTFORK).ok());
  ASSERT_TRUE(memory_->Advise(kPlace + kPageSize, kPageSize, MADV_WIPEONFORK).ok());
  EXPECT_EQ(memory_->Advise(kPlace, 4 * kPageSize, MADV_DOFORK + 77).error(), Errno::kInval);
  std::vector<HostOp> extra;
  const auto child = memory_->Fork(nullptr, &extra);
  ASSERT_EQ(extra.size(), 2u);
  EXPECT_EQ(extra[0].kind, HostOp::Kind::kMunmap);
  EXPECT_EQ(extra[1].kind, HostOp::Kind::kMmap);
  EXPECT_EQ(extra[1].args[0], kPlace + kPageSize);
  EXPECT_FALSE(child->IsMapped(kPlace, kPageSize));
  EXPECT_TRUE(child->IsMapped(kPlace + kPageSize, 2 * kPageSize));
}

TEST_F(MemoryManagerTest, SharedAnonymousMemoryHasOneFutexKeyAcrossFork) {
  const uint64_t addr = Map(0, 2 * kPageSize, MAP_SHARED | MAP_ANONYMOUS)->result;
  std::vector<HostOp> extra;
  const auto child = memory_->Fork(nullptr, &extra);
  const auto mine = memory_->FutexKey(addr + kPageSize + 8), theirs = child->FutexKey(addr + kPageSize + 8);
  EXPECT_TRUE(mine.shared);
  EXPECT_EQ(mine.inode, theirs.inode);
  EXPECT_EQ(mine.offset, kPageSize + 8);
  const uint64_t second = Map(0, kPageSize, MAP_SHARED | MAP_ANONYMOUS)->result;
  EXPECT_NE(memory_->FutexKey(second).inode, mine.inode);
  EXPECT_FALSE(memory_->FutexKey(kPlace).shared);
}

TEST_F(MemoryManagerTest, LocksCountAgainstTheLimit) {
  ASSERT_TRUE(Map(kPlace, 4 * kPageSize, kPrivate | MAP_FIXED).ok());
  limits_.locked = 2 * kPageSize;
  EXPECT_TRUE(memory_->Lock(kPlace, 2 * kPageSize, false, limits_).ok());
  EXPECT_EQ(memory_->Lock(kPlace, 3 * kPageSize, false, limits_).error(), Errno::kNoMem);
  EXPECT_EQ(memory_->LockedBytes(), 2 * kPageSize);
  EXPECT_EQ(memory_->Advise(kPlace, kPageSize, MADV_DONTNEED).error(), Errno::kInval);
  EXPECT_TRUE(memory_->Unlock(kPlace, 4 * kPageSize).ok());
  EXPECT_EQ(memory_->LockedBytes(), 0u);
  EXPECT_EQ(memory_->Areas().size(), 1u);
}

}  // namespace
}  // namespace cloister::mm
