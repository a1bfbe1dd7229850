#include <asm/prctl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "gtest/gtest.h"
#include "platform/conformance/test_guest.h"
#include "platform/ptrace/ptrace.h"
#include "platform/systrap/systrap.h"

namespace cloister::guest {
namespace {

// A platform, by name.
struct Maker {
  const char* name;
  absl::StatusOr<std::unique_ptr<platform::Platform>> (*make)();
};
absl::StatusOr<std::unique_ptr<platform::Platform>> MakeSystrap() { return systrap::NewSystrap({}); }
absl::StatusOr<std::unique_ptr<platform::Platform>> MakePtrace() { return ptrace::NewPtrace({}); }

class PlatformTest : public testing::TestWithParam<Maker>, protected PlatformFixture {
 protected:
  void SetUp() override { Begin(GetParam().make()); }
  void TearDown() override { End(); }

  void Go(GuestThread& thread, const char* label) {
    thread.regs().rip = Label(label);
    thread.Resume();
  }
  // The next trap, which must be the call `nr`.
  Ref<GuestThread> AwaitCall(uint64_t nr) {
    auto seen = recorder_.Next();
    if (!seen) {
      ADD_FAILURE() << "no trap";
      return guest_;
    }
    EXPECT_EQ(static_cast<int>(seen->trap.kind), static_cast<int>(Trap::Kind::kSyscall));
    EXPECT_EQ(seen->thread->regs().orig_rax, nr);
    return seen->thread;
  }
  uint64_t Peek(GuestThread& thread, uint64_t addr) {
    uint64_t value = 0;
    EXPECT_EQ(thread.address_space().Read(addr, std::as_writable_bytes(std::span(&value, 1))), sizeof value);
    return value;
  }
  void Poke(GuestThread& thread, uint64_t addr, uint64_t value) {
    EXPECT_EQ(thread.address_space().Write(addr, std::as_bytes(std::span(&value, 1))), sizeof value);
  }
  int64_t Op(const HostOp& op) { return RunOp(recorder_, *guest_, op); }
};

// What is systrap's own.
class SystrapOnlyTest : public PlatformTest {};
INSTANTIATE_TEST_SUITE_P(Own, SystrapOnlyTest, testing::Values(Maker{"systrap", MakeSystrap}),
                         [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(All, PlatformTest,
                         testing::Values(Maker{"systrap", MakeSystrap}, Maker{"ptrace", MakePtrace}),
                         [](const auto& info) { return info.param.name; });

TEST_P(PlatformTest, SyscallTrapsWithItsRegistersAndTakesTheAnswer) {
  auto& regs = guest_->regs();
  regs.rdi = 1, regs.rsi = 2, regs.rdx = 3, regs.r10 = 4, regs.r8 = 5, regs.r9 = ~0ull;
  Go(*guest_, guest_call);
  AwaitCall(1234);
  EXPECT_EQ(regs.rdi, 1u);
  EXPECT_EQ(regs.rsi, 2u);
  EXPECT_EQ(regs.rdx, 3u);
  EXPECT_EQ(regs.r10, 4u);
  EXPECT_EQ(regs.r8, 5u);
  EXPECT_EQ(regs.r9, ~0ull);
  EXPECT_EQ(regs.rip, Label(guest_call) + 7);
  regs.rax = 77;
  guest_->Resume();
  AwaitCall(99);
  EXPECT_EQ(regs.rbx, 77u);
}

TEST_P(PlatformTest, FaultIsReportedWithItsAddress) {
  Go(*guest_, guest_fault);
  const Trap trap = AwaitTrap(Trap::Kind::kFault);
  EXPECT_EQ(trap.fault.signo, SIGSEGV);
  EXPECT_EQ(trap.fault.code, SEGV_MAPERR);
  EXPECT_EQ(trap.fault.addr, 0xdead0000u);
  EXPECT_EQ(trap.fault.trapno, 14u);
  EXPECT_EQ(guest_->regs().orig_rax, ~0ull);
  EXPECT_EQ(guest_->regs().rip, Label(guest_fault) + 5);
}

TEST_P(PlatformTest, OtherFaults) {
  Go(*guest_, guest_ud2);
  EXPECT_EQ(AwaitTrap(Trap::Kind::kFault).fault.signo, SIGILL);
  Go(*guest_, guest_int80);
  const Trap trap = AwaitTrap(Trap::Kind::kFault);
  EXPECT_EQ(trap.fault.signo, SIGSEGV);
  EXPECT_EQ(trap.fault.trapno, 13u);
  EXPECT_EQ(guest_->regs().rip, Label(guest_int80) + 5) << "at the instruction";
}

TEST_P(PlatformTest, InterruptStopsASpinningGuest) {
  for (int i = 0; i < 100; ++i) {
    Go(*guest_, guest_spin);
    guest_->Interrupt();
    AwaitTrap(Trap::Kind::kInterrupt);
  }
}

TEST_P(PlatformTest, InterruptOfAStoppedGuestIsRemembered) {
  guest_->Interrupt();
  Go(*guest_, guest_spin);
  AwaitTrap(Trap::Kind::kInterrupt);
}

TEST_P(PlatformTest, AnonymousMemory) {
  constexpr uint64_t kAt = 0x40000000;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  EXPECT_EQ(Op(HostOp::Mmap(kAt, 0x3000, PROT_READ | PROT_WRITE, flags, -1, 0)), int64_t{kAt});
  Poke(*guest_, kAt + 0x1000, 5);
  EXPECT_EQ(Op(HostOp::Mprotect(kAt, 0x1000, PROT_READ)), 0);
  EXPECT_EQ(Op(HostOp::Madvise(kAt + 0x1000, 0x1000, MADV_DONTNEED)), 0);
  EXPECT_EQ(Peek(*guest_, kAt + 0x1000), 0u);
  EXPECT_EQ(Op(HostOp::Mremap(kAt, 0x3000, 0x5000, MREMAP_MAYMOVE | MREMAP_FIXED, kAt + 0x100000)), -EFAULT)
      << "two areas";
  EXPECT_EQ(Op(HostOp::Mremap(kAt + 0x1000, 0x2000, 0x5000, MREMAP_MAYMOVE | MREMAP_FIXED, kAt + 0x100000)),
            int64_t{kAt + 0x100000});
  EXPECT_EQ(Op(HostOp::Munmap(kAt + 0x100000, 0x5000)), 0);
  EXPECT_EQ(Op(HostOp::Munmap(1, 1)), -EINVAL);
}

TEST_P(PlatformTest, CopiesStopAtThePageThatCannotBeAccessed) {
  constexpr uint64_t kAt = 0x40000000;
  Op(HostOp::Mmap(kAt, 0x2000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
  Op(HostOp::Mprotect(kAt + 0x1000, 0x1000, PROT_READ));
  std::vector<std::byte> buffer(0x3000);
  EXPECT_EQ(guest_->address_space().Read(kAt + 0x800, buffer), 0x1800u);
  EXPECT_EQ(guest_->address_space().Write(kAt + 0x800, buffer), 0x800u);
  EXPECT_EQ(guest_->address_space().Read(kAt + 0x2000, buffer), 0u);
}

TEST_P(PlatformTest, FileMappingsAreSharedWithTheSentry) {
  constexpr uint64_t kAt = 0x40000000;
  int files[2];
  for (int i = 0; i < 2; ++i) {
    files[i] = memfd_create("test", 0);
    ASSERT_EQ(ftruncate(files[i], 0x2000), 0);
    const uint64_t value = 100 + static_cast<uint64_t>(i);
    ASSERT_EQ(pwrite(files[i], &value, sizeof value, 0x1000), 8);
  }
  const int prot = PROT_READ | PROT_WRITE;
  const HostOp ops[] = {
      HostOp::Mmap(kAt, 0x1000, prot, MAP_SHARED | MAP_FIXED, files[0], 0x1000),
      HostOp::Mmap(kAt + 0x1000, 0x1000, PROT_READ, MAP_PRIVATE | MAP_FIXED, files[1], 0x1000),
      HostOp::Mmap(kAt + 0x2000, 0x1000, PROT_READ, MAP_PRIVATE | MAP_FIXED, files[1], 0),
      HostOp::Mmap(kAt + 0x3000, 0x1000, PROT_READ, MAP_PRIVATE | MAP_FIXED, files[0], 0x1000),
  };
  const Trap trap = RunOps(recorder_, *guest_, ops);
  EXPECT_EQ(trap.result, int64_t{kAt + 0x3000});
  EXPECT_EQ(trap.ops_run, 4u);
  EXPECT_EQ(Peek(*guest_, kAt), 100u);
  EXPECT_EQ(Peek(*guest_, kAt + 0x1000), 101u);
  EXPECT_EQ(Peek(*guest_, kAt + 0x2000), 0u);
  Poke(*guest_, kAt, 55);
  uint64_t value = 0;
  EXPECT_EQ(pread(files[0], &value, 8, 0x1000), 8);
  EXPECT_EQ(value, 55u);
  for (int file : files) close(file);
}

TEST_P(PlatformTest, OperationsStopAtTheFirstFailure) {
  const HostOp ops[] = {HostOp::Munmap(0x40000000, 0x1000), HostOp::Munmap(1, 1),
                        HostOp::Munmap(kCode, kRegion)};
  const Trap trap = RunOps(recorder_, *guest_, ops);
  EXPECT_EQ(trap.result, -EINVAL);
  EXPECT_EQ(trap.ops_run, 2u);
  EXPECT_EQ(Op(HostOp::Mmap(0x40000000, 0x1000, PROT_READ, MAP_PRIVATE | MAP_FIXED, 1000000, 0)), -EBADF);
}

TEST_P(PlatformTest, OperationsMayResumeTheGuest) {
  Go(*guest_, guest_call);
  AwaitCall(1234);
  guest_->regs().rax = 5;
  const HostOp op = HostOp::Munmap(0x40000000, 0x1000);
  guest_->RunOps({&op, 1}, AfterOps::kResume);
  AwaitCall(99);
  EXPECT_EQ(guest_->regs().rbx, 5u);
  const HostOp bad = HostOp::Munmap(1, 1);
  guest_->RunOps({&bad, 1}, AfterOps::kResume);
  EXPECT_EQ(AwaitTrap(Trap::Kind::kOpsDone).result, -EINVAL);
}

TEST_P(PlatformTest, CompareExchange) {
  Poke(*guest_, kData, 7);
  EXPECT_EQ(Op(HostOp::CompareExchange(kData, 8, 9)), 7);
  EXPECT_EQ(Op(HostOp::CompareExchange(kData, 7, 0xffffffff)), 7);
  EXPECT_EQ(Op(HostOp::CompareExchange(kData, 0, 0)), 0xffffffff);
  EXPECT_EQ(Op(HostOp::CompareExchange(0x50000000, 0, 0)), -EFAULT);
}

TEST_P(PlatformTest, ForkCopiesOnWrite) {
  Poke(*guest_, kData, 1);
  Go(*guest_, guest_call);
  AwaitCall(1234);
  CloneRequest request;
  request.kind = CloneKind::kFork;
  request.child_handler = &recorder_;
  request.after = AfterOps::kReport;
  request.child_regs = guest_->regs();
  request.child_regs.rip = Label(guest_store);
  request.child_regs.rbx = 2;
  auto child = guest_->Clone(request);
  ASSERT_TRUE(child.ok());
  bool parent_done = false, child_called = false;
  for (int i = 0; i < 2; ++i) {
    const auto seen = recorder_.Next();
    ASSERT_TRUE(seen);
    if (seen->thread == guest_) {
      EXPECT_EQ(seen->trap.kind, Trap::Kind::kOpsDone);
      EXPECT_EQ(seen->trap.result, 0);
      parent_done = true;
    } else {
      EXPECT_EQ(seen->thread.get(), child->get());
      EXPECT_EQ(seen->thread->regs().orig_rax, 41u);
      EXPECT_EQ(seen->thread->regs().r12, 2u);
      child_called = true;
    }
  }
  EXPECT_TRUE(parent_done && child_called);
  EXPECT_NE((*child)->host_pid(), guest_->host_pid());
  EXPECT_EQ(Peek(*guest_, kData), 1u);
  EXPECT_EQ(Peek(**child, kData), 2u);
  EXPECT_GT((*child)->address_space().CpuTimeNs(), 0u);
  (*child)->Exit();
  EXPECT_TRUE(recorder_.AwaitGone(1));
}

TEST_P(PlatformTest, SharedProcessSeesTheSameMemory) {
  Go(*guest_, guest_call);
  AwaitCall(1234);
  CloneRequest request;
  request.kind = CloneKind::kSharedProcess;
  request.child_handler = &recorder_;
  request.child_regs = guest_->regs();
  request.child_regs.rip = Label(guest_store);
  request.child_regs.rbx = 3;
  request.child_regs.rsp = kStack + 0x1000;
  guest_->regs().rip = Label(guest_wait_flag);
  auto child = guest_->Clone(request);
  ASSERT_TRUE(child.ok());
  for (int i = 0; i < 2; ++i) {
    const auto seen = recorder_.Next();
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->thread->regs().orig_rax, seen->thread == guest_ ? 44u : 41u);
  }
  EXPECT_EQ(Peek(*guest_, kData), 3u);
  EXPECT_NE((*child)->host_pid(), guest_->host_pid());
  (*child)->KillProcess();
  EXPECT_TRUE(recorder_.AwaitGone(1));
  EXPECT_EQ(WTERMSIG(recorder_.status()), SIGKILL);
  EXPECT_EQ(Peek(*guest_, kData), 3u) << "the memory lives on";
}

TEST_P(PlatformTest, ThreadHasItsOwnTls) {
  Poke(*guest_, kData + 0x100, 0x111);
  Poke(*guest_, kData + 0x200, 0x222);
  EXPECT_EQ(Op(HostOp::ArchPrctl(ARCH_SET_FS, kData + 0x100)), 0);
  CloneRequest request;
  request.kind = CloneKind::kThread;
  request.child_handler = &recorder_;
  request.after = AfterOps::kReport;
  request.child_regs.rip = Label(guest_tls);
  request.child_regs.rsp = kStack + 0x1000;
  for (int i = 0; i < 50; ++i) {
    request.set_tls = i % 2 == 0;
    request.tls = kData + 0x200;
    auto child = guest_->Clone(request);
    ASSERT_TRUE(child.ok());
    for (int k = 0; k < 2; ++k) {
      const auto seen = recorder_.Next();
      ASSERT_TRUE(seen);
      if (seen->thread == guest_) continue;
      EXPECT_EQ(seen->thread->regs().r12, request.set_tls ? 0x222u : 0x111u);
      EXPECT_EQ(seen->thread->host_pid(), guest_->host_pid());
      EXPECT_NE(seen->thread->host_tid(), guest_->host_tid());
    }
    (*child)->Exit();
    ASSERT_TRUE(recorder_.AwaitGone(static_cast<size_t>(i) + 1));
  }
}

TEST_P(SystrapOnlyTest, AHostThreadThatHasEndedBecomesTheNextOne) {
  CloneRequest request;
  request.child_handler = &recorder_;
  request.after = AfterOps::kReport;
  request.set_tls = true;
  request.tls = kData + 0x200;
  request.child_regs.rsp = kStack + 0x1000;
  pid_t first_tid = 0;
  for (uint64_t i = 1; i <= 20; ++i) {
    request.child_regs.rip = Label(guest_loop);
    request.child_regs.r15 = i;
    const auto child = guest_->Clone(request);
    ASSERT_TRUE(child.ok());
    uint64_t calls = 0;
    for (bool ended = false; !ended;) {
      const auto seen = recorder_.Next();
      ASSERT_TRUE(seen);
      if (seen->thread == guest_) continue;
      ASSERT_EQ(seen->thread, *child);
      ended = seen->thread->regs().orig_rax == 60;
      if (ended) continue;
      ++calls;
      seen->thread->Resume();
    }
    EXPECT_EQ(calls, i);
    if (first_tid == 0) first_tid = (*child)->host_tid();
    EXPECT_EQ((*child)->host_tid(), first_tid);
    (*child)->Exit();
    ASSERT_TRUE(recorder_.AwaitGone(i));
  }
}

TEST_P(PlatformTest, AProcessMayStartAfresh) {
  Poke(*guest_, kData, 7);
  const Ref<platform::AddressSpace> before(&guest_->address_space());
  ASSERT_TRUE(guest_->MayStartAfresh());
  guest_->LeaveMemory();
  uint64_t word = 0;
  const auto bytes = std::as_writable_bytes(std::span(&word, 1));
  EXPECT_EQ(before->Read(kData, bytes), 0u);
  EXPECT_EQ(before->Write(kData, bytes), 0u);
  EXPECT_EQ(before->CpuTimeNs(), 0u);
  EXPECT_EQ(Op(HostOp::StartAfresh()), 0);
  EXPECT_EQ(Peek(*guest_, kData), 7u) << "unmapping is the caller's";

  CloneRequest request;
  request.kind = CloneKind::kSharedProcess;
  request.child_handler = &recorder_;
  request.after = AfterOps::kReport;
  request.child_regs.rip = Label(guest_call);
  request.child_regs.rsp = kStack + 0x1000;
  const auto child = guest_->Clone(request);
  ASSERT_TRUE(child.ok());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(recorder_.Next());
  EXPECT_FALSE(guest_->MayStartAfresh()) << "its memory is shared";
  EXPECT_FALSE((*child)->MayStartAfresh());
  (*child)->KillProcess();
  EXPECT_TRUE(recorder_.AwaitGone(1));
  EXPECT_TRUE(guest_->MayStartAfresh());
}

TEST_P(PlatformTest, FpStateSurvivesTrapsAndCanBeStoredAndLoaded) {
  auto& regs = guest_->regs();
  regs.rbx = 0x1111, regs.r12 = 0x2222;
  Go(*guest_, guest_fp);
  AwaitCall(39);
  EXPECT_EQ(Op(HostOp::StoreFpState(kData)) > 512, true);
  constexpr uint64_t kXmm = 160;  // struct _fpstate: _xmm
  EXPECT_EQ(Peek(*guest_, kData + kXmm + 5 * 16), 0x1111u);
  EXPECT_EQ(Peek(*guest_, kData + kXmm + 13 * 16), 0x2222u);
  Poke(*guest_, kData + kXmm + 5 * 16, 0x3333);
  EXPECT_EQ(Op(HostOp::LoadFpState(kData)), 0);
  guest_->Resume();
  AwaitCall(40);
  EXPECT_EQ(regs.r13, 0x3333u);
  EXPECT_EQ(regs.r14, 0x2222u);
  EXPECT_EQ(Op(HostOp::StoreFpState(0x50000000)), -EFAULT);
  EXPECT_EQ(Op(HostOp::LoadFpState(0x50000000)), -EFAULT);
  EXPECT_GE(platform_->fp_state_size(), 512u);
  EXPECT_EQ(platform_->fp_state_size() % 64, 0u);
}

TEST_P(PlatformTest, BadFpStateFaultsOrIsLegacy) {
  Go(*guest_, guest_fp);
  AwaitCall(39);
  EXPECT_GT(Op(HostOp::StoreFpState(kData)), 512);
  Poke(*guest_, kData + 464, 0);  // no magic: the first 512 bytes only
  EXPECT_EQ(Op(HostOp::LoadFpState(kData)), 0);
  guest_->Resume();
  AwaitCall(40);
  EXPECT_GT(Op(HostOp::StoreFpState(kData)), 512);
  Poke(*guest_, kData + 520, ~0ull);  // xcomp_bv: the processor refuses it
  EXPECT_EQ(Op(HostOp::LoadFpState(kData)), 0);
  guest_->Resume();
  EXPECT_EQ(AwaitTrap(Trap::Kind::kFault).fault.signo, SIGSEGV);
}

TEST_P(PlatformTest, DeathFromOutsideIsReported) {
  Go(*guest_, guest_spin);
  kill(guest_->host_pid(), SIGKILL);
  EXPECT_TRUE(recorder_.AwaitGone(1));
  EXPECT_EQ(WTERMSIG(recorder_.status()), SIGKILL);
  std::byte byte;
  EXPECT_EQ(guest_->address_space().Read(kData, {&byte, 1}), 0u);
  guest_->Interrupt();
  guest_->KillProcess();
  guest_->Resume();
}

TEST_P(PlatformTest, DeathWhileStoppedIsReported) {
  Go(*guest_, guest_call);
  AwaitCall(1234);
  guest_->KillProcess();
  EXPECT_TRUE(recorder_.AwaitGone(1));
  guest_->Resume();
}

TEST_P(PlatformTest, VsyscallTraps) {
  Go(*guest_, guest_vsyscall);
  const auto seen = recorder_.Next();
  ASSERT_TRUE(seen);
  if (seen->trap.kind == Trap::Kind::kFault) return;  // the host has none
  EXPECT_EQ(guest_->regs().orig_rax, static_cast<uint64_t>(SYS_gettimeofday));
  guest_->regs().rax = 123;
  guest_->Resume();
  AwaitCall(45);
  EXPECT_EQ(guest_->regs().rbx, 123u);
}

TEST_P(PlatformTest, TwoThreadsTrapAtOnce) {
  // Answers at once, on the worker.
  class Counter final : public platform::TrapHandler {
   public:
    void OnTrap(GuestThread& thread, const Trap&) override {
      auto& regs = thread.regs();
      regs.rax = regs.orig_rax;
      if (regs.orig_rax == 60) {
        thread.Exit();
      } else {
        calls.fetch_add(1);
        thread.Resume();
      }
    }
    void OnGone(GuestThread&, int) override {
      absl::MutexLock lock(&mu);
      ++gone;
    }
    std::atomic<int> calls{0};
    absl::Mutex mu;
    int gone ABSL_GUARDED_BY(mu) = 0;
  };
  constexpr int kCalls = 100000;
  Counter counter;
  CloneRequest request;
  request.child_handler = &counter;
  request.after = AfterOps::kReport;
  request.child_regs.rip = Label(guest_loop);
  request.child_regs.r15 = kCalls;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(guest_->Clone(request).ok());
    AwaitTrap(Trap::Kind::kOpsDone);
  }
  absl::MutexLock lock(&counter.mu);
  auto both = [&counter]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(counter.mu) { return counter.gone == 2; };
  EXPECT_TRUE(counter.mu.AwaitWithTimeout(absl::Condition(&both), absl::Seconds(60)));
  EXPECT_EQ(counter.calls.load(), 2 * kCalls);
}

}  // namespace
}  // namespace cloister::guest
