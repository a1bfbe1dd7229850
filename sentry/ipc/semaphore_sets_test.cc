#include "sentry/ipc/semaphore_sets.h"

#include <thread>

#include "gtest/gtest.h"

namespace cloister::ipc {
namespace {

const auth::Credentials& Root() { return *auth::Credentials::Root(); }

class SemaphoreSetsTest : public ::testing::Test {
 protected:
  Ref<SemOperation> Op(int id, std::vector<sembuf> ops) {
    ErrnoOr<Ref<SemOperation>> begun = sets_->Begin(id, std::move(ops), 7, *undo_, Root());
    EXPECT_TRUE(begun.ok());
    return begun.ok() ? *begun : nullptr;
  }
  bool Done(const Ref<SemOperation>& op) { return sets_->ResultOf(*op).has_value(); }
  int Value(int id, int index = 0) { return sets_->Ask(id, index, GETVAL, Root()).value(); }

  const Ref<SemaphoreSets> sets_ = MakeRef<SemaphoreSets>();
  const Ref<SemUndoList> undo_ = MakeRef<SemUndoList>();
  const int id_ = sets_->Get(IPC_PRIVATE, 2, 0600, Root()).value();
};

TEST_F(SemaphoreSetsTest, AnotherDoesWhatWaits) {
  const Ref<SemOperation> taker = Op(id_, {{0, -2, 0}});
  EXPECT_FALSE(Done(taker));
  EXPECT_TRUE(Done(Op(id_, {{0, 1, 0}})));
  EXPECT_FALSE(Done(taker));
  EXPECT_TRUE(Done(Op(id_, {{0, 2, 0}})));
  EXPECT_TRUE(Done(taker));
  EXPECT_EQ(Value(id_), 1);
}

TEST_F(SemaphoreSetsTest, WaitersForZeroGoFirst) {
  EXPECT_TRUE(Done(Op(id_, {{0, 1, 0}})));
  const Ref<SemOperation> raise_from_zero = Op(id_, {{0, 0, 0}, {0, 5, 0}});
  const Ref<SemOperation> zero = Op(id_, {{0, 0, 0}});
  EXPECT_TRUE(Done(Op(id_, {{0, -1, 0}})));
  EXPECT_TRUE(Done(zero));
  EXPECT_TRUE(Done(raise_from_zero));
  EXPECT_EQ(Value(id_), 5);
}

TEST_F(SemaphoreSetsTest, AChangeMayHelpAnEarlierOne) {
  const Ref<SemOperation> second = Op(id_, {{1, -1, 0}});
  const Ref<SemOperation> first = Op(id_, {{0, -1, 0}, {1, 1, 0}});
  EXPECT_TRUE(Done(Op(id_, {{0, 1, 0}})));
  EXPECT_TRUE(Done(first));
  EXPECT_TRUE(Done(second));
  EXPECT_EQ(Value(id_, 1), 0);
}

TEST_F(SemaphoreSetsTest, WithdrawnOrDoneNeverBoth) {
  const Ref<SemOperation> op = Op(id_, {{0, -1, 0}});
  EXPECT_FALSE(sets_->Withdraw(*op).has_value());
  EXPECT_TRUE(Done(Op(id_, {{0, 1, 0}})));
  EXPECT_EQ(Value(id_), 1);
  EXPECT_FALSE(Done(op));
  const Ref<SemOperation> done = Op(id_, {{0, -1, 0}});
  EXPECT_TRUE(sets_->Withdraw(*done).has_value());
  EXPECT_EQ(Value(id_), 0);
}

TEST_F(SemaphoreSetsTest, UndoOfRemovedSetsIsForgotten) {
  for (int i = 0; i < 100; ++i) {
    const int id = sets_->Get(IPC_PRIVATE, 1, 0600, Root()).value();
    EXPECT_TRUE(Done(Op(id, {{0, 1, SEM_UNDO}})));
    EXPECT_TRUE(sets_->Remove(id, Root()).ok());
  }
  EXPECT_TRUE(Done(Op(id_, {{0, 3, SEM_UNDO}, {1, 2, 0}})));
  undo_->DropUser(7);
  EXPECT_EQ(Value(id_, 0), 0);
  EXPECT_EQ(Value(id_, 1), 2);
}

TEST_F(SemaphoreSetsTest, LimitsHold) {
  sets_->SetLimits({.per_set = 3, .all = 5, .ops = 10, .sets = 2});
  EXPECT_EQ(sets_->Get(IPC_PRIVATE, 4, 0600, Root()).error(), Errno::kInval);
  const int other = sets_->Get(IPC_PRIVATE, 3, 0600, Root()).value();
  EXPECT_EQ(sets_->Get(IPC_PRIVATE, 1, 0600, Root()).error(), Errno::kNoSpc);
  EXPECT_TRUE(sets_->Remove(other, Root()).ok());
  EXPECT_NE(sets_->Get(IPC_PRIVATE, 3, 0600, Root()).value(), other);
}

TEST_F(SemaphoreSetsTest, TwoThreads) {
  const auto work = [&](SemUndoList& undo) {
    for (int i = 0; i < 2000; ++i) {
      const Ref<SemOperation> op = *sets_->Begin(id_, {{0, -1, SEM_UNDO}, {1, 1, 0}}, 1, undo, Root());
      ASSERT_TRUE(sets_->Begin(id_, {{0, 1, 0}}, 1, undo, Root()).ok());
      if (!sets_->Withdraw(*op).has_value()) continue;
      ASSERT_TRUE(sets_->Begin(id_, {{1, -1, 0}}, 1, undo, Root()).ok());
    }
    undo.DropUser(1);
  };
  const Ref<SemUndoList> other = MakeRef<SemUndoList>();
  std::thread a([&] { work(*undo_); }), b([&] { work(*other); });
  a.join();
  b.join();
  EXPECT_EQ(Value(id_, 1), 0);
}

}  // namespace
}  // namespace cloister::ipc
