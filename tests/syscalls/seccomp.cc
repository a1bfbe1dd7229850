#include "tests/util/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <cstring>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"

// seccomp(2): what is taken, and what filters do to the calls of one thread.
namespace cloister::tests {
namespace {

constexpr int kOften = 1000;  // by then a call site may be served in another way

class SeccompTest : public testing::Test {
 protected:
  void SetUp() override {
    if (prctl(PR_GET_SECCOMP) != 0) GTEST_SKIP() << "runs under a filter already";
  }
};

bool FailsWith(long result, int error) { return result == -1 && errno == error; }
bool Denied(long result) { return FailsWith(result, kFiltered); }

// ---- What is taken ----

TEST_F(SeccompTest, OperationsAndFlags) {
  const sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_fprog program = {1, const_cast<sock_filter*>(&allow)};
  EXPECT_THAT(Seccomp(77, 0, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Seccomp(SECCOMP_SET_MODE_STRICT, 1, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Seccomp(SECCOMP_SET_MODE_STRICT, 0, &program), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Seccomp(SECCOMP_SET_MODE_FILTER, 1 << 20, &program), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Seccomp(SECCOMP_SET_MODE_FILTER, 1 << 5, &program), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER,
                      &program),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(prctl(PR_SET_SECCOMP, 0, &program), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(prctl(PR_SET_SECCOMP, 3, &program), SyscallFailsWithErrno(EINVAL));
  EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
}

TEST_F(SeccompTest, ActionsAreAvailable) {
  for (const uint32_t action :
       {uint32_t{SECCOMP_RET_KILL_PROCESS}, uint32_t{SECCOMP_RET_KILL_THREAD}, uint32_t{SECCOMP_RET_TRAP},
        uint32_t{SECCOMP_RET_ERRNO}, uint32_t{SECCOMP_RET_USER_NOTIF}, uint32_t{SECCOMP_RET_TRACE},
        uint32_t{SECCOMP_RET_LOG}, uint32_t{SECCOMP_RET_ALLOW}}) {
    EXPECT_THAT(Seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action), SyscallSucceedsWithValue(0)) << action;
  }
  const uint32_t unknown = 0x00010000, with_data = SECCOMP_RET_ERRNO | 1;
  EXPECT_THAT(Seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &unknown), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(Seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &with_data), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(Seccomp(SECCOMP_GET_ACTION_AVAIL, 1, &unknown), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Seccomp(SECCOMP_GET_ACTION_AVAIL, 0, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(ReadFile("/proc/sys/kernel/seccomp/actions_avail"),
            "kill_process kill_thread trap errno user_notif trace log allow\n");
}

TEST_F(SeccompTest, SizesOfNotifications) {
  seccomp_notif_sizes sizes = {};
  EXPECT_THAT(Seccomp(SECCOMP_GET_NOTIF_SIZES, 0, &sizes), SyscallSucceedsWithValue(0));
  EXPECT_EQ(sizes.seccomp_notif, sizeof(seccomp_notif));
  EXPECT_EQ(sizes.seccomp_notif_resp, sizeof(seccomp_notif_resp));
  EXPECT_EQ(sizes.seccomp_data, sizeof(seccomp_data));
  EXPECT_THAT(Seccomp(SECCOMP_GET_NOTIF_SIZES, 1, &sizes), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Seccomp(SECCOMP_GET_NOTIF_SIZES, 0, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST_F(SeccompTest, NeedsThePrivilegeOrNoNewPrivs) {
  EXPECT_THAT(InChild([] {
                BecomeUser(1000, 1000);
                CHILD_CHECK(FailsWith(InstallFilter(Answering({})), EACCES));
                // The length comes before the privilege, the program after it.
                CHILD_CHECK(FailsWith(InstallFilter({}), EINVAL));
                const sock_fprog unreadable = {1, BadPointer<sock_filter>()};
                CHILD_CHECK(FailsWith(Seccomp(SECCOMP_SET_MODE_FILTER, 0, &unreadable), EACCES));
                CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid})) == 0);
                CHILD_CHECK(Denied(Getppid()));
              }),
              ExitedWith(0));
}

TEST_F(SeccompTest, ProgramsThatAreNone) {
  EXPECT_THAT(Seccomp(SECCOMP_SET_MODE_FILTER, 0, BadPointer()), SyscallFailsWithErrno(EFAULT));
  sock_fprog program = {1, BadPointer<sock_filter>()};
  EXPECT_THAT(Seccomp(SECCOMP_SET_MODE_FILTER, 0, &program), SyscallFailsWithErrno(EFAULT));
  program.filter = nullptr;
  EXPECT_THAT(Seccomp(SECCOMP_SET_MODE_FILTER, 0, &program), SyscallFailsWithErrno(EINVAL));
  const sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  EXPECT_THAT(InstallFilter({}), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(InstallFilter(FilterCode(BPF_MAXINSNS + 1, allow)), SyscallFailsWithErrno(EINVAL));
  const auto refused = [&](sock_filter first) {
    EXPECT_THAT(InstallFilter({first, allow, allow}), SyscallFailsWithErrno(EINVAL)) << first.code;
  };
  refused(BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0));
  refused(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2));
  refused(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sizeof(seccomp_data)));
  refused(BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0));
  refused(BPF_STMT(BPF_LD | BPF_MEM, 0));
  refused(BPF_STMT(BPF_ST, 16));
  refused(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0));
  refused(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 2));
  refused(BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32));
  refused(BPF_STMT(BPF_JMP | BPF_JA, 2));
  refused(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2));
  refused({0x1234, 0, 0, 0});
  EXPECT_THAT(InstallFilter({BPF_STMT(BPF_LD | BPF_IMM, 0)}), SyscallFailsWithErrno(EINVAL));
  EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
}

