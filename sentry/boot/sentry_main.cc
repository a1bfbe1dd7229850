#include "sentry/boot/sentry_main.h"

#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "base/log/log.h"
#include "platform/ptrace/ptrace.h"
#include "platform/systrap/systrap.h"
#include "sentry/boot/control_server.h"
#include "sentry/boot/file_systems.h"
#include "sentry/boot/filter.h"
#include "sentry/boot/gofer_mounts.h"
#include "sentry/boot/network.h"
#include "sentry/boot/sandbox.h"
#include "sentry/boot/terminal.h"
#include "sentry/control/control.pb.h"
#include "sentry/fs/tmp/memory_budget.h"
#include "sentry/fs/tmp/tmp_fs.h"
#include "sentry/syscalls/table.h"
#include "sentry/wait/poller.h"
#include "sentry/wait/worker_sideline.h"

namespace cloister::boot {
namespace {

constexpr size_t kMaxConfig = 16 << 20;
constexpr int kMallocArenas = 2;

absl::StatusOr<control::BootConfig> ReadConfig() {
  const UniqueFd fd(control::BOOT_FD_CONFIG);
  std::string bytes;
  char piece[4096];
  for (;;) {
    const ssize_t got = read(fd.get(), piece, sizeof piece);
    if (got < 0) return HostErrorNow("read the boot configuration");
    if (got == 0) break;
    bytes.append(piece, static_cast<size_t>(got));
    if (bytes.size() > kMaxConfig) return absl::InvalidArgumentError("the boot configuration is too long");
  }
  control::BootConfig config;
  if (!config.ParseFromString(bytes))
    return absl::InvalidArgumentError("the boot configuration is malformed");
  return config;
}

LogLevel LevelOf(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "error") return LogLevel::kError;
  return LogLevel::kWarning;
}

task::Machine MachineOf(const control::BootConfig& config) {
  task::Machine machine;
  const control::Container& container = config.container();
  machine.total_memory = container.memory_limit() != 0
                             ? std::min(container.memory_limit(), config.total_memory())
                             : config.total_memory();
  machine.cpus = container.cpu_count() != 0 ? container.cpu_count() : std::max(1u, config.host_cpus());
  machine.cpu_vendor = config.cpu_vendor();
  machine.cpu_model = config.cpu_model();
  machine.cpu_flags = config.cpu_flags();
  machine.cpu_family = config.cpu_family();
  machine.cpu_model_number = config.cpu_model_number();
  machine.cpu_stepping = config.cpu_stepping();
  machine.cpu_cache_kb = config.cpu_cache_kb();
  machine.cpu_mhz = config.cpu_mhz();
  memcpy(machine.boot_id.data(), config.boot_id().data(),
         std::min(config.boot_id().size(), machine.boot_id.size()));
  return machine;
}

[[noreturn]] void EndWithStub(pid_t pid) {
  LOG(kError, "stub %d was killed from outside; the sandbox ends", pid);
  _exit(1);
}

struct ChosenPlatform {
  std::unique_ptr<platform::Platform> platform;
  Interception interception = Interception::kSystrap;
};

absl::StatusOr<ChosenPlatform> MakePlatform(const control::BootConfig& config) {
  // Under a limit on memory it is mostly the host that kills, and as on Linux it takes one process alone.
  // So it does in a pod, whose containers may have limits that nobody knows yet.
  const bool ends_with_stub = config.container().memory_limit() == 0 && !config.pod();
  if (config.platform() != "ptrace") {
    systrap::SystrapOptions options;
    options.spin = !config.no_spin();
    options.patch = !config.no_patch();
    options.native_futexes = !config.no_native_futexes();
    options.native_reads = !config.no_native_reads();
    static wait::WorkerSideline sideline;
    options.sideline = &sideline;
    options.on_zygote_dead = EndWithStub;
    if (ends_with_stub) options.on_killed_outside = EndWithStub;
    auto systrap = systrap::NewSystrap(options);
    if (systrap.ok()) return ChosenPlatform{*std::move(systrap), Interception::kSystrap};
    const bool may_fall_back = config.platform().empty() && absl::IsFailedPrecondition(systrap.status());
    if (!may_fall_back) return systrap.status();
    LOG(kWarning, "the platform is ptrace, which is slow: %s", FirstLine(systrap.status()));
  }
  ptrace::PtraceOptions options;
  options.on_zygote_dead = EndWithStub;
  if (ends_with_stub) options.on_killed_outside = EndWithStub;
  return ChosenPlatform{TRY_STATUS(ptrace::NewPtrace(options)), Interception::kPtrace};
}

std::vector<UniqueFd> DonatedFds(const control::BootConfig& config) {
  const int stdio = config.container().process().terminal() ? 1 : static_cast<int>(config.fd_count());
  std::vector<UniqueFd> fds;
  for (int i = 0; i < stdio; ++i) fds.emplace_back(control::BOOT_FD_STDIO_FIRST + i);
  for (uint32_t i = 0; i < config.preserved_fds(); ++i) {
    fds.emplace_back(control::BOOT_FD_PRESERVED_FIRST + static_cast<int>(i));
  }
  return fds;
}

// What lives until the process ends.
struct Sentry {
  std::unique_ptr<task::Kernel> kernel;
  std::unique_ptr<Sandbox> sandbox;
  std::unique_ptr<ControlServer> control;
};

absl::Status Boot(const control::BootConfig& config, Sentry* sentry) {
  ChosenPlatform chosen = TRY_STATUS(MakePlatform(config));
  RETURN_IF_ERROR(wait::Poller::Get().Start());
  sentry->kernel =
      std::make_unique<task::Kernel>(std::move(chosen.platform), MachineOf(config), syscalls::Dispatch);
  task::Kernel& kernel = *sentry->kernel;
  tmp::MemoryBudget::Get().SetLimit(kernel.machine().total_memory / tmp::kPageSize / 2);
  if (config.strace()) kernel.SetTracer(syscalls::Trace);
  const control::Container& container = config.container();
  RegisterSpecialFiles();
  RegisterMountTypes(kernel, container);
  RegisterTerminals(kernel);
  const Ref<goferfs::Gofer> gofer = TRY_STATUS(ConnectGofer(UniqueFd(control::BOOT_FD_GOFER), OnGoferLost));
  RETURN_IF_ERROR(InstallNetwork());
  sentry->sandbox = std::make_unique<Sandbox>(kernel, gofer);
  RETURN_IF_ERROR(
      sentry->sandbox->CreateFirst(container, UniqueFd(control::BOOT_FD_MONITOR), DonatedFds(config)));
  RETURN_IF_ERROR(kernel.platform().Start());
  sentry->control = std::make_unique<ControlServer>(UniqueFd(control::BOOT_FD_CONTROL), *sentry->sandbox);
  RETURN_IF_ERROR(sentry->control->Prepare());
  RETURN_IF_ERROR(sentry->control->EndWith(control::BOOT_FD_GOFER));
  UniqueFd listener = TRY_STATUS(LoadSentryFilter(chosen.interception, control::BOOT_FD_LOG));
  if (listener.ok()) {
    const ErrnoOrVoid used = gofer->client->UseDoorbell(std::move(listener));
    if (!used.ok()) return ToStatus(used.error(), "the gofer's doorbell");
  }
  return absl::OkStatus();
}

void TellReady(const absl::Status& status) {
  const UniqueFd ready(control::BOOT_FD_READY);
  const std::string line = status.ok() ? "R" : absl::StrCat("E", FirstLine(status), "\n");
  [[maybe_unused]] const ssize_t written = write(ready.get(), line.data(), line.size());
}

}  // namespace

int SentryMain(int, char**) {
  ::signal(SIGPIPE, SIG_IGN);
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // Debian's library has it on
  mallopt(M_ARENA_MAX, kMallocArenas);  // else a later thread would look into /sys for the number of CPUs
  prctl(PR_SET_DUMPABLE, 0);
  absl::StatusOr<control::BootConfig> config = ReadConfig();
  if (!config.ok()) {
    TellReady(config.status());
    return 1;
  }
  StartLog(control::BOOT_FD_LOG, LevelOf(config->strace() ? "info" : config->debug_level()), "sentry");
  static Sentry* const sentry = new Sentry;
  const absl::Status booted = Boot(*config, sentry);
  TellReady(booted);
  if (!booted.ok()) {
    LOG(kError, "boot: %s", std::string(booted.message()));
    _exit(1);
  }
  LOG(kInfo, "container %s is created", config->container().id());
  sentry->control->Run();
}

}  // namespace cloister::boot
