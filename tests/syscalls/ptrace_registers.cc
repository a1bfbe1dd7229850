// ptrace(2): registers, memory, breakpoints and single steps.

#include <asm/prctl.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "tests/util/memory.h"
#include "tests/util/test_fd.h"
#include "tests/util/tracee.h"

namespace cloister::tests {
namespace {

// Five bytes of code: what a breakpoint can be put on.
__attribute__((noinline)) int Answer() {
  asm volatile("nop");
  return 42;
}

volatile int some_data = 1;

TestFd OpenMem(pid_t pid) {
  return TestFd(open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDWR | O_CLOEXEC));
}

TEST(PtraceRegistersTest, SetAndGotten) {
  Tracee tracee([] {
    register long r15 asm("r15") = 1;
    long rbx = 1;
    asm volatile("int3" : "+r"(r15), "+b"(rbx));
    return r15 == 0x1234567890 && rbx == 5 ? 0 : 1;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTRAP));
  EXPECT_EQ(tracee.SignalInfo().si_code, SI_KERNEL);
  user_regs_struct regs = tracee.Registers();
  EXPECT_EQ(regs.r15, 1u);
  EXPECT_EQ(regs.cs, 0x33u);
  EXPECT_EQ(regs.ss, 0x2bu);
  EXPECT_EQ(regs.orig_rax, ~uint64_t{0});
  regs.r15 = 0x1234567890;
  tracee.SetRegisters(regs);
  EXPECT_THAT(Ptrace(PTRACE_POKEUSER, tracee.pid(), offsetof(user_regs_struct, rbx), 5), SyscallSucceeds());
  uint64_t word = 0;
  EXPECT_THAT(Ptrace(PTRACE_PEEKUSER, tracee.pid(), offsetof(user_regs_struct, rbx), &word),
              SyscallSucceeds());
  EXPECT_EQ(word, 5u);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

TEST(PtraceRegistersTest, PlacesThatAreNone) {
  Tracee tracee([] { return 0; });
  uint64_t word = 0;
  EXPECT_THAT(Ptrace(PTRACE_PEEKUSER, tracee.pid(), 1, &word), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_PEEKUSER, tracee.pid(), 928, &word), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_POKEUSER, tracee.pid(), offsetof(struct user, start_code), 1),
              SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_POKEUSER, tracee.pid(), offsetof(user_regs_struct, cs), 0),
              SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_POKEUSER, tracee.pid(), offsetof(user_regs_struct, fs_base), ~uint64_t{0}),
              SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_GETREGS, tracee.pid(), 0, BadPointer<user_regs_struct>()),
              SyscallFailsWithErrno(EFAULT));
}

TEST(PtraceRegistersTest, Bases) {
  Tracee tracee([] {
    uint64_t gs = 0;
    raise(SIGUSR1);
    CHILD_CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs) == 0);
    return gs == 0x12345000 ? 0 : 1;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGUSR1));
  uint64_t own = 0;
  ASSERT_THAT(syscall(SYS_arch_prctl, ARCH_GET_FS, &own), SyscallSucceeds());
  user_regs_struct regs = tracee.Registers();
  EXPECT_EQ(regs.fs_base, own);  // a forked child has its parent's
  EXPECT_EQ(regs.gs_base, 0u);
  uint64_t base = 0;
  EXPECT_THAT(
      Ptrace(30 /* PTRACE_ARCH_PRCTL */, tracee.pid(), reinterpret_cast<uint64_t>(&base), ARCH_GET_FS),
      SyscallSucceeds());
  EXPECT_EQ(base, own);
  regs.gs_base = 0x12345000;
  tracee.SetRegisters(regs);
  EXPECT_EQ(tracee.Registers().gs_base, 0x12345000u);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

TEST(PtraceRegistersTest, RegisterSets) {
  Tracee tracee([] { return 0; });
  user_regs_struct regs = {};
  iovec vector = {&regs, sizeof regs};
  EXPECT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), NT_PRSTATUS, &vector), SyscallSucceeds());
  const user_regs_struct same = tracee.Registers();
  EXPECT_EQ(memcmp(&regs, &same, sizeof regs), 0);
  vector = {&regs, 16};
  EXPECT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), NT_PRSTATUS, &vector), SyscallSucceeds());
  EXPECT_EQ(vector.iov_len, 16u);
  vector = {&regs, 1000};
  EXPECT_THAT(Ptrace(PTRACE_SETREGSET, tracee.pid(), NT_PRSTATUS, &vector), SyscallSucceeds());
  EXPECT_EQ(vector.iov_len, sizeof regs);
  vector = {&regs, 15};
  EXPECT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), NT_PRSTATUS, &vector), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), 12345, &vector), SyscallFailsWithErrno(EINVAL));
}

