#include <asm/prctl.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/syscall_site.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// A `syscall` instruction that is followed by the comparison of its result, as in libc and in Go, run often.
// Each test has a site of its own (call_sites.cc).

// SITE makes `long NAME(long, const void*, long)`, which takes kError off an error. NAME_compare is the
// instruction behind the call.
#define SITE(name, number)                                                                      \
  asm(".text\n.balign 64\n.globl " #name "\n.globl " #name "_compare\n" #name ": mov $" #number \
      ", %eax\n nop\n syscall\n" #name                                                          \
      "_compare: cmp $-4095, %rax\n jae 1f\n ret\n1: sub $1000000, %rax\n ret\n");              \
  extern "C" long name(long first = 0, const void* second = nullptr, long third = 0);           \
  extern "C" long name##_compare()

SITE(results_site, 0);  // read
SITE(waiting_site, 0);
SITE(restarted_site, 0);
SITE(register_site, 110);  // getppid
SITE(threads_site, 110);
SITE(signals_site, 102);  // getuid
SITE(fork_site, 110);
SITE(jumped_site, 110);
SITE(gs_site, 96);  // gettimeofday

// uint64_t flags_site(): the flags behind the comparison. The limit is the other one that there is.
asm(R"(
.text
.balign 64
.globl flags_site
flags_site:
  mov $110, %eax
  nop
  syscall
  cmp $-4096, %rax
  pushfq
  pop %rax
  ret
)");
extern "C" uint64_t flags_site();

namespace cloister::tests {
namespace {

constexpr long kError = 1'000'000;

TEST(CallSitesCompare, ResultsAndErrors) {
  const TestFd zero(open("/dev/zero", O_RDONLY));
  char byte;
  for (int i = 0; i < kOften; ++i) {
    ASSERT_EQ(results_site(zero.get(), &byte, 1), 1) << i;
    ASSERT_EQ(results_site(zero.get(), &byte, 0), 0) << i;
    ASSERT_EQ(results_site(-1, &byte, 1), -EBADF - kError) << i;
  }
}

TEST(CallSitesCompare, FlagsAreThoseOfTheComparison) {
  constexpr uint64_t kArithmetic = 0x8d5;
  uint64_t wanted;
  asm volatile("cmp $-4096, %1\n pushfq\n pop %0" : "=r"(wanted) : "r"(int64_t{getppid()}) : "cc", "memory");
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(flags_site() & kArithmetic, wanted & kArithmetic) << i;
}

TEST(CallSitesCompare, RegistersSurvive) {
  const long parent = getppid();
  for (int i = 0; i < kOften; ++i) {
    register long rdi asm("rdi") = 1, rsi asm("rsi") = 2, rdx asm("rdx") = 3;
    register long r10 asm("r10") = 4, r8 asm("r8") = 5, r9 asm("r9") = 6;
    long result;
    asm volatile("call register_site"
                 : "=a"(result), "+r"(rdi), "+r"(rsi), "+r"(rdx), "+r"(r10), "+r"(r8), "+r"(r9)
                 :
                 : "rcx", "r11", "memory", "cc");
    const std::array<long, 7> seen = {result, rdi, rsi, rdx, r10, r8, r9};
    ASSERT_EQ(seen, (std::array<long, 7>{parent, 1, 2, 3, 4, 5, 6})) << i;
  }
}

TEST(CallSitesCompare, ManyThreadsRunOneSite) {
  ExpectThreadsCanShare([] { return threads_site(); }, getppid());
}

TEST(CallSitesCompare, SignalsMeetASite) {
  ExpectSignalsDoNoHarm([] { return signals_site(); }, getuid());
}

// The thread came to the site before anybody could know that it is worth anything.
TEST(CallSitesCompare, OneThatWaitsAtTheSiteGoesOn) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const TestFd in(ends[0]);
  TestFd out(ends[1]);
  const TestFd zero(open("/dev/zero", O_RDONLY));
  std::atomic<long> result = -2, at_end = -2;
  std::atomic<pid_t> tid = 0;
  ScopedThread waiter([&] {
    char byte;
    tid = static_cast<pid_t>(syscall(SYS_gettid));
    result = waiting_site(in.get(), &byte, 1);
    at_end = waiting_site(in.get(), &byte, 1);
  });
  ASSERT_TRUE(YieldUntil([&] { return tid != 0 && ProcessState(tid) == 'S'; }));
  char byte;
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(waiting_site(zero.get(), &byte, 1), 1);
  ASSERT_EQ(write(out.get(), "a", 1), 1);
  ASSERT_TRUE(YieldUntil([&] { return result != -2; }));
  EXPECT_EQ(result, 1);
  out.reset();
  ASSERT_TRUE(YieldUntil([&] { return at_end != -2; }));
  EXPECT_EQ(at_end, 0);
}

TEST(CallSitesCompare, ARestartedCallRunsItsSiteAgain) {
  ExpectInterruptionsAreSettled([](int fd, char* byte) { return restarted_site(fd, byte, 1); },
                                -EINTR - kError);
}

TEST(CallSitesCompare, AForkedChildRunsThemToo) {
  ExpectAForkedChildCanRun([] { return fork_site(); });
}

long CompareOnly(long value) {
  long result;
  asm volatile("call jumped_site_compare" : "=a"(result) : "a"(value) : "rcx", "r11", "memory", "cc");
  return result;
}

TEST(CallSitesCompare, AJumpToTheComparisonComparesOnly) {
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(jumped_site(), getppid());
  EXPECT_EQ(CompareOnly(5), 5);
  EXPECT_EQ(CompareOnly(-5), -5 - kError);
  EXPECT_EQ(CompareOnly(-5000), -5000);
}

TEST(CallSitesCompare, GsIsTheProgramsOwn) {
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(gs_site(), 0);
  alignas(64) uint64_t words[256] = {42};
  ASSERT_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, words), 0);
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(gs_site(), 0);
  ASSERT_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, nullptr), 0);
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(gs_site(), 0);
}

}  // namespace
}  // namespace cloister::tests