TEST_F(SeccompTest, TotalLength) {
  const auto of_length = [](size_t length) {
    FilterCode code(length, BPF_STMT(BPF_MISC | BPF_TAX, 0));
    code.front() = BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_ALLOW);
    code.back() = BPF_STMT(BPF_RET | BPF_A, 0);
    return code;
  };
  EXPECT_THAT(InChild([&] {
                for (int i = 0; i < 7; ++i) CHILD_CHECK(InstallFilter(of_length(BPF_MAXINSNS)) == 0);
                CHILD_CHECK(FailsWith(InstallFilter(of_length(BPF_MAXINSNS)), ENOMEM));
                // 32768 less 7 times 4096 + 3 and 4 each, less 3.
                CHILD_CHECK(FailsWith(InstallFilter(of_length(4045)), ENOMEM));
                CHILD_CHECK(InstallFilter(of_length(4044)) == 0);
                CHILD_CHECK(FailsWith(InstallFilter(of_length(1)), ENOMEM));
                CHILD_CHECK(StatusOf("self", "Seccomp_filters") == "8");
              }),
              ExitedWith(0));
}

TEST_F(SeccompTest, TheModeIsTold) {
  EXPECT_EQ(StatusOf("self", "Seccomp"), "0");
  EXPECT_EQ(StatusOf("self", "Seccomp_filters"), "0");
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({})) == 0);
                CHILD_CHECK(prctl(PR_GET_SECCOMP) == 2);
                CHILD_CHECK(StatusOf("self", "Seccomp") == "2" && StatusOf("self", "Seccomp_filters") == "1");
                const FilterCode code = Answering({});
                const sock_fprog program = {static_cast<unsigned short>(code.size()),
                                            const_cast<sock_filter*>(code.data())};
                CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
                CHILD_CHECK(StatusOf("self", "Seccomp_filters") == "2");
                CHILD_CHECK(FailsWith(Seccomp(SECCOMP_SET_MODE_STRICT, 0, nullptr), EINVAL));
              }),
              ExitedWith(0));
}

// ---- Actions ----