TEST(PtraceRegistersTest, FloatingPoint) {
  Tracee tracee([] {
    double value = 1.5;
    asm volatile("int3" : "+x"(value));
    return static_cast<int>(value);
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTRAP));
  user_fpregs_struct fp = {};
  ASSERT_THAT(Ptrace(PTRACE_GETFPREGS, tracee.pid(), 0, &fp), SyscallSucceeds());
  EXPECT_EQ(fp.mxcsr, 0x1f80u);
  const double before = 1.5, after = 17;
  int found = 0;
  for (int i = 0; i < 16; ++i) {
    if (memcmp(&fp.xmm_space[i * 4], &before, sizeof before) != 0) continue;
    memcpy(&fp.xmm_space[i * 4], &after, sizeof after);
    ++found;
  }
  EXPECT_GE(found, 1);
  ASSERT_THAT(Ptrace(PTRACE_SETFPREGS, tracee.pid(), 0, &fp), SyscallSucceeds());
  fp.mxcsr = ~0u;
  EXPECT_THAT(Ptrace(PTRACE_SETFPREGS, tracee.pid(), 0, &fp), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(17));
}

TEST(PtraceRegistersTest, ExtendedState) {
  Tracee tracee([] {
    double value = 1.5;
    asm volatile("int3" : "+x"(value));
    return static_cast<int>(value);
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTRAP));
  std::vector<char> state(16384);
  iovec vector = {state.data(), state.size()};
  ASSERT_THAT(Ptrace(PTRACE_GETREGSET, tracee.pid(), NT_X86_XSTATE, &vector), SyscallSucceeds());
  ASSERT_GE(vector.iov_len, 512u + 64u);
  uint64_t features = 0;
  memcpy(&features, state.data() + 464, sizeof features);
  EXPECT_EQ(features & 3, 3u);
  const double before = 1.5, after = 18;
  for (size_t i = 160; i < 416; i += 16) {
    if (memcmp(&state[i], &before, sizeof before) == 0) memcpy(&state[i], &after, sizeof after);
  }
  ASSERT_THAT(Ptrace(PTRACE_SETREGSET, tracee.pid(), NT_X86_XSTATE, &vector), SyscallSucceeds());
  state[520] = 1;  // xcomp_bv
  EXPECT_THAT(Ptrace(PTRACE_SETREGSET, tracee.pid(), NT_X86_XSTATE, &vector), SyscallFailsWithErrno(EINVAL));
  vector.iov_len = 64;
  EXPECT_THAT(Ptrace(PTRACE_SETREGSET, tracee.pid(), NT_X86_XSTATE, &vector), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(18));
}

TEST(PtraceMemoryTest, WordsAreReadAndWritten) {
  Tracee tracee([] { return some_data; });
  const auto at = reinterpret_cast<uint64_t>(&some_data);
  const uint64_t word = tracee.Peek(&some_data);
  EXPECT_EQ(static_cast<int>(word), 1);
  EXPECT_THAT(Ptrace(PTRACE_POKEDATA, tracee.pid(), at, (word & ~uint64_t{0xff}) | 9), SyscallSucceeds());
  EXPECT_EQ(some_data, 1);  // the child's copy alone
  uint64_t none;
  EXPECT_THAT(Ptrace(PTRACE_PEEKDATA, tracee.pid(), 8, &none), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_POKEDATA, tracee.pid(), 8, 1), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_PEEKDATA, tracee.pid(), at, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(9));
}

// The bytes of a breakpoint instead of Answer's first ones.
void PutBreakpoint(Tracee& tracee) {
  const auto at = reinterpret_cast<uint64_t>(&Answer);
  const uint64_t code = tracee.Peek(reinterpret_cast<void*>(at));
  ASSERT_THAT(Ptrace(PTRACE_POKETEXT, tracee.pid(), at, (code & ~uint64_t{0xff}) | 0xcc), SyscallSucceeds());
}

