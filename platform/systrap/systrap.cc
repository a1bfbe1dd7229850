#include "platform/systrap/systrap.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <thread>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "platform/process/own_signals.h"
#include "platform/systrap/dispatcher.h"
#include "platform/systrap/spares.h"
#include "platform/systrap/zygote_launch.h"

namespace cloister::systrap {
namespace {

constexpr uint64_t kAreaAlignment = 64;  // XSAVE's

class Systrap final : public platform::Platform {
 public:
  Systrap(const SystrapOptions& options, std::unique_ptr<Arena> arena, int cores)
      : workers_(options.workers > 0 ? options.workers : cores + 2),
        core_(std::move(arena), SlotLimit(), cores, options.spin, options.sideline),
        spares_(&core_, options.spares),
        dispatcher_(&core_) {
    core_.on_killed_outside = options.on_killed_outside;
    core_.on_zygote_dead = options.on_zygote_dead;
    core_.suggests_patches = options.patch;
    core_.native_futexes = options.native_futexes;
    core_.native_reads = options.native_reads;
  }
  ~Systrap() override;

  absl::Status Boot();

  absl::Status Start() override;
  ErrnoOr<Ref<platform::GuestThread>> NewProcess(platform::TrapHandler* handler) override {
    return Ref<platform::GuestThread>(TRY(spares_.Take(handler)));
  }
  int GetAffinity(pid_t host_tid, cpu_set_t* cores) override {
    const Ref<Thread> thread = core_.threads.Find(host_tid);
    if (thread && core_.watch.GetCores(*thread, cores)) return 0;
    return Platform::GetAffinity(host_tid, cores);
  }
  int SetAffinity(pid_t host_tid, const cpu_set_t& cores) override {
    if (const Ref<Thread> thread = core_.threads.Find(host_tid)) core_.watch.LetGo(*thread);
    return Platform::SetAffinity(host_tid, cores);
  }
  uint64_t task_size() const override { return stub::kImageBase; }
  uint64_t vdso_start() const override { return vdso_; }
  size_t fp_state_size() const override { return fp_state_size_; }

 private:
  absl::Status AwaitZygote(platform::Trap::Kind kind, int64_t* result);
  absl::StatusOr<int64_t> RunInZygote(const platform::HostOp& op);
  void MakeThreads();
  void StopStubs();