TEST_F(SeccompTest, Errno) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid})) == 0);
                for (int i = 0; i < kOften; ++i) CHILD_CHECK(Denied(Getppid()));
                CHILD_CHECK(getpgid(0) > 0);
              }),
              ExitedWith(0));
}

TEST_F(SeccompTest, ErrnoOfAnySize) {
  // 512 is what makes a kernel run a call again, from within.
  for (const auto& [data, error] :
       {std::pair{1, 1}, {512, 512}, {4095, 4095}, {4096, 4095}, {0xffff, 4095}}) {
    EXPECT_THAT(InChild([data = data, error = error] {
                  CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_ERRNO | data)) == 0);
                  CHILD_CHECK(FailsWith(syscall(SYS_getppid), error));
                }),
                ExitedWith(0))
        << data;
  }
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_ERRNO)) == 0);
                CHILD_CHECK(syscall(SYS_getppid) == 0);
              }),
              ExitedWith(0));
}

TEST_F(SeccompTest, TheStrictestOfSeveralAndTheNewestOfEqual) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_ERRNO | 10)) == 0);
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_LOG)) == 0);
                CHILD_CHECK(FailsWith(Getppid(), 10));
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_ERRNO | 11)) == 0);
                CHILD_CHECK(FailsWith(Getppid(), 11));
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_KILL_PROCESS)) == 0);
                Getppid();
              }),
              KilledBy(SIGSYS));
}

TEST_F(SeccompTest, LogLetsPass) {
  EXPECT_THAT(
      InChild([] {
        const pid_t parent = Getppid();
        CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_LOG), SECCOMP_FILTER_FLAG_LOG) == 0);
        CHILD_CHECK(Getppid() == parent);
      }),
      ExitedWith(0));
}

TEST_F(SeccompTest, NobodyToAsk) {
  for (const uint32_t action : {SECCOMP_RET_TRACE, SECCOMP_RET_USER_NOTIF}) {
    EXPECT_THAT(InChild([action] {
                  CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, action | 5),
                                            SECCOMP_FILTER_FLAG_SPEC_ALLOW) == 0);
                  CHILD_CHECK(FailsWith(Getppid(), ENOSYS));
                }),
                ExitedWith(0));
  }
}

TEST_F(SeccompTest, Kill) {
  for (const uint32_t action : {uint32_t{SECCOMP_RET_KILL_PROCESS}, uint32_t{SECCOMP_RET_KILL_THREAD},
                                uint32_t{0x00010000}, uint32_t{0xfff00000}}) {
    EXPECT_THAT(InChild([action] {
                  const ScopedSigaction caught(SIGSYS, [](int) { _exit(1); });
                  const ScopedSigmask blocked(SIG_BLOCK, {SIGSYS});
                  CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, action)) == 0);
                  Getppid();
                }),
                KilledBy(SIGSYS))
        << action;
  }
}

TEST_F(SeccompTest, StrictMode) {
  EXPECT_THAT(InChild([] {
                int ends[2];
                CHILD_CHECK(pipe(ends) == 0);
                CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
                char byte = 'a';
                CHILD_CHECK(write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1);
                syscall(SYS_exit, 7);
              }),
              ExitedWith(7));
  for (const long number : {long{SYS_getpid}, long{SYS_exit_group}, long{SYS_prctl}, 1000L}) {
    EXPECT_THAT(InChild([number] {
                  for (int i = 0; i < kOften; ++i) getpid();
                  if (Seccomp(SECCOMP_SET_MODE_STRICT, 0, nullptr) != 0) _exit(1);
                  syscall(number, 0, 0, 0);
                }),
                KilledBy(SIGKILL))
        << number;
  }
}

// ---- What a filter sees ----

FilterCode IfWordIs(uint32_t offset, uint32_t value, long number) {
  return {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 3),
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
          BPF_STMT(BPF_RET | BPF_K, kDeny),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
}

