#include "sentry/seccomp/filter.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <sys/syscall.h>

#include <thread>

namespace cloister::seccomp {
namespace {

// Answers one number so, and allows the others.
BpfProgram On(int number, uint32_t verdict) {
  return *BpfProgram::Make({BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1),
                            BPF_STMT(BPF_RET | BPF_K, verdict),
                            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)});
}

Ref<const Filter> Make(BpfProgram program, Ref<const Filter> previous, Ref<Listener> listener = nullptr) {
  ErrnoOr<Ref<const Filter>> filter =
      Filter::Make(std::move(program), 0, std::move(previous), std::move(listener));
  EXPECT_TRUE(filter.ok());
  return *filter;
}

Filter::Verdict Judge(const Filter& filter, int number) {
  seccomp_data data = {};
  data.nr = number;
  data.arch = AUDIT_ARCH_X86_64;
  return filter.Run(data);
}

TEST(FilterTest, TheStrictestActionWins) {
  const Ref<const Filter> first = Make(On(1, SECCOMP_RET_ERRNO | 5), nullptr);
  const Ref<const Filter> second = Make(On(1, SECCOMP_RET_TRACE | 6), first);
  EXPECT_EQ(Judge(*second, 1).action, SECCOMP_RET_ERRNO);
  EXPECT_EQ(Judge(*second, 1).by, first.get());
  const Ref<const Filter> third = Make(On(1, SECCOMP_RET_KILL_PROCESS), second);
  EXPECT_EQ(Judge(*third, 1).action, SECCOMP_RET_KILL_PROCESS);  // below 0
  EXPECT_EQ(Judge(*third, 2).action, SECCOMP_RET_ALLOW);
  EXPECT_EQ(Judge(*third, 2).by, nullptr);
  EXPECT_EQ(third->count(), 3u);
}

TEST(FilterTest, TheNewestOfEqualActionsGivesTheData) {
  const Ref<const Filter> first = Make(On(1, SECCOMP_RET_ERRNO | 5), nullptr);
  const Ref<const Filter> second = Make(On(1, SECCOMP_RET_ERRNO | 6), first);
  EXPECT_EQ(Judge(*second, 1).data, 6u);
  EXPECT_EQ(Judge(*second, 1).by, second.get());
}

TEST(FilterTest, WhatIsAlwaysAllowed) {
  const Ref<const Filter> first = Make(On(SYS_getpid, SECCOMP_RET_LOG), nullptr);
  const Ref<const Filter> second = Make(On(SYS_gettid, SECCOMP_RET_ERRNO), first);
  EXPECT_FALSE(first->AlwaysAllows(SYS_getpid));
  EXPECT_TRUE(first->AlwaysAllows(SYS_gettid));
  EXPECT_FALSE(second->AlwaysAllows(SYS_getpid));
  EXPECT_FALSE(second->AlwaysAllows(SYS_gettid));
  EXPECT_TRUE(second->AlwaysAllows(SYS_read));
  EXPECT_FALSE(second->AlwaysAllows(512));
  EXPECT_FALSE(second->AlwaysAllows(~uint64_t{0}));
  EXPECT_FALSE(second->AlwaysAllows(uint64_t{1} << 32 | SYS_read));
}

TEST(FilterTest, Strict) {
  const Ref<const Filter> strict = Filter::Strict();
  EXPECT_TRUE(strict->is_strict());
  EXPECT_TRUE(strict->AlwaysAllows(SYS_read));
  EXPECT_TRUE(strict->AlwaysAllows(SYS_rt_sigreturn));
  EXPECT_FALSE(strict->AlwaysAllows(SYS_exit_group));
  EXPECT_EQ(strict->count(), 0u);
}

TEST(FilterTest, ChainsAreLimited) {
  std::vector<sock_filter> code(BPF_MAXINSNS, BPF_STMT(BPF_MISC | BPF_TAX, 0));
  code.back() = BPF_STMT(BPF_RET | BPF_A, 0);
  const BpfProgram longest = *BpfProgram::Make(code);  // 4099 as Linux counts
  Ref<const Filter> filter;
  for (int i = 0; i < 7; ++i) filter = Make(longest, filter);
  const ErrnoOr<Ref<const Filter>> more = Filter::Make(longest, 0, filter);
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error(), Errno::kNoMem);
  EXPECT_TRUE(Filter::Make(On(1, 0), 0, filter).ok());
}

TEST(FilterTest, LongChainsGoWithoutRecursion) {
  Ref<const Filter> filter;
  for (;;) {
    ErrnoOr<Ref<const Filter>> next =
        Filter::Make(*BpfProgram::Make({BPF_STMT(BPF_RET | BPF_A, 0)}), 0, filter);
    if (!next.ok()) break;
    filter = *std::move(next);
  }
  EXPECT_EQ(filter->count(), 32768u / 8);
}

TEST(FilterTest, Descent) {
  const Ref<const Filter> first = Make(On(1, 0), nullptr), second = Make(On(2, 0), first);
  EXPECT_TRUE(first->IsIn(second.get()));
  EXPECT_TRUE(second->IsIn(second.get()));
  EXPECT_FALSE(second->IsIn(first.get()));
  EXPECT_FALSE(first->IsIn(nullptr));
}

class CountingListener final : public Listener {
 public:
  void OnUnused() override { ++unused; }
  bool is_open() const override { return open; }
  int unused = 0;
  bool open = true;
};

TEST(FilterTest, AListenerHearsOfTheLastUser) {
  const Ref<CountingListener> listener = MakeRef<CountingListener>();
  FilterSlot parent;
  parent.Set(Make(On(1, 0), nullptr, listener));
  EXPECT_TRUE(parent.get()->HasListener());
  {
    FilterSlot child;
    child.Set(parent.ref());
    child.Set(Make(On(2, 0), child.ref()));  // on top of it
    EXPECT_TRUE(child.get()->HasListener());
    listener->open = false;
    EXPECT_FALSE(child.get()->HasListener());
    parent.Clear();
    EXPECT_EQ(listener->unused, 0);
  }
  EXPECT_EQ(listener->unused, 1);
}

TEST(FilterTest, AFilterThatWasNeverInstalledUsesNothing) {
  const Ref<CountingListener> listener = MakeRef<CountingListener>();
  FilterSlot slot;
  slot.Set(Make(On(1, 0), nullptr, listener));
  static_cast<void>(Make(On(2, 0), slot.ref()));
  EXPECT_EQ(listener->unused, 0);
  slot.Clear();
  EXPECT_EQ(listener->unused, 1);
}

// The owner reads while another thread puts longer chains in.
TEST(FilterSlotTest, ReadWhileItGrows) {
  FilterSlot slot;
  std::atomic<bool> done{false};
  std::thread owner([&] {
    uint32_t seen = 0;
    while (!done.load()) {
      const Filter* const filter = slot.get();
      if (filter == nullptr) continue;
      EXPECT_GE(filter->count(), seen);
      seen = filter->count();
      EXPECT_EQ(Judge(*filter, 1).action, SECCOMP_RET_TRAP);
    }
  });
  for (int i = 0; i < 200; ++i) slot.Set(Make(On(1, SECCOMP_RET_TRAP), slot.ref()));
  done.store(true);
  owner.join();
}

}  // namespace
}  // namespace cloister::seccomp
