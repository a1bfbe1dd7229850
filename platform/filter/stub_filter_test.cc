#include "platform/filter/stub_filter.h"

#include <asm/prctl.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>

#include "gtest/gtest.h"
#include "platform/filter/bpf_assembler.h"

namespace cloister::filter {
namespace {

constexpr uint64_t kGateReturn = 0x7fff00001002;
constexpr uint32_t kDoorbell = 4000;
constexpr uint32_t kNoSys = SECCOMP_RET_ERRNO | ENOSYS;

class StubFilterTest : public testing::Test {
 protected:
  StubFilterTest() {
    auto built = BuildStubFilter({kGateReturn, kDoorbell, 3, 10});
    EXPECT_TRUE(built.ok()) << built.status();
    program_ = *built;
  }
  uint32_t Run(uint64_t ip, uint32_t arch, int nr, std::initializer_list<uint64_t> args = {}) {
    seccomp_data data = {};
    data.nr = nr;
    data.arch = arch;
    data.instruction_pointer = ip;
    size_t i = 0;
    for (uint64_t arg : args) data.args[i++] = arg;
    return InterpretBpf(program_, data);
  }
  uint32_t Gate(int nr, std::initializer_list<uint64_t> args = {}) {
    return Run(kGateReturn, AUDIT_ARCH_X86_64, nr, args);
  }
  std::vector<sock_filter> program_;
};

TEST_F(StubFilterTest, TrapsWhateverDoesNotComeFromTheGate) {
  for (int nr : {0, 9, 15, 56, 60, 231, 4000, -1}) {
    EXPECT_EQ(Run(0x401000, AUDIT_ARCH_X86_64, nr), SECCOMP_RET_TRAP);
    EXPECT_EQ(Run(kGateReturn + 1, AUDIT_ARCH_X86_64, nr), SECCOMP_RET_TRAP);
    EXPECT_EQ(Run(kGateReturn & 0xffffffff, AUDIT_ARCH_X86_64, nr), SECCOMP_RET_TRAP);
  }
}

TEST_F(StubFilterTest, OtherArchitecturesNeverPass) {
  for (int nr = 0; nr < 512; ++nr) {
    EXPECT_EQ(Run(kGateReturn, AUDIT_ARCH_I386, nr), SECCOMP_RET_TRAP);
    EXPECT_EQ(Gate(nr | 0x40000000), kNoSys) << "x32";
  }
}

TEST_F(StubFilterTest, OnlyTheListedCallsPassTheGate) {
  for (int nr = 0; nr < 600; ++nr) {
    switch (nr) {
      case SYS_mmap:
      case SYS_clone:
        EXPECT_EQ(Gate(nr), SECCOMP_RET_USER_NOTIF);
        break;
      case SYS_munmap:
      case SYS_mprotect:
      case SYS_madvise:
      case SYS_mremap:
      case SYS_rt_sigreturn:
      case SYS_close_range:
      case SYS_sched_yield:
      case SYS_futex:
      case SYS_futex_waitv:
      case SYS_rt_sigprocmask:
      case SYS_exit:
      case SYS_exit_group:
        EXPECT_EQ(Gate(nr), SECCOMP_RET_ALLOW) << nr;
        break;
      default:
        EXPECT_EQ(Gate(nr), kNoSys) << nr;
    }
  }
  EXPECT_EQ(Gate(kDoorbell), SECCOMP_RET_USER_NOTIF);
}

TEST_F(StubFilterTest, FutexesHaveNoOwner) {
  for (uint64_t op : {FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP,
                      FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET}) {
    EXPECT_EQ(Gate(SYS_futex, {0x1000, op}), SECCOMP_RET_ALLOW) << op;
    EXPECT_EQ(Gate(SYS_futex, {0x1000, op | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME}), SECCOMP_RET_ALLOW);
    EXPECT_EQ(Gate(SYS_futex, {0x1000, op | 0x200}), kNoSys) << op;
  }
  for (uint64_t op : {FUTEX_FD, FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_WAIT_REQUEUE_PI,
                      FUTEX_CMP_REQUEUE_PI, FUTEX_LOCK_PI2, 14, 127}) {
    EXPECT_EQ(Gate(SYS_futex, {0x1000, op}), kNoSys) << op;
    EXPECT_EQ(Gate(SYS_futex, {0x1000, op | FUTEX_PRIVATE_FLAG}), kNoSys) << op;
  }
}

TEST_F(StubFilterTest, MapsOnlyPrivateAnonymousMemoryUnasked) {
  const uint64_t plain = MAP_PRIVATE | MAP_ANONYMOUS;
  EXPECT_EQ(Gate(SYS_mmap, {0x1000, 4096, PROT_READ | PROT_WRITE, plain | MAP_FIXED, ~0ull, 0}),
            SECCOMP_RET_ALLOW);
  for (uint64_t flags : std::initializer_list<uint64_t>{
           uint64_t{MAP_PRIVATE}, uint64_t{MAP_SHARED}, uint64_t{MAP_SHARED | MAP_ANONYMOUS},
           uint64_t{MAP_SHARED_VALIDATE}, uint64_t{MAP_ANONYMOUS}, uint64_t{MAP_PRIVATE | MAP_LOCKED},
           plain | MAP_HUGETLB, plain | MAP_LOCKED, plain | (1ull << 32), plain | 1}) {
    EXPECT_EQ(Gate(SYS_mmap, {0x1000, 4096, PROT_READ, flags, 4, 0}), SECCOMP_RET_USER_NOTIF) << flags;
  }
  EXPECT_EQ(Gate(SYS_mmap, {0x1000, 4096, 8, plain, 4, 0}), SECCOMP_RET_USER_NOTIF);
}

// Whatever else of a file the guest reaches so, it could read: it has been lent it.
TEST_F(StubFilterTest, MapsLentFilesUnaskedAsPrivateMemoryAlone) {
  for (uint64_t fd : {10ull, 11ull, 8000ull, 1ull << 32 | 10}) {
    EXPECT_EQ(Gate(SYS_mmap, {0x1000, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0}), SECCOMP_RET_ALLOW);
    EXPECT_EQ(Gate(SYS_mmap, {0x1000, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0}),
              SECCOMP_RET_USER_NOTIF);
    EXPECT_EQ(Gate(SYS_mmap, {0x1000, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_LOCKED, fd, 0}),
              SECCOMP_RET_USER_NOTIF);
  }
  for (uint64_t fd : {0ull, 4ull, 9ull, 1ull << 32 | 4}) {
    EXPECT_EQ(Gate(SYS_mmap, {0x1000, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0}),
              SECCOMP_RET_USER_NOTIF)
        << "the arena and its kin";
  }
}

TEST_F(StubFilterTest, ReadsLentFilesAlone) {
  EXPECT_EQ(Gate(SYS_pread64, {10, 0x1000, 4096, 0}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Gate(SYS_pread64, {~0u, 0x1000, 4096, 0}), SECCOMP_RET_ALLOW) << "no descriptor";
  for (uint64_t fd : {0ull, 4ull, 9ull, 1ull << 32 | 4}) {
    EXPECT_EQ(Gate(SYS_pread64, {fd, 0x1000, 4096, 0}), kNoSys) << "the arena and its kin";
  }
}

TEST_F(StubFilterTest, MremapThatGrowsIsAskedFor) {
  EXPECT_EQ(Gate(SYS_mremap, {0x1000, 0x3000, 0x3000}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Gate(SYS_mremap, {0x1000, 0x3000, 0x2000}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Gate(SYS_mremap, {0x1000, 0x3000, 0x4000}), SECCOMP_RET_USER_NOTIF);
  EXPECT_EQ(Gate(SYS_mremap, {0x1000, 0, 0x1000}), SECCOMP_RET_USER_NOTIF);
  EXPECT_EQ(Gate(SYS_mremap, {0x1000, 0x3000, 0x100001000}), SECCOMP_RET_USER_NOTIF);
  EXPECT_EQ(Gate(SYS_mremap, {0x1000, 0x100003000, 0x4000}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Gate(SYS_mremap, {0x1000, ~0ull, 0x4000}), SECCOMP_RET_USER_NOTIF) << "rounds to 0";
}

TEST_F(StubFilterTest, ArgumentsOfTheOthers) {
  EXPECT_EQ(Gate(SYS_mprotect, {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Gate(SYS_mprotect, {0, 4096, PROT_GROWSDOWN}), kNoSys);
  EXPECT_EQ(Gate(SYS_madvise, {0, 4096, MADV_DONTNEED}), SECCOMP_RET_ALLOW);
  for (uint64_t advice : {9ull, 12ull, 13ull, 30ull, 100ull, 101ull}) {
    EXPECT_EQ(Gate(SYS_madvise, {0, 4096, advice}), kNoSys) << advice;
  }
  for (int code = 0x0fff; code < 0x1030; ++code) {
    const bool base = code >= ARCH_SET_GS && code <= ARCH_GET_GS;
    EXPECT_EQ(Gate(SYS_arch_prctl, {static_cast<uint64_t>(code), 0}), base ? SECCOMP_RET_ALLOW : kNoSys);
  }
  EXPECT_EQ(Gate(SYS_close_range, {10, ~0u, 0}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Gate(SYS_close_range, {9, ~0u, 0}), SECCOMP_RET_ALLOW) << "as close(2)";
  EXPECT_EQ(Gate(SYS_close_range, {10, ~0u, 2}), kNoSys);
  EXPECT_EQ(Gate(SYS_sendmsg, {3}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Gate(SYS_sendmsg, {4}), kNoSys);
}

TEST(BpfAssemblerTest, RefusesUnboundAndFarJumps) {
  BpfAssembler unbound;
  unbound.Jump(unbound.NewLabel());
  EXPECT_FALSE(unbound.Finish().ok());
  BpfAssembler far;
  const auto label = far.NewLabel();
  far.JumpIfEqual(1, label);
  for (int i = 0; i < 300; ++i) far.Load(0);
  far.Bind(label);
  far.Return(0);
  EXPECT_FALSE(far.Finish().ok());
}

}  // namespace
}  // namespace cloister::filter
