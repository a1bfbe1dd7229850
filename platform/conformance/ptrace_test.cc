// What is the ptrace platform's own: its gate, its one tracer, and deaths in the middle of what it does.

#include "platform/ptrace/ptrace.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "platform/conformance/test_guest.h"
#include "platform/stub/tracee_layout.h"

namespace cloister::guest {
namespace {

constexpr uint64_t kAt = 0x40000000;
constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

class PtraceTest : public testing::Test, protected PlatformFixture {
 protected:
  void SetUp() override { Make({}); }
  void TearDown() override { End(); }
  void Make(const ptrace::PtraceOptions& options) {
    guest_.reset();
    platform_.reset();
    Begin(ptrace::NewPtrace(options));
  }
  Ref<GuestThread> CloneTo(CloneKind kind, const char* label) {
    CloneRequest request;
    request.kind = kind;
    request.child_handler = &recorder_;
    request.after = AfterOps::kReport;
    request.child_regs.rip = Label(label);
    request.child_regs.rsp = kStack + 0x1000;
    auto child = guest_->Clone(request);
    EXPECT_TRUE(child.ok());
    return child.ok() ? *child : nullptr;
  }
};

TEST_F(PtraceTest, AGuestThatJumpsIntoTheGateIsStillAGuest) {
  auto& regs = guest_->regs();
  regs.rip = stub::kTraceeGate;
  regs.rax = 57;  // fork(2)
  guest_->Resume();
  AwaitTrap(Trap::Kind::kSyscall);
  EXPECT_EQ(regs.orig_rax, 57u);
  EXPECT_EQ(regs.rip, stub::kTraceeGate + 2);
  guest_->Resume();
  EXPECT_EQ(AwaitTrap(Trap::Kind::kFault).fault.signo, SIGTRAP);
  EXPECT_EQ(regs.rip, stub::kTraceeGate + 3);

  regs.rip = stub::kTraceeMapFile;
  guest_->Resume();
  AwaitTrap(Trap::Kind::kSyscall);
  EXPECT_EQ(regs.orig_rax, 3u);
}

TEST_F(PtraceTest, WhatAFaultsErrorCodeSays) {
  constexpr uint64_t kPresent = 1, kWrite = 2, kUser = 4;
  const HostOp unwritable = HostOp::Mprotect(kData, 0x1000, PROT_READ);
  EXPECT_EQ(RunOp(recorder_, *guest_, unwritable), 0);
  guest_->regs().rip = Label(guest_store);
  guest_->Resume();
  Trap trap = AwaitTrap(Trap::Kind::kFault);
  EXPECT_EQ(trap.fault.addr, kData);
  EXPECT_EQ(trap.fault.err, kPresent | kWrite | kUser);
  guest_->regs().rip = Label(guest_fault);
  guest_->Resume();
  trap = AwaitTrap(Trap::Kind::kFault);
  EXPECT_EQ(trap.fault.err, kUser);
}

TEST_F(PtraceTest, TheFirstThreadMayEndBeforeTheOthers) {
  const Ref<GuestThread> other = CloneTo(CloneKind::kThread, guest_spin);
  AwaitTrap(Trap::Kind::kOpsDone);
  guest_->Exit();
  ASSERT_TRUE(recorder_.AwaitGone(1));
  uint64_t word = 0;
  EXPECT_EQ(other->address_space().Read(kData, std::as_writable_bytes(std::span(&word, 1))), sizeof word);
  other->Interrupt();
  AwaitTrap(Trap::Kind::kInterrupt);
  other->Exit();
  EXPECT_TRUE(recorder_.AwaitGone(2));
}

// Kills at every point of mappings, of files too, and of clones; each thread's end is told once.
TEST_F(PtraceTest, DeathInTheMiddleOfOperations) {
  const int file = memfd_create("test", 0);
  ASSERT_EQ(ftruncate(file, 0x100000), 0);
  size_t gone = 0;
  for (int i = 0; i < 200; ++i) {
    const HostOp ops[] = {
        HostOp::Mmap(kAt, 0x100000, PROT_READ | PROT_WRITE, kAnonymous | MAP_POPULATE, -1, 0),
        HostOp::Mmap(kAt, 0x100000, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0),
        HostOp::Munmap(kAt, 0x100000)};
    const bool clones = i % 4 == 3;
    Ref<GuestThread> child;
    if (clones) {
      child = CloneTo(i % 8 == 3 ? CloneKind::kThread : CloneKind::kSharedProcess, guest_spin);
    } else {
      guest_->RunOps(ops, AfterOps::kReport);
    }
    std::atomic<int> turns{0};
    while (turns.fetch_add(1) < i * 37) continue;
    guest_->KillProcess();
    if (child) child->KillProcess();
    gone += child ? 2 : 1;
    ASSERT_TRUE(recorder_.AwaitGone(gone)) << i;
    while (recorder_.Next(absl::ZeroDuration())) continue;
    guest_ = NewGuest(*platform_, recorder_);
    ASSERT_TRUE(guest_);
  }
  const HostOp map = HostOp::Mmap(kAt, 0x1000, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0);
  EXPECT_EQ(RunOp(recorder_, *guest_, map), static_cast<int64_t>(kAt)) << "nobody keeps the turn";
  close(file);
}

TEST_F(PtraceTest, ADeathFromOutsideIsTold) {
  guest_->Exit();
  ASSERT_TRUE(recorder_.AwaitGone(1));
  absl::Notification told;
  std::atomic<pid_t> killed{0};
  ptrace::PtraceOptions options;
  options.on_killed_outside = [&](pid_t pid) {
    if (killed.exchange(pid) == 0) told.Notify();
  };
  Make(options);
  const pid_t guest_pid = guest_->host_pid();
  kill(guest_pid, SIGKILL);
  EXPECT_TRUE(told.WaitForNotificationWithTimeout(absl::Seconds(10)));
  EXPECT_EQ(killed.load(), guest_pid);
  ASSERT_TRUE(recorder_.AwaitGone(2));
  EXPECT_EQ(WTERMSIG(recorder_.status()), SIGKILL);
}

// A process' death is what this test looks at, so a child plays the sentry.
TEST(PtraceDeath, StubsDieWithTheirTracer) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const pid_t sentry = fork();
  if (sentry == 0) {
    auto made = ptrace::NewPtrace({});
    if (!made.ok() || !(*made)->Start().ok()) _exit(1);
    Recorder recorder;
    const Ref<GuestThread> guest = NewGuest(**made, recorder);
    guest->regs().rip = Label(guest_spin);
    guest->Resume();
    const pid_t pid = guest->host_pid();
    [[maybe_unused]] const ssize_t written = write(ends[1], &pid, sizeof pid);
    for (;;) pause();
  }
  pid_t stub = 0;
  ASSERT_EQ(read(ends[0], &stub, sizeof stub), static_cast<ssize_t>(sizeof stub));
  kill(sentry, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(sentry, &status, 0), sentry);
  ASSERT_EQ(waitpid(stub, &status, 0), stub) << "an orphan of ours";
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  while (waitpid(-1, nullptr, 0) > 0) continue;
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace cloister::guest
