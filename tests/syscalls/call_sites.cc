#include <asm/prctl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/signals.h"
#include "tests/util/syscall_site.h"
#include "tests/util/thread.h"

// The same `syscall` instruction run often, as in any loop: what it leaves alone, who else runs it, and what
// meets it on the way. Each test has a site of its own, so that the first runs and the later ones are both
// seen.

// SITE makes `long NAME()`: mov $number,%eax; syscall; ret. NAME_call is the `syscall` in its middle.
#define SITE(name, number)                                                                        \
  asm(".text\n.globl " #name "\n.globl " #name "_call\n" #name ": mov $" #number ", %eax\n" #name \
      "_call: syscall\n ret\n");                                                                  \
  extern "C" long name();                                                                         \
  extern "C" long name##_call()

SITE(parent_site, 110);  // getppid
SITE(threads_site, 110);
SITE(signals_site, 102);  // getuid
SITE(middle_site, 110);
SITE(gs_site, 96);  // gettimeofday, which nobody answers for the kernel: rdi, rsi 0
SITE(fork_site, 110);
SITE(read_site, 0);

// long run_site(void* site, uint64_t out[8]): fills registers and the red zone, calls, and stores what came
// back.
asm(R"(
.text
.globl run_site
run_site:
  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
  mov %rsi, %r15
  mov %rdi, %r11
  mov $0x1111, %rdi; mov $0x2222, %rsi; mov $0x3333, %rdx; mov $0x4444, %r10; mov $0x5555, %r8; mov $0x6666, %r9
  mov $0x7777, %rbx; mov $0x8888, %rbp; mov $0x9999, %r12; mov $0xaaaa, %r13; mov $0xbbbb, %r14
  movq $0xcccc, -24(%rsp); movq $0xdddd, -128(%rsp)
  call *%r11
  mov %rdi, 0(%r15); mov %rsi, 8(%r15); mov %rdx, 16(%r15); mov %r10, 24(%r15); mov %r8, 32(%r15)
  mov %r9, 40(%r15); mov %rbx, 48(%r15); mov %rbp, 56(%r15); mov %r12, 64(%r15); mov %r13, 72(%r15)
  mov %r14, 80(%r15)
  mov -24(%rsp), %rcx; mov %rcx, 88(%r15)
  mov -128(%rsp), %rcx; mov %rcx, 96(%r15)
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
  ret
)");
extern "C" long run_site(long (*site)(), uint64_t* out);

namespace cloister::tests {
namespace {

TEST(CallSites, RegistersAndRedZoneSurvive) {
  constexpr std::array<uint64_t, 13> kExpected = {0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777,
                                                  0x8888, 0x9999, 0xaaaa, 0xbbbb, 0xcccc, 0xdddd};
  const long parent = getppid();
  for (int i = 0; i < kOften; ++i) {
    std::array<uint64_t, 13> seen = {};
    ASSERT_EQ(run_site(parent_site, seen.data()), parent);
    ASSERT_EQ(seen, kExpected) << i;
  }
}

TEST(CallSites, ManyThreadsRunOneSite) { ExpectThreadsCanShare(threads_site, getppid()); }

TEST(CallSites, SignalsMeetASite) { ExpectSignalsDoNoHarm(signals_site, getuid()); }

long CallWith(long (*call)(), long number) {
  long result;
  asm volatile("call *%2" : "=a"(result) : "a"(number), "r"(call) : "rcx", "r11", "memory", "cc");
  return result;
}

// A jump to the instruction itself, with another number than the one that stands before it.
TEST(CallSites, TheInstructionTakesAnyNumber) {
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(middle_site(), getppid());
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(CallWith(middle_site_call, SYS_getpid), getpid());
  EXPECT_EQ(CallWith(middle_site_call, 511), -ENOSYS);
}

long GetTime() {
  long result;
  asm volatile("xor %%edi, %%edi; xor %%esi, %%esi; call gs_site"
               : "=a"(result)
               :
               : "rdi", "rsi", "rcx", "r11", "memory", "cc");
  return result;
}

// GS is the program's own.
TEST(CallSites, GsIsTheProgramsOwn) {
  uint64_t base = 1;
  ASSERT_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &base), 0);
  EXPECT_EQ(base, 0u);
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(GetTime(), 0);
  alignas(64) uint64_t words[256] = {42};
  ASSERT_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, words), 0);
  for (int i = 0; i < kOften; ++i) {
    ASSERT_EQ(GetTime(), 0);
    uint64_t word;
    asm volatile("mov %%gs:0, %0" : "=r"(word));
    ASSERT_EQ(word, 42u);
  }
  ASSERT_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &base), 0);
  EXPECT_EQ(base, reinterpret_cast<uint64_t>(words));
  ASSERT_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, nullptr), 0);
  for (int i = 0; i < kOften; ++i) ASSERT_EQ(GetTime(), 0);
}

TEST(CallSites, AForkedChildRunsThemToo) { ExpectAForkedChildCanRun(fork_site); }

long ReadByte(int fd, char* byte) {
  long result;
  register long fd_in asm("rdi") = fd;
  register char* byte_in asm("rsi") = byte;
  register long one asm("rdx") = 1;
  asm volatile("call read_site" : "=a"(result) : "r"(fd_in), "r"(byte_in), "r"(one) : "rcx", "r11", "memory");
  return result;
}

TEST(CallSites, ARestartedCallRunsItsSiteAgain) { ExpectInterruptionsAreSettled(ReadByte, -EINTR); }

}  // namespace
}  // namespace cloister::tests
