#include "platform/inproc/inproc.h"

#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"

namespace cloister::inproc {
namespace {

using platform::AfterOps;
using platform::CloneKind;
using platform::HostOp;

constexpr uint64_t kPlace = 0x100000;
constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

struct Handler final : platform::TrapHandler {
  void OnTrap(platform::GuestThread& thread, const platform::Trap& trap) override {
    traps.push_back(trap);
    if (on_trap) {
      on_trap(thread, trap);
    } else {
      thread.Resume();
    }
  }
  void OnBorn(platform::GuestThread&) override { ++born; }
  void OnGone(platform::GuestThread&, int host_status) override { gone.push_back(host_status); }

  std::function<void(platform::GuestThread&, const platform::Trap&)> on_trap;
  std::vector<platform::Trap> traps;
  std::vector<int> gone;
  int born = 0;
};

class InprocTest : public ::testing::Test {
 protected:
  Ref<Thread> NewThread() {
    Ref<platform::GuestThread> made = *platform_.NewProcess(&handler_);
    made->Resume();
    return Ref<Thread>(static_cast<Thread*>(made.get()));
  }
  static void Write(Space& space, uint64_t addr, std::string_view text) {
    ASSERT_EQ(space.Write(addr, std::as_bytes(std::span(text))), text.size());
  }
  static std::string Read(Space& space, uint64_t addr, size_t size) {
    std::string text(size, '\0');
    text.resize(space.Read(addr, std::as_writable_bytes(std::span(text))));
    return text;
  }

