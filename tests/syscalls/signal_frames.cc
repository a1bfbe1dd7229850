#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>

#include <atomic>
#include <cstring>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// What a handler finds on its stack, and what it may change: faults, sigaltstack(2), rt_sigreturn(2),
// sigsetjmp(3).
namespace cloister::tests {
namespace {

sigjmp_buf jump;
volatile sig_atomic_t code, number;
void* volatile fault_address;

void Leave(int signal, siginfo_t* info, void*) {
  number = signal;
  code = info->si_code;
  fault_address = info->si_addr;
  siglongjmp(jump, 1);
}

// Runs `body`, which faults, and comes back by siglongjmp.
template <typename Body>
void Fault(int signal, Body&& body) {
  number = 0;
  code = 0;
  const ScopedSigaction action(signal, Leave);
  if (sigsetjmp(jump, 1) == 0) body();
  EXPECT_EQ(number, signal);
}

TEST(Fault, UnmappedAddress) {
  auto* address = BadPointer<volatile int>();
  Fault(SIGSEGV, [&] { *address = 1; });
  EXPECT_EQ(code, SEGV_MAPERR);
  EXPECT_EQ(fault_address, const_cast<int*>(address));
}

TEST(Fault, ForbiddenAddress) {
  const Mapping map = MapAnonymous(kPage, PROT_READ);
  volatile char* address = map.data() + 123;
  Fault(SIGSEGV, [&] { *address = 1; });
  EXPECT_EQ(code, SEGV_ACCERR);
  EXPECT_EQ(fault_address, const_cast<char*>(address));
}

TEST(Fault, NoncanonicalAddress) {
  volatile uintptr_t high = uintptr_t{1} << 63;
  Fault(SIGSEGV, [&] { *reinterpret_cast<volatile int*>(high) = 1; });
  EXPECT_EQ(code, SI_KERNEL);
}

TEST(Fault, Instructions) {
  Fault(SIGILL, [] { asm volatile("ud2"); });
  EXPECT_EQ(code, ILL_ILLOPN);
  volatile int zero = 0, one = 1;
  Fault(SIGFPE, [&] { one = one / zero; });
  EXPECT_EQ(code, FPE_INTDIV);
  Fault(SIGTRAP, [] { asm volatile("int3"); });
  EXPECT_EQ(code, SI_KERNEL);
  Fault(SIGSEGV, [] { asm volatile("hlt"); });
  EXPECT_EQ(code, SI_KERNEL);
}

TEST(Fault, InASystemCallsBufferIsOnlyAnError) {
  const ScopedSigaction action(SIGSEGV, Leave);
  number = 0;
  const Pipe pipe;
  EXPECT_THAT(read(pipe.read.get(), BadPointer(), 0), SyscallSucceeds());
  EXPECT_THAT(write(pipe.write.get(), BadPointer(), 1), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(number, 0);
}

TEST(Fault, BlockedOrIgnoredFaultsKill) {
  EXPECT_THAT(InChild([] {
                const ScopedSigaction action(SIGSEGV, Leave);
                const ScopedSigmask blocked(SIG_BLOCK, {SIGSEGV});
                *BadPointer<volatile int>() = 1;
              }),
              KilledBy(SIGSEGV));
  EXPECT_THAT(InChild([] {
                signal(SIGSEGV, SIG_IGN);
                *BadPointer<volatile int>() = 1;
              }),
              KilledBy(SIGSEGV));
}

TEST(Fault, HandlerThatMendsTheMemory) {
  static volatile int faults;
  faults = 0;
  const Mapping map = MapAnonymous(kPage, PROT_NONE);
  const ScopedSigaction action(
      SIGSEGV, +[](int, siginfo_t* info, void*) {
        faults = faults + 1;
        const uintptr_t page = reinterpret_cast<uintptr_t>(info->si_addr) & ~(kPage - 1);
        mprotect(reinterpret_cast<void*>(page), kPage, PROT_READ | PROT_WRITE);
      });
  map.data()[5] = 'm';
  EXPECT_EQ(map.data()[5], 'm');
  EXPECT_EQ(faults, 1);
}

TEST(Fault, HandlerThatSkipsTheInstruction) {
  const ScopedSigaction action(
      SIGILL, +[](int, siginfo_t*, void* context) {
        auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
        registers[REG_RIP] += 2;
        registers[REG_RAX] = 4711;
      });
  long value = 0;
  asm volatile("ud2" : "=a"(value) : : "memory");
  EXPECT_EQ(value, 4711);
}

TEST(Frame, RegistersSurvive) {
  const ScopedSigaction action(
      SIGUSR1, +[](int) {
        asm volatile("xor %%r12, %%r12; xor %%r13, %%r13; xor %%r8, %%r8" : : : "r8", "r12", "r13");
      });
  uint64_t r8, r12, r13, flags;
  asm volatile(
      "mov $0x1111, %%r8\n mov $0x2222, %%r12\n mov $0x3333, %%r13\n stc\n"
      "syscall\n"
      "mov %%r8, %0\n mov %%r12, %1\n mov %%r13, %2\n pushf\n pop %3\n"
      : "=&r"(r8), "=&r"(r12), "=&r"(r13), "=&r"(flags)
      : "a"(SYS_kill), "D"(getpid()), "S"(SIGUSR1)
      : "rcx", "r8", "r11", "r12", "r13", "memory", "cc");
  EXPECT_EQ(r8, 0x1111u);
  EXPECT_EQ(r12, 0x2222u);
  EXPECT_EQ(r13, 0x3333u);
  EXPECT_EQ(flags & 1, 1u);  // the carry flag
}

TEST(Frame, RedZoneIsUntouched) {
  const ScopedSigaction action(
      SIGUSR1, +[](int) {
        volatile char stack[512];
        for (size_t i = 0; i < sizeof stack; ++i) stack[i] = 1;
      });
  uint64_t seen;
  asm volatile(
      "movq $0x7777, -8(%%rsp)\n movq $0x8888, -128(%%rsp)\n"
      "syscall\n"
      "mov -8(%%rsp), %0\n add -128(%%rsp), %0\n"
      : "=&r"(seen)
      : "a"(SYS_kill), "D"(getpid()), "S"(SIGUSR1)
      : "rcx", "r11", "memory", "cc");
  EXPECT_EQ(seen, 0x7777u + 0x8888u);
}

TEST(Frame, StackIsAligned) {
  static volatile uintptr_t alignment;
  const ScopedSigaction action(
      SIGUSR1, +[](int) {
        alignas(16) char local[16];
        char* address = local;  // the compiler takes the stack's alignment for granted
        asm volatile("" : "+r"(address));
        alignment = reinterpret_cast<uintptr_t>(address) % 16;
      });
  raise(SIGUSR1);
  EXPECT_EQ(alignment, 0u);
}

TEST(Frame, FloatingPointStateSurvives) {
  const ScopedSigaction action(
      SIGUSR1, +[](int) {
        const __m128 noise = _mm_set1_ps(-1.0f);
        asm volatile("movaps %0, %%xmm0\n movaps %0, %%xmm7\n movaps %0, %%xmm15\n fninit"
                     :
                     : "x"(noise)
                     : "xmm0", "xmm7", "xmm15");
      });
  alignas(16) const float in[4] = {1, 2, 3, 4};
  alignas(16) float low[4], high[4];
  long call = SYS_kill;
  uint32_t mxcsr_in = 0x1f80 | 0x6000, mxcsr_out, normal = 0x1f80;  // round towards zero
  asm volatile(
      "ldmxcsr %5\n movaps (%6), %%xmm0\n movaps (%6), %%xmm15\n"
      "syscall\n"
      "movaps %%xmm0, %0\n movaps %%xmm15, %1\n stmxcsr %2\n"
      : "=m"(low), "=m"(high), "=m"(mxcsr_out), "+a"(call)
      : "D"(getpid()), "m"(mxcsr_in), "r"(in), "S"(SIGUSR1)
      : "rcx", "r11", "xmm0", "xmm15", "memory", "cc");
  asm volatile("ldmxcsr %0" : : "m"(normal));
  EXPECT_EQ(memcmp(low, in, sizeof in), 0);
  EXPECT_EQ(memcmp(high, in, sizeof in), 0);
  EXPECT_EQ(mxcsr_out & 0x6000, 0x6000u);
}

TEST(Frame, FloatingPointStateSurvivesAsynchronousSignals) {
  static std::atomic<int> handled;
  handled = 0;
  const ScopedSigaction action(
      SIGUSR1, +[](int) {
        asm volatile("pxor %%xmm3, %%xmm3" : : : "xmm3");
        ++handled;
      });
  std::atomic<bool> wrong = false, stop = false;
  ScopedThread worker([&] {
    while (!stop) {
      uint64_t out;
      asm volatile(
          "mov $0x123456789, %%rax\n movq %%rax, %%xmm3\n mov $2000, %%rcx\n 1: dec %%rcx\n jnz 1b\n movq "
          "%%xmm3, %0"
          : "=r"(out)
          :
          : "rax", "rcx", "xmm3", "cc");
      if (out != 0x123456789) wrong = true;
    }
  });
  EXPECT_TRUE(YieldUntil([&] { return tgkill(getpid(), worker.tid(), SIGUSR1) == 0 && handled > 100; }));
  stop = true;
  worker.Join();
  EXPECT_FALSE(wrong);
}

TEST(Frame, MaskInTheContextIsRestored) {
  const ScopedSigmask keep(SIG_BLOCK, {});
  const ScopedSigaction action(
      SIGUSR1, +[](int, siginfo_t*, void* context) {
        sigaddset(&static_cast<ucontext_t*>(context)->uc_sigmask, SIGUSR2);
      });
  raise(SIGUSR1);
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  EXPECT_EQ(sigismember(&now, SIGUSR2), 1);
}

TEST(Frame, LongjmpOutOfAHandler) {
  volatile int rounds = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { siglongjmp(jump, 1); });
  sigsetjmp(jump, 1);
  rounds = rounds + 1;
  if (rounds < 20) raise(SIGUSR1);
  EXPECT_EQ(rounds, 20);
}

class AltStackTest : public ::testing::Test {
 protected:
  const Mapping memory_ = MapAnonymous(16 * kPage);
  void SetUp() override {
    const stack_t stack = {.ss_sp = memory_.data(), .ss_flags = 0, .ss_size = memory_.size()};
    ASSERT_THAT(sigaltstack(&stack, &old_), SyscallSucceeds());
    low_ = memory_.data();
    high_ = low_ + memory_.size();
  }
  void TearDown() override {
    old_.ss_flags |= old_.ss_sp == nullptr ? SS_DISABLE : 0;
    EXPECT_THAT(sigaltstack(&old_, nullptr), SyscallSucceeds());
  }
  static bool On(const void* address) { return address >= low_ && address < high_; }
  static inline char *low_, *high_;
  static inline volatile bool on_, nested_on_;
  stack_t old_ = {};
};

TEST_F(AltStackTest, OnlyWhereAsked) {
  const auto look = +[](int) { on_ = On(__builtin_frame_address(0)); };
  const ScopedSigaction with(SIGUSR1, look, SA_ONSTACK), without(SIGUSR2, look);
  raise(SIGUSR1);
  EXPECT_TRUE(on_);
  raise(SIGUSR2);
  EXPECT_FALSE(on_);
}

TEST_F(AltStackTest, NestedHandlersStayOnIt) {
  const ScopedSigaction outer(
      SIGUSR1,
      +[](int) {
        on_ = On(__builtin_frame_address(0));
        stack_t now;
        if (sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_ONSTACK) == 0) on_ = false;
        if (sigaltstack(&now, nullptr) != -1 || errno != EPERM) on_ = false;
        raise(SIGUSR2);
      },
      SA_ONSTACK);
  const ScopedSigaction inner(SIGUSR2, +[](int) { nested_on_ = On(__builtin_frame_address(0)); }, SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_TRUE(on_);
  EXPECT_TRUE(nested_on_);
}

TEST_F(AltStackTest, SavesFromAnOverflowOfTheStack) {
  EXPECT_THAT(InChild([] {
                const ScopedSigaction action(
                    SIGSEGV, +[](int) { _exit(On(__builtin_frame_address(0)) ? 5 : 6); }, SA_ONSTACK);
                const Mapping gone = MapAnonymous(kPage, PROT_NONE);
                asm volatile("mov %0, %%rsp\n push %%rax" : : "r"(gone.data() + kPage) : "memory");
                __builtin_unreachable();
              }),
              ExitedWith(5));
}

TEST_F(AltStackTest, WithoutItAnOverflowKills) {
  EXPECT_THAT(InChild([] {
                const ScopedSigaction action(SIGSEGV, +[](int) { _exit(7); });
                const Mapping gone = MapAnonymous(kPage, PROT_NONE);
                asm volatile("mov %0, %%rsp\n push %%rax" : : "r"(gone.data() + kPage) : "memory");
                __builtin_unreachable();
              }),
              KilledBy(SIGSEGV));
}

TEST_F(AltStackTest, ReadBackAndErrors) {
  stack_t now;
  ASSERT_THAT(sigaltstack(nullptr, &now), SyscallSucceeds());
  EXPECT_EQ(now.ss_sp, memory_.data());
  EXPECT_EQ(now.ss_size, memory_.size());
  EXPECT_EQ(now.ss_flags, 0);
  const stack_t small = {.ss_sp = memory_.data(), .ss_flags = 0, .ss_size = 100};
  EXPECT_THAT(sigaltstack(&small, nullptr), SyscallFailsWithErrno(ENOMEM));
  const stack_t odd = {.ss_sp = memory_.data(), .ss_flags = 0x77, .ss_size = memory_.size()};
  EXPECT_THAT(sigaltstack(&odd, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_sigaltstack, BadPointer(), nullptr), SyscallFailsWithErrno(EFAULT));
}

TEST_F(AltStackTest, ThreadsDoNotInheritItForkDoes) {
  EXPECT_THAT(InChild([] {
                stack_t now;
                CHILD_CHECK(sigaltstack(nullptr, &now) == 0 && now.ss_sp == low_);
              }),
              ExitedWith(0));
  stack_t now = {};
  ScopedThread thread([&] { sigaltstack(nullptr, &now); });
  thread.Join();
  EXPECT_EQ(now.ss_flags, SS_DISABLE);
}

}  // namespace
}  // namespace cloister::tests
