#include "runsc/seccomp/compile.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cerrno>

#include "sentry/seccomp/filter.h"

namespace cloister::seccomp {
namespace {

using spec::SeccompRule;

constexpr uint32_t kPerm = SCMP_ACT_ERRNO(EPERM);

// What the sentry makes of the filter: action and data of a call.
class Compiled {
 public:
  explicit Compiled(const spec::Seccomp& profile) {
    absl::StatusOr<std::vector<sock_filter>> code = Compile(profile);
    EXPECT_TRUE(code.ok()) << code.status();
    if (code.ok()) filter_ = *Filter::Make(*BpfProgram::Make(*std::move(code)), 0, nullptr);
  }
  uint32_t operator()(int number, uint64_t first = 0, uint64_t second = 0) const {
    seccomp_data data = {};
    data.nr = number;
    data.arch = AUDIT_ARCH_X86_64;
    data.args[0] = first;
    data.args[1] = second;
    const Filter::Verdict verdict = filter_->Run(data);
    return verdict.action | verdict.data;
  }
  const Filter& filter() const { return *filter_; }

 private:
  Ref<const Filter> filter_;
};

spec::Seccomp Listing(std::vector<SeccompRule> rules) {
  return {
      .default_action = kPerm, .architectures = {SCMP_ARCH_X86_64, SCMP_ARCH_X32}, .rules = std::move(rules)};
}

TEST(CompileTest, AllowsWhatIsListed) {
  const Compiled verdict(Listing({{"read", SCMP_ACT_ALLOW, {}},
                                  {"no_such_call", SCMP_ACT_ALLOW, {}},
                                  {"socketcall", SCMP_ACT_ALLOW, {}},
                                  {"openat2", SCMP_ACT_ERRNO(5), {}}}));
  EXPECT_EQ(verdict(SYS_read), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(SYS_write), SECCOMP_RET_ERRNO | EPERM);
  EXPECT_EQ(verdict(SYS_openat2), SECCOMP_RET_ERRNO | 5u);
  EXPECT_TRUE(verdict.filter().AlwaysAllows(SYS_read));
  EXPECT_FALSE(verdict.filter().AlwaysAllows(SYS_write));
}

TEST(CompileTest, NewerCallsThanTheProfileAreMissing) {
  const Compiled verdict(Listing({{"openat2", SCMP_ACT_ALLOW, {}}}));
  EXPECT_EQ(verdict(SYS_openat2 + 1), SECCOMP_RET_ERRNO | ENOSYS);
  EXPECT_EQ(verdict(100'000), SECCOMP_RET_ERRNO | ENOSYS);
  EXPECT_EQ(verdict(SYS_openat2 - 1), SECCOMP_RET_ERRNO | EPERM);
  EXPECT_EQ(verdict(0x40000000 | 600), SECCOMP_RET_ERRNO | ENOSYS);
  EXPECT_EQ(verdict(0x40000000 | 39), SECCOMP_RET_ERRNO | EPERM);
  spec::Seccomp permissive = Listing({{"openat2", kPerm, {}}});
  permissive.default_action = SCMP_ACT_ALLOW;
  EXPECT_EQ(Compiled(permissive)(SYS_openat2 + 1), SECCOMP_RET_ALLOW);
}

TEST(CompileTest, Arguments) {
  const Compiled verdict(
      Listing({{"clone", SCMP_ACT_ALLOW, {SCMP_A0(SCMP_CMP_MASKED_EQ, 0x7e020000, 0)}},
               {"personality", SCMP_ACT_ALLOW, {SCMP_A0(SCMP_CMP_EQ, 8)}},
               {"personality", SCMP_ACT_ALLOW, {SCMP_A0(SCMP_CMP_EQ, 0x20008)}},
               {"socket", SCMP_ACT_ALLOW, {SCMP_A0(SCMP_CMP_EQ, 1), SCMP_A1(SCMP_CMP_EQ, 2)}}}));
  EXPECT_EQ(verdict(SYS_clone, 0x11), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(SYS_clone, 0x10000011), SECCOMP_RET_ERRNO | EPERM);
  EXPECT_EQ(verdict(SYS_personality, 8), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(SYS_personality, 0x20008), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(SYS_personality, 9), SECCOMP_RET_ERRNO | EPERM);
  EXPECT_EQ(verdict(SYS_socket, 1, 2), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(SYS_socket, 1, 3), SECCOMP_RET_ERRNO | EPERM);
  EXPECT_FALSE(verdict.filter().AlwaysAllows(SYS_clone));
}

TEST(CompileTest, LongListsAreTheSame) {
  std::vector<SeccompRule> rules;
  for (int number = 0; number < 200; ++number) {
    char* const name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
    ASSERT_NE(name, nullptr);
    if (number % 3 == 0) rules.push_back({name, SCMP_ACT_ALLOW, {}});
    free(name);
  }
  const Compiled verdict(Listing(rules));
  for (int number = 0; number < 198; ++number)
    EXPECT_EQ(verdict(number), number % 3 == 0 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPERM) << number;
}

TEST(CompileTest, ArchitecturesOfOthersAreLeftOut) {
  spec::Seccomp profile = Listing({{"read", SCMP_ACT_ALLOW, {}}});
  profile.architectures = {SCMP_ARCH_S390X, SCMP_ARCH_AARCH64, SCMP_ARCH_X86};
  EXPECT_EQ(Compiled(profile)(SYS_read), SECCOMP_RET_ALLOW);
}

}  // namespace
}  // namespace cloister::seccomp