TEST(PtraceMemoryTest, ABreakpointInCodeThatIsReadOnly) {
  Tracee tracee([] { return Answer(); });
  const auto at = reinterpret_cast<uint64_t>(&Answer);
  const uint64_t code = tracee.Peek(reinterpret_cast<void*>(at));
  PutBreakpoint(tracee);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTRAP));
  user_regs_struct regs = tracee.Registers();
  EXPECT_EQ(regs.rip, at + 1);
  EXPECT_THAT(Ptrace(PTRACE_POKETEXT, tracee.pid(), at, code), SyscallSucceeds());
  regs.rip = at;
  tracee.SetRegisters(regs);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(42));
  EXPECT_EQ(Answer(), 42);  // this process' own code is as it was
}

TEST(PtraceMemoryTest, MemoryWithoutAccess) {
  const Mapping page = MapAnonymous(kPage);
  strcpy(page.data(), "secret");
  Tracee tracee([&] {
    CHILD_CHECK(mprotect(page.data(), kPage, PROT_NONE) == 0);
    raise(SIGUSR1);
    CHILD_CHECK(mprotect(page.data(), kPage, PROT_READ) == 0);
    return page.data()[0];
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGUSR1));
  const uint64_t word = tracee.Peek(page.data());
  EXPECT_EQ(memcmp(&word, "secret", 7), 0);
  EXPECT_THAT(Ptrace(PTRACE_POKEDATA, tracee.pid(), reinterpret_cast<uint64_t>(page.data()), 65),
              SyscallSucceeds());
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(65));
}

TEST(PtraceMemoryTest, SharedMemoryIsNotForced) {
  const Mapping page(mmap(nullptr, kPage, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0), kPage);
  const TestFd file(open("/proc/self/exe", O_RDONLY));
  const Mapping code(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, file.get(), 0), kPage);
  Tracee tracee([] { return 0; });
  EXPECT_THAT(Ptrace(PTRACE_POKEDATA, tracee.pid(), reinterpret_cast<uint64_t>(code.data()), 65),
              SyscallFailsWithErrno(EIO));
}

TEST(PtraceMemoryTest, MemFile) {
  Tracee tracee([] { return some_data + Answer(); });
  const TestFd mem = OpenMem(tracee.pid());
  ASSERT_GE(mem.get(), 0);
  const auto at = reinterpret_cast<off_t>(&some_data);
  const int value = 3;
  EXPECT_THAT(pwrite(mem.get(), &value, sizeof value, at), SyscallSucceedsWithValue(4));
  int read_back = 0;
  EXPECT_THAT(lseek(mem.get(), at, SEEK_SET), SyscallSucceedsWithValue(at));
  EXPECT_THAT(read(mem.get(), &read_back, sizeof read_back), SyscallSucceedsWithValue(4));
  EXPECT_EQ(read_back, 3);
  EXPECT_THAT(lseek(mem.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(at + 4));
  EXPECT_THAT(lseek(mem.get(), 0, SEEK_END), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pread(mem.get(), &read_back, 4, 8), SyscallFailsWithErrno(EIO));
  const uint8_t breakpoint = 0xcc;
  uint8_t code = 0;
  const auto text = reinterpret_cast<off_t>(&Answer);
  EXPECT_THAT(pread(mem.get(), &code, 1, text), SyscallSucceedsWithValue(1));
  EXPECT_THAT(pwrite(mem.get(), &breakpoint, 1, text), SyscallSucceedsWithValue(1));
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTRAP));
  EXPECT_THAT(pwrite(mem.get(), &code, 1, text), SyscallSucceedsWithValue(1));
  user_regs_struct regs = tracee.Registers();
  --regs.rip;
  tracee.SetRegisters(regs);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(45));
  EXPECT_THAT(pread(mem.get(), &code, 1, text), SyscallSucceedsWithValue(0));  // the memory is gone
}

