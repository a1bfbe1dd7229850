#include <sys/syscall.h>

#include <set>
#include <string_view>

#include "base/abi/syscall_signatures.h"
#include "gtest/gtest.h"

namespace cloister::abi {
namespace {

TEST(SyscallSignatures, StandByNumberAndAreFound) {
  int last = -1;
  std::set<std::string_view> names;
  for (const Signature& call : kSyscallSignatures) {
    EXPECT_GT(call.number, last);
    EXPECT_TRUE(names.insert(call.name).second) << call.name;
    EXPECT_EQ(FindSyscallSignature(call.number), &call);
    EXPECT_EQ(FindSyscallSignature(call.name), &call);
    last = call.number;
  }
  EXPECT_EQ(FindSyscallSignature(400), nullptr);
  EXPECT_EQ(FindSyscallSignature(~uint64_t{0}), nullptr);
  EXPECT_EQ(FindSyscallSignature("openat")->number, SYS_openat);
  EXPECT_EQ(FindSyscallSignature("statx")->number, SYS_statx);
  EXPECT_EQ(FindSyscallSignature("futex_waitv")->number, SYS_futex_waitv);
}

void CheckCount(const Arg& arg, int place, int count, std::string_view whose) {
  EXPECT_LT(arg.count_arg, count) << whose;
  EXPECT_NE(arg.count_arg, place) << whose;
  if (arg.kind == Arg::Kind::kStruct) {
    EXPECT_NE(arg.layout, nullptr) << whose;
  }
  if (arg.kind == Arg::Kind::kFlags || arg.kind == Arg::Kind::kChoice) {
    ASSERT_NE(arg.words, nullptr) << whose;
    EXPECT_GT(arg.words->count, 0u) << whose;
  }
}

TEST(SyscallSignatures, CountsAndMembersLieWithin) {
  for (const Signature& call : kSyscallSignatures) {
    for (int i = 0; i < call.arity(); ++i) {
      CheckCount(call.args[i], i, call.arity(), call.name);
      const Layout* const layout = call.args[i].layout;
      if (layout == nullptr || layout->fields == nullptr) continue;
      int place = 0;
      for (const Field& field : *layout->fields) {
        EXPECT_LE(field.offset + field.width, layout->size) << layout->name;
        CheckCount(field.arg, place++, static_cast<int>(layout->fields->count), layout->name);
      }
    }
  }
}

}  // namespace
}  // namespace cloister::abi