  Inproc platform_;
  Handler handler_;
};

TEST_F(InprocTest, SyscallIsAnsweredOrParked) {
  Ref<Thread> thread = NewThread();
  handler_.on_trap = [](platform::GuestThread& guest, const platform::Trap&) {
    guest.regs().rax = guest.regs().rdi + 1;
    if (guest.regs().orig_rax == SYS_getpid) guest.Resume();
  };
  EXPECT_EQ(thread->Syscall(SYS_getpid, {41}), 42);
  EXPECT_EQ(thread->Syscall(SYS_pause), std::nullopt);
  EXPECT_EQ(thread->state(), Thread::State::kStopped);
  thread->Exit();
  platform_.Pump();
  EXPECT_EQ(handler_.gone, std::vector<int>{0});
}

TEST_F(InprocTest, OperationsStopAtTheFirstFailure) {
  Ref<Thread> thread = NewThread();
  const HostOp ops[] = {HostOp::Mmap(kPlace, 2 * kPageSize, PROT_READ | PROT_WRITE, kAnonymous, -1, 0),
                        HostOp::Mprotect(kPlace + 8 * kPageSize, kPageSize, PROT_READ),
                        HostOp::Munmap(kPlace, kPageSize)};
  handler_.on_trap = [&](platform::GuestThread& guest, const platform::Trap& trap) {
    if (trap.kind == platform::Trap::Kind::kSyscall) {
      guest.RunOps(ops, AfterOps::kResume);
    } else {
      guest.Resume();
    }
  };
  thread->Syscall(SYS_mmap);
  ASSERT_EQ(handler_.traps.size(), 2u);
  EXPECT_EQ(handler_.traps[1].result, -ENOMEM);
  EXPECT_EQ(handler_.traps[1].ops_run, 2u);
  EXPECT_EQ(thread->space().ProtectionAt(kPlace), PROT_READ | PROT_WRITE);
}

TEST_F(InprocTest, ProtectionIsRespected) {
  Ref<Space> space = MakeRef<Space>();
  EXPECT_EQ(space->Run(HostOp::Mmap(kPlace, 2 * kPageSize, PROT_READ | PROT_WRITE, kAnonymous, -1, 0)),
            static_cast<int64_t>(kPlace));
  Write(*space, kPlace + kPageSize - 2, "abcd");
  EXPECT_EQ(space->Run(HostOp::Mprotect(kPlace + kPageSize, kPageSize, PROT_NONE)), 0);
  EXPECT_EQ(Read(*space, kPlace + kPageSize - 2, 4), "ab");
  EXPECT_EQ(Read(*space, kPlace + kPageSize, 4), "");
  EXPECT_EQ(Read(*space, ~uint64_t{0} - 1, 4), "");
  EXPECT_EQ(space->Run(HostOp::Mmap(kTaskSize, kPageSize, PROT_READ, kAnonymous, -1, 0)), -EINVAL);
  EXPECT_EQ(space->Run(HostOp::CompareExchange(kPlace + 4, 0, 9)), 0);
  EXPECT_EQ(space->Run(HostOp::CompareExchange(kPlace + 4, 0, 7)), 9);
  EXPECT_EQ(space->Run(HostOp::CompareExchange(kPlace + kPageSize, 0, 7)), -EFAULT);
}

TEST_F(InprocTest, RemapMovesGrowsAndShrinks) {
  Ref<Space> space = MakeRef<Space>();
  space->Run(HostOp::Mmap(kPlace, kPageSize, PROT_READ | PROT_WRITE, kAnonymous, -1, 0));
  Write(*space, kPlace, "moved");
  EXPECT_EQ(space->Run(HostOp::Mremap(kPlace, kPageSize, 2 * kPageSize, 0, 0)), static_cast<int64_t>(kPlace));
  EXPECT_EQ(space->ProtectionAt(kPlace + kPageSize), PROT_READ | PROT_WRITE);
  const uint64_t there = 2 * kPlace;
  EXPECT_EQ(
      space->Run(HostOp::Mremap(kPlace, 2 * kPageSize, 2 * kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, there)),
      static_cast<int64_t>(there));
  EXPECT_EQ(Read(*space, there, 5), "moved");
  EXPECT_EQ(space->ProtectionAt(kPlace), -1);
  space->Run(HostOp::Mremap(there, 2 * kPageSize, kPageSize, 0, 0));
  EXPECT_EQ(space->ProtectionAt(there + kPageSize), -1);
}

TEST_F(InprocTest, ForkCopiesPrivateAndSharesSharedPages) {
  Ref<Thread> parent = NewThread();
  Space& space = parent->space();
  space.Run(HostOp::Mmap(kPlace, kPageSize, PROT_READ | PROT_WRITE, kAnonymous, -1, 0));
  space.Run(HostOp::Mmap(2 * kPlace, kPageSize, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
  Write(space, kPlace, "before");
  Handler child_handler;
  Ref<platform::GuestThread> child;
  handler_.on_trap = [&](platform::GuestThread& guest, const platform::Trap&) {
    platform::CloneRequest request;
    request.kind = CloneKind::kFork;
    request.child_handler = &child_handler;
    request.child_regs = guest.regs();
    request.child_regs.rax = 0;
    guest.regs().rax = 77;
    child = *guest.Clone(request);
  };
  EXPECT_EQ(parent->Syscall(SYS_fork), 77);
  EXPECT_EQ(child_handler.born, 1);
  Space& copy = static_cast<Thread&>(*child).space();
  Write(space, kPlace, "after!");
  Write(space, 2 * kPlace, "shared");
  EXPECT_EQ(Read(copy, kPlace, 6), "before");
  EXPECT_EQ(Read(copy, 2 * kPlace, 6), "shared");
  child->KillProcess();
  platform_.Pump();
  EXPECT_EQ(child_handler.gone, std::vector<int>{SIGKILL});
  EXPECT_TRUE(handler_.gone.empty());
}

TEST_F(InprocTest, InterruptStopsARunningThreadAndIsRememberedByAStoppedOne) {
  Ref<Thread> thread = NewThread();
  thread->Interrupt();
  platform_.Pump();
  ASSERT_EQ(handler_.traps.size(), 1u);
  EXPECT_EQ(handler_.traps[0].kind, platform::Trap::Kind::kInterrupt);
  bool first = true;
  handler_.on_trap = [&](platform::GuestThread& guest, const platform::Trap&) {
    if (std::exchange(first, false)) guest.Interrupt();
    guest.Resume();
  };
  thread->Syscall(SYS_getpid);
  EXPECT_EQ(handler_.traps.back().kind, platform::Trap::Kind::kInterrupt);
  EXPECT_EQ(thread->state(), Thread::State::kRunning);
}

TEST_F(InprocTest, WorkerDeliversWhereStarted) {
  Ref<Thread> thread = NewThread();
  ASSERT_TRUE(platform_.Start().ok());
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(thread->Syscall(SYS_getpid).has_value());
  EXPECT_EQ(thread->resumes(), 201u);
}

}  // namespace
}  // namespace cloister::inproc