  const int workers_;
  Core core_;
  Spares spares_;
  Dispatcher dispatcher_;
  uint64_t vdso_ = 0;
  size_t fp_state_size_ = 0;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
  std::thread reaper_, housekeeper_, rests_;
};

absl::Status Systrap::Boot() {
  const ErrnoOr<uint32_t> index = core_.arena->Take();
  if (!index.ok()) return ToStatus(index.error(), "context pages of the zygote");
  auto space = MakeRef<Space>(core_.arena.get(), *index, core_.slot_limit);
  space->TakeSlotAt(0);
  LaunchedZygote launched = TRY_STATUS(LaunchZygote(*core_.arena, *index));
  core_.listener = std::make_unique<Listener>(std::move(launched.listener));
  auto process = MakeRef<HostProcess>(std::move(space));
  auto zygote = MakeRef<Thread>(&core_, std::move(process), 0, &spares_, false);
  zygote->BindZygote(launched.pid);
  spares_.SetZygote(zygote);
  // Hosts before Linux 6.6 wake another core: slow, not wrong.
  core_.listener->WakeOnSameCore(true).IgnoreError();

  RETURN_IF_ERROR(AwaitZygote(platform::Trap::Kind::kSyscall, nullptr));
  // Nothing stays of what execve(2) made but the image, the regions and the vDSO.
  constexpr uint64_t kRegionsEnd = stub::kStackBase + stub::kStackRegionBytes;
  const std::pair<uint64_t, uint64_t> foreign[] = {
      {0, stub::kPatchBase},
      {stub::kPatchBase + stub::kPatchBytes, stub::kImageBase},
      {kRegionsEnd, launched.vdso_end != 0 ? launched.vdso_data : stub::kReservedEnd},
      {std::max(launched.vdso_end, kRegionsEnd), stub::kReservedEnd}};
  for (const auto& [begin, end] : foreign) {
    if (begin < end) TRY_STATUS(RunInZygote(platform::HostOp::Munmap(begin, end - begin)));
  }
  vdso_ = launched.vdso_begin;
  const uint64_t window = stub::ContextAddress(1);
  const auto fp = TRY_STATUS(RunInZygote(platform::HostOp::StoreFpState(window)));
  fp_state_size_ = (static_cast<uint64_t>(fp) + kAreaAlignment - 1) / kAreaAlignment * kAreaAlignment;
  return absl::OkStatus();
}

absl::Status Systrap::AwaitZygote(platform::Trap::Kind kind, int64_t* result) {
  platform::Trap trap;
  while (!spares_.TakeBootReport(&trap)) {
    if (!dispatcher_.ServeOne()) return absl::UnavailableError("the zygote died while it booted");
  }
  if (trap.kind != kind) return absl::InternalError("the zygote trapped out of order");
  if (result != nullptr) *result = trap.result;
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Systrap::RunInZygote(const platform::HostOp& op) {
  spares_.zygote().RunOps({&op, 1}, platform::AfterOps::kReport);
  int64_t result = 0;
  RETURN_IF_ERROR(AwaitZygote(platform::Trap::Kind::kOpsDone, &result));
  if (result < 0) return HostError(static_cast<int>(-result), "the zygote's memory");
  return result;
}

void Systrap::MakeThreads() {
  const process::OwnSignalsOnly own_signals_only;
  // A thread's first host calls are its library's own: a filter that comes now must not meet them.
  absl::BlockingCounter begun(workers_ + 3);
  const auto make = [&begun](auto run) {
    return std::thread([&begun, run] {
      begun.DecrementCount();
      run();
    });
  };
  for (int i = 0; i < workers_; ++i) threads_.push_back(make([this] { dispatcher_.Work(); }));
  reaper_ = make([this] { dispatcher_.Reap(stopping_); });
  housekeeper_ = make([this] { core_.housekeeper.Run(); });
  rests_ = make([this] { core_.rests.Run(); });
  begun.Wait();
}

absl::Status Systrap::Start() {
  MakeThreads();
  spares_.Start();
  return absl::OkStatus();
}

// Kills all stubs, the zygote last, so that the reaper's wait ends with its death.
void Systrap::StopStubs() {
  Thread& zygote = spares_.zygote();
  const absl::Time give_up = absl::Now() + absl::Seconds(5);
  for (;;) {
    const std::vector<Ref<HostProcess>> all = core_.processes.All();
    const bool alone = std::ranges::none_of(all, [&](const auto& p) { return p.get() != &zygote.process(); });
    const bool unborn = core_.births.Oldest() != absl::InfiniteFuture();
    if (alone && (!unborn || absl::Now() > give_up)) break;
    for (const Ref<HostProcess>& process : all) {
      if (process.get() != &zygote.process()) process->Kill();
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
  stopping_.store(true);
  zygote.KillProcess();
}

Systrap::~Systrap() {
  spares_.Stop();
  if (!core_.listener) return;
  if (threads_.empty()) {
    const pid_t pid = spares_.zygote().host_pid();
    if (pid > 0) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  } else {
    StopStubs();
    reaper_.join();
    core_.turns.Stop();
    for (std::thread& worker : threads_) worker.join();
    core_.housekeeper.Stop();
    housekeeper_.join();
    core_.rests.Stop();
    rests_.join();
  }
  for (const Ref<Thread>& child : core_.births.TakeOld(absl::InfiniteFuture())) child->Gone(0);
  for (const Ref<HostProcess>& process : core_.processes.All()) {
    for (const Ref<Thread>& thread : process->Bury()) thread->Gone(0);
  }
}

int Cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<platform::Platform>> NewSystrap(const SystrapOptions& options) {
  std::unique_ptr<Arena> arena = TRY_STATUS(Arena::Create(options.max_address_spaces));
  auto systrap = std::make_unique<Systrap>(options, std::move(arena), Cores());
  RETURN_IF_ERROR(systrap->Boot());
  return std::unique_ptr<platform::Platform>(std::move(systrap));
}

}  // namespace cloister::systrap