TEST(PtraceMemoryTest, MemFileOfARunningProcess) {
  Child child([] {
    while (Answer() == 42) {
    }
  });
  const TestFd mem = OpenMem(child.pid());
  ASSERT_GE(mem.get(), 0);
  const uint8_t breakpoint = 0xcc;
  EXPECT_THAT(pwrite(mem.get(), &breakpoint, 1, reinterpret_cast<off_t>(&Answer)),
              SyscallSucceedsWithValue(1));
  EXPECT_THAT(child.Wait(), KilledBy(SIGTRAP));
}

TEST(PtraceMemoryTest, OwnMemFileWritesThroughProtections) {
  const Mapping page = MapAnonymous(kPage, PROT_READ);
  const TestFd mem = OpenMem(getpid());
  ASSERT_GE(mem.get(), 0);
  EXPECT_THAT(pwrite(mem.get(), "x", 1, reinterpret_cast<off_t>(page.data())), SyscallSucceedsWithValue(1));
  EXPECT_EQ(page.data()[0], 'x');
}

TEST(PtraceMemoryTest, MemFileIsForThoseWhoMayTrace) {
  if (geteuid() != 0) GTEST_SKIP();
  Tracee tracee([] { return 0; });
  EXPECT_THAT(InChild([&] {
                BecomeUser(12345, 12345);
                const std::string path = "/proc/" + std::to_string(tracee.pid()) + "/mem";
                CHILD_CHECK(open(path.c_str(), O_RDONLY) == -1 && errno == EACCES);
              }),
              ExitedWith(0));
}

TEST(PtraceStepTest, EachInstructionStops) {
  Tracee tracee([] {
    asm volatile("int3; nop; nop; nop");
    return 6;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTRAP));
  const uint64_t begin = tracee.Registers().rip;
  for (uint64_t i = 1; i <= 3; ++i) {
    EXPECT_THAT(tracee.Run(PTRACE_SINGLESTEP), StoppedBy(SIGTRAP));
    EXPECT_EQ(tracee.Registers().rip, begin + i);
    EXPECT_EQ(tracee.SignalInfo().si_code, TRAP_TRACE);
    EXPECT_EQ(tracee.Registers().eflags & 0x100, 0u);
  }
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(6));
}

TEST(PtraceStepTest, OverACall) {
  Tracee tracee([] {
    long result;
    asm volatile("int3; syscall; nop" : "=a"(result) : "a"(SYS_getpid) : "rcx", "r11", "memory");
    return result == getpid() ? 0 : 1;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTRAP));
  const uint64_t begin = tracee.Registers().rip;
  EXPECT_THAT(tracee.Run(PTRACE_SINGLESTEP), StoppedBy(SIGTRAP));
  EXPECT_EQ(tracee.Registers().rip, begin + 2);
  EXPECT_EQ(static_cast<pid_t>(tracee.Registers().rax), tracee.pid());
  EXPECT_THAT(tracee.Run(PTRACE_SINGLESTEP), StoppedBy(SIGTRAP));
  EXPECT_EQ(tracee.Registers().rip, begin + 3);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

void OnSignal(int) {}

TEST(PtraceStepTest, IntoAHandler) {
  Tracee tracee([] {
    signal(SIGUSR1, OnSignal);
    raise(SIGUSR1);
    return 0;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGUSR1));
  EXPECT_THAT(tracee.Run(PTRACE_SINGLESTEP, SIGUSR1), StoppedBy(SIGTRAP));
  EXPECT_EQ(tracee.Registers().rip, reinterpret_cast<uint64_t>(&OnSignal));
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

TEST(PtraceStepTest, TheGuestsOwnTrapFlagIsItsOwn) {
  static volatile int traps;
  Tracee tracee([] {
    signal(SIGTRAP, [](int) { traps = traps + 1; });
    asm volatile("pushf; orl $0x100, (%%rsp); popf; nop; pushf; andl $~0x100, (%%rsp); popf" ::
                     : "memory", "cc");
    return traps;
  });
  int status = tracee.Run(PTRACE_CONT);
  int stops = 0;
  for (; WIFSTOPPED(status); ++stops) {
    EXPECT_THAT(status, StoppedBy(SIGTRAP));
    status = tracee.Run(PTRACE_CONT, SIGTRAP);
  }
  EXPECT_GT(stops, 0);
  EXPECT_THAT(status, ExitedWith(stops));
}

}  // namespace
}  // namespace cloister::tests
