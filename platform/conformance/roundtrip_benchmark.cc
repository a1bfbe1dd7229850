// Prints what the platform's basic steps cost. Not a test: nothing is judged. usage: [--no-spin | --ptrace]

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <functional>
#include <string_view>

#include "absl/time/clock.h"
#include "platform/conformance/test_guest.h"
#include "platform/ptrace/ptrace.h"
#include "platform/systrap/systrap.h"

namespace cloister::guest {
namespace {

constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
constexpr uint64_t kFree = 0x40000000;

void Check(bool holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "failed: %s\n", what);
  _exit(1);
}

// Runs a step on the worker at each trap, until it says that it is done.
class Driver final : public platform::TrapHandler {
 public:
  // Returns false when all is over; else it has given an answer, or will.
  using Step = std::function<bool(GuestThread&, const Trap&)>;

  absl::Duration Run(Step step, const std::function<void()>& begin) {
    step_ = std::move(step);
    const absl::Time started = absl::Now();
    begin();
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&done_));
    done_ = false;
    return absl::Now() - started;
  }

  void OnTrap(GuestThread& thread, const Trap& trap) override {
    if (step_(thread, trap)) return;
    absl::MutexLock lock(&mu_);
    done_ = true;
  }
  void OnGone(GuestThread&, int) override {}

 private:
  absl::Mutex mu_;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  Step step_;
};

void Print(const char* what, int count, absl::Duration took) {
  printf("%-46s %9.0f ns\n", what, absl::ToDoubleNanoseconds(took) / count);
  fflush(stdout);
}

void Loop(GuestThread& guest) {
  guest.regs().rip = Label(guest_loop);
  guest.regs().r15 = 1 << 30;
}

// answer is called at each of `count` traps of the guest's loop.
void Measure(Driver& driver, GuestThread& guest, const char* what, int count,
             const std::function<void(GuestThread&)>& answer) {
  int left = count;
  Loop(guest);
  const auto took = driver.Run(
      [&](GuestThread& thread, const Trap& trap) {
        Check(trap.kind == Trap::Kind::kSyscall, "an operation");
        if (--left == 0) return false;
        answer(thread);
        return true;
      },
      [&] { guest.Resume(); });
  Print(what, count, took);
}

// Each round: clone, one call of the parent and one of the child, the child's end.
class CloneRounds {
 public:
  CloneRounds(Driver& driver, GuestThread& guest, CloneKind kind, int count)
      : driver_(driver), guest_(guest), kind_(kind), left_(count) {}

  bool Step(GuestThread& thread) {
    {
      absl::MutexLock lock(&mu_);
      ++arrived_;
      if (arrived_ < 2) {
        if (&thread != &guest_) thread.Exit();
        return true;
      }
      arrived_ = 0;
      if (--left_ == 0) return false;
    }
    if (&thread != &guest_) thread.Exit();
    Clone();
    return true;
  }

  void Clone() {
    CloneRequest request;
    request.kind = kind_;
    request.child_handler = &driver_;
    request.child_regs = guest_.regs();
    request.child_regs.rip = Label(guest_loop);
    request.child_regs.rsp = kStack + 0x1000;
    Check(guest_.Clone(request).ok(), "clone");
  }

 private:
  Driver& driver_;
  GuestThread& guest_;
  const CloneKind kind_;
  absl::Mutex mu_;
  int arrived_ ABSL_GUARDED_BY(mu_) = 0;
  int left_ ABSL_GUARDED_BY(mu_);
};

void MeasureRounds(Driver& driver, GuestThread& guest, CloneKind kind, const char* what) {
  constexpr int kCount = 2000;
  Loop(guest);
  CloneRounds rounds(driver, guest, kind, kCount);
  const auto took = driver.Run([&](GuestThread& thread, const Trap&) { return rounds.Step(thread); },
                               [&] { rounds.Clone(); });
  Print(what, kCount, took);
}