TEST_F(SeccompTest, Arguments) {
  // No such call: what is let pass gives ENOSYS.
  constexpr long kNumber = 499;
  EXPECT_THAT(InChild([] {
                for (uint32_t i = 0; i < 6; ++i) {
                  const uint32_t at = offsetof(seccomp_data, args) + 8 * i;
                  CHILD_CHECK(InstallFilter(IfWordIs(at, 100 + i, kNumber)) == 0);
                  CHILD_CHECK(InstallFilter(IfWordIs(at + 4, 0x200 + i, kNumber)) == 0);
                }
                for (int i = 0; i < 6; ++i) {
                  uint64_t args[6] = {};
                  args[i] = 100u + static_cast<unsigned>(i);
                  const auto call = [&args] {
                    return syscall(kNumber, args[0], args[1], args[2], args[3], args[4], args[5]);
                  };
                  CHILD_CHECK(Denied(call()));
                  args[i] = (0x200ull + static_cast<unsigned>(i)) << 32;
                  CHILD_CHECK(Denied(call()));
                  args[i] = 99;
                  CHILD_CHECK(FailsWith(call(), ENOSYS));
                }
              }),
              ExitedWith(0));
}

TEST_F(SeccompTest, Architecture) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(
                                IfWordIs(offsetof(seccomp_data, arch), AUDIT_ARCH_X86_64, SYS_getppid)) == 0);
                CHILD_CHECK(Denied(Getppid()));
              }),
              ExitedWith(0));
}

// Two shapes of a call of getppid(2). The label is the address behind `syscall`.
extern "C" {
long seccomp_mov_site();
long seccomp_compare_site();
extern const char seccomp_mov_return[], seccomp_compare_return[];
}
asm(R"(
  .text
seccomp_mov_site:
  mov $110, %eax
  syscall
seccomp_mov_return:
  ret
seccomp_compare_site:
  mov $110, %ecx
  mov %ecx, %eax
  syscall
seccomp_compare_return:
  cmp $-4095, %rax
  ret
)");

TEST_F(SeccompTest, InstructionPointer) {
  const struct {
    long (*site)();
    const char* back;
  } kSites[] = {{seccomp_mov_site, seccomp_mov_return}, {seccomp_compare_site, seccomp_compare_return}};
  for (const auto& [site, back] : kSites) {
    EXPECT_THAT(InChild([site = site, back = back] {
                  const pid_t parent = Getppid();
                  for (int i = 0; i < kOften; ++i) CHILD_CHECK(site() == parent);
                  constexpr uint32_t kLow = offsetof(seccomp_data, instruction_pointer);
                  const auto there = reinterpret_cast<uint64_t>(back);
                  CHILD_CHECK(InstallFilter(IfWordIs(kLow, static_cast<uint32_t>(there), SYS_getppid)) == 0);
                  CHILD_CHECK(site() == -kFiltered);
                  for (int i = 0; i < kOften; ++i) CHILD_CHECK(site() == -kFiltered);
                  CHILD_CHECK(Getppid() == parent);
                }),
                ExitedWith(0));
  }
}

TEST_F(SeccompTest, InstructionPointerOfASiteThatIsNew) {
  EXPECT_THAT(
      InChild([] {
        const pid_t parent = Getppid();
        constexpr uint32_t kHigh = offsetof(seccomp_data, instruction_pointer) + 4;
        const auto there = reinterpret_cast<uint64_t>(seccomp_mov_return);
        CHILD_CHECK(InstallFilter(IfWordIs(kHigh, static_cast<uint32_t>(there >> 32), SYS_getppid)) == 0);
        for (int i = 0; i < kOften; ++i) CHILD_CHECK(seccomp_mov_site() == -kFiltered);
        CHILD_CHECK(parent != 0);
      }),
      ExitedWith(0));
}

// ---- Calls that may be answered without the kernel's other half ----

