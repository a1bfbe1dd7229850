#include "base/error/errno_or.h"

#include <memory>

#include "gtest/gtest.h"

namespace cloister {
namespace {

ErrnoOr<int> Half(int n) {
  if (n % 2 != 0) return Errno::kInval;
  return n / 2;
}

ErrnoOr<int> Quarter(int n) {
  const int half = TRY(Half(n));
  return Half(half);
}

TEST(ErrnoOr, TryHandsOnTheError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).error(), Errno::kInval);
}

ErrnoOr<std::unique_ptr<int>> Boxed(int n) { return std::make_unique<int>(n); }

ErrnoOr<int> Unboxed(int n) {
  std::unique_ptr<int> box = TRY(Boxed(n));
  return *box;
}

TEST(ErrnoOr, CarriesAMoveOnlyValue) { EXPECT_EQ(*Unboxed(3), 3); }

TEST(Errno, HasLinuxNames) { EXPECT_EQ(ErrnoName(Errno::kNoEnt), "ENOENT"); }

}  // namespace
}  // namespace cloister