void MeasureOps(Driver& driver, GuestThread& guest) {
  constexpr int kCount = 50000;
  const HostOp anonymous[] = {HostOp::Mmap(kFree, 0x10000, PROT_READ | PROT_WRITE, kAnonymous, -1, 0)};
  const HostOp pair[] = {anonymous[0], HostOp::Munmap(kFree, 0x10000)};
  const int file = memfd_create("benchmark", 0);
  Check(ftruncate(file, 0x10000) == 0, "ftruncate");
  const HostOp mapped[] = {HostOp::Mmap(kFree, 0x10000, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0)};
  const auto with = [](std::span<const HostOp> ops) {
    return [ops](GuestThread& thread) { thread.RunOps(ops, AfterOps::kResume); };
  };
  Measure(driver, guest, "trap, mmap 64 KiB over itself", kCount, with(anonymous));
  Measure(driver, guest, "trap, mmap and munmap 64 KiB", kCount, with(pair));
  Measure(driver, guest, "trap, mmap of a file over itself", kCount, with(mapped));
  close(file);
}

// A process as execve(2) needs it, until its first operation is done.
void MeasureNewProcess(platform::Platform& platform, Driver& driver) {
  constexpr int kCount = 500;
  absl::Duration took;
  const HostOp op = HostOp::Munmap(kFree, 0x1000);
  for (int i = 0; i < kCount; ++i) {
    Ref<GuestThread> made;
    took += driver.Run([](GuestThread&, const Trap&) { return false; },
                       [&] {
                         auto process = platform.NewProcess(&driver);
                         Check(process.ok(), "NewProcess");
                         made = *process;
                         made->RunOps({&op, 1}, AfterOps::kReport);
                       });
    made->Exit();
    absl::SleepFor(absl::Milliseconds(1));
  }
  Print("new process, first operation (from main)", kCount, took);
}

Ref<GuestThread> Prepare(platform::Platform& platform, Driver& driver) {
  auto made = platform.NewProcess(&driver);
  Check(made.ok(), "NewProcess");
  Ref<GuestThread> guest = *made;
  const HostOp ops[] = {
      HostOp::Mmap(kCode, kRegion, PROT_READ | PROT_WRITE | PROT_EXEC, kAnonymous, -1, 0),
      HostOp::Mmap(kData, kRegion, PROT_READ | PROT_WRITE, kAnonymous, -1, 0),
      HostOp::Mmap(kStack, kRegion, PROT_READ | PROT_WRITE, kAnonymous, -1, 0),
  };
  driver.Run([](GuestThread&, const Trap&) { return false; }, [&] { guest->RunOps(ops, AfterOps::kReport); });
  guest->address_space().Write(kCode, std::as_bytes(std::span(guest_begin, guest_end)));
  return guest;
}

absl::StatusOr<std::unique_ptr<platform::Platform>> Make(bool ptrace, bool spin) {
  if (ptrace) return ptrace::NewPtrace({});
  systrap::SystrapOptions options;
  options.spin = spin;
  return systrap::NewSystrap(options);
}

int Main(bool ptrace, bool spin) {
  const absl::Time begin = absl::Now();
  auto made = Make(ptrace, spin);
  if (!made.ok()) {
    fprintf(stderr, "%s\n", made.status().ToString().c_str());
    return 1;
  }
  std::unique_ptr<platform::Platform> platform = std::move(*made);
  Print("new platform", 1, absl::Now() - begin);
  Check(platform->Start().ok(), "Start");
  Driver driver;
  Ref<GuestThread> guest = Prepare(*platform, driver);
  Measure(driver, *guest, "trap, no-op", 300000, [](GuestThread& thread) { thread.Resume(); });
  Measure(driver, *guest, "trap, 64 bytes of guest memory read", 300000, [](GuestThread& thread) {
    std::byte bytes[64];
    Check(thread.address_space().Read(kData, bytes) == sizeof bytes, "Read");
    thread.Resume();
  });
  MeasureOps(driver, *guest);
  MeasureRounds(driver, *guest, CloneKind::kThread, "thread: clone, a call of each, end");
  MeasureRounds(driver, *guest, CloneKind::kSharedProcess, "vfork: clone, a call of each, end");
  MeasureRounds(driver, *guest, CloneKind::kFork, "fork: clone, a call of each, end");
  MeasureNewProcess(*platform, driver);
  guest.reset();
  return 0;
}

}  // namespace
}  // namespace cloister::guest

int main(int argc, char** argv) {
  const std::string_view option = argc < 2 ? "" : argv[1];
  return cloister::guest::Main(option == "--ptrace", option != "--no-spin");
}