long CallOf(long number, uint64_t* scratch) {
  switch (number) {
    case SYS_rt_sigprocmask:
      return syscall(number, SIG_BLOCK, nullptr, scratch, 8);
    case SYS_set_robust_list:
      return syscall(number, scratch, 24);
    case SYS_set_tid_address:
      return syscall(number, scratch);
    case SYS_arch_prctl:
      return syscall(number, 0x1003, scratch);  // ARCH_GET_FS
    case SYS_madvise:
      return syscall(number, scratch, kPage, MADV_DONTNEED);
    default:
      return syscall(number);
  }
}

TEST_F(SeccompTest, NoCallPassesByTheFilter) {
  constexpr long kNumbers[] = {SYS_getpid,         SYS_gettid,          SYS_getppid,         SYS_getuid,
                               SYS_geteuid,        SYS_getgid,          SYS_getegid,         SYS_sched_yield,
                               SYS_rt_sigprocmask, SYS_set_robust_list, SYS_set_tid_address, SYS_arch_prctl,
                               SYS_madvise};
  const Mapping scratch = MapAnonymous(kPage);
  auto* const words = reinterpret_cast<uint64_t*>(scratch.data());
  for (const long number : kNumbers) {
    EXPECT_THAT(InChild([&] {
                  for (int i = 0; i < 100; ++i) CHILD_CHECK(CallOf(number, words) >= 0);
                  CHILD_CHECK(InstallFilter(Answering({number})) == 0);
                  for (int i = 0; i < 100; ++i) {
                    for (const long other : kNumbers) {
                      const long result = CallOf(other, words);
                      CHILD_CHECK(other == number ? Denied(result) : result >= 0);
                    }
                  }
                }),
                ExitedWith(0))
        << number;
  }
}

TEST_F(SeccompTest, RseqIsNotAnsweredPastTheFilter) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_rseq})) == 0);
                CHILD_CHECK(Denied(syscall(SYS_rseq, nullptr, 0, 0, 0)));
              }),
              ExitedWith(0));
}

// ---- SECCOMP_RET_TRAP ----

siginfo_t trapped;
long long trapped_rax, trapped_rip;

void Emulate(int, siginfo_t* info, void* context) {
  auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  trapped = *info;
  trapped_rax = regs[REG_RAX];
  trapped_rip = regs[REG_RIP];
  regs[REG_RAX] = 12345;
}

TEST_F(SeccompTest, AHandlerEmulatesTheCall) {
  EXPECT_THAT(InChild([] {
                const ScopedSigaction handler(SIGSYS, Emulate);
                for (int i = 0; i < kOften; ++i) seccomp_mov_site();
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_TRAP | 0xabcd)) == 0);
                for (int i = 0; i < 100; ++i) CHILD_CHECK(seccomp_mov_site() == 12345);
                CHILD_CHECK(trapped.si_signo == SIGSYS && trapped.si_code == 1 && trapped.si_errno == 0xabcd);
                CHILD_CHECK(trapped.si_syscall == SYS_getppid && trapped.si_arch == AUDIT_ARCH_X86_64);
                CHILD_CHECK(trapped.si_call_addr == seccomp_mov_return);
                CHILD_CHECK(trapped_rax == SYS_getppid);
                CHILD_CHECK(trapped_rip == reinterpret_cast<long long>(seccomp_mov_return));
              }),
              ExitedWith(0));
}

TEST_F(SeccompTest, ATrapWithoutAHandlerKills) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_TRAP)) == 0);
                Getppid();
              }),
              KilledBy(SIGSYS));
  EXPECT_THAT(InChild([] {
                const ScopedSigaction handler(SIGSYS, Emulate);
                const ScopedSigmask blocked(SIG_BLOCK, {SIGSYS});
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_TRAP)) == 0);
                Getppid();
              }),
              KilledBy(SIGSYS));
  EXPECT_THAT(InChild([] {
                const ScopedSigaction ignored(SIGSYS, SIG_IGN);
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_TRAP)) == 0);
                Getppid();
              }),
              KilledBy(SIGSYS));
}

}  // namespace
}  // namespace cloister::tests
