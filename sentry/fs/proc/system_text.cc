#include "sentry/fs/proc/system_text.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sentry/fs/proc/memory_use.h"
#include "sentry/fs/proc/subject.h"
#include "sentry/task/usage.h"
#include "sentry/wait/block.h"

namespace cloister::proc {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr uint64_t kNsPerTick = 10'000'000;  // USER_HZ is 100

struct TaskCounts {
  size_t running = 0;
  size_t all = 0;
  pid_t newest = 0;
};

TaskCounts CountTasks(task::Kernel& kernel) {
  TaskCounts counts;
  absl::MutexLock lock(&kernel.tree_mu());
  for (const Ref<task::ThreadGroup>& group : kernel.GroupsLocked()) {
    for (const task::Task* const task : group->tasks) {
      ++counts.all;
      if (task->StateLetter() == 'R') ++counts.running;
      counts.newest = std::max(counts.newest, task->tid());
    }
  }
  return counts;
}

std::string Hundredths(uint64_t ns) {
  return absl::StrFormat("%d.%02d", ns / kNsPerSecond, ns % kNsPerSecond / (kNsPerSecond / 100));
}

std::string CpuColumns(uint32_t cpus, size_t width) {
  std::string text(width, ' ');
  for (uint32_t cpu = 0; cpu < cpus; ++cpu) absl::StrAppendFormat(&text, "%-11s", absl::StrCat("CPU", cpu));
  return text + "\n";
}

}  // namespace

int64_t System::UpNs() const { return wait::MonotonicNow() - kernel_.boot_monotonic_ns(); }

uint64_t System::CpuNs() {
  uint64_t sum = 0;
  for (const Ref<task::ThreadGroup>& group : kernel_.Groups()) {
    sum += task::ProcessCpuNs(*group);
    absl::MutexLock lock(&kernel_.tree_mu());
    sum += task::CpuNsOf(group->children_usage);
  }
  absl::MutexLock lock(&mu_);
  cpu_seen_ns_ = std::max(cpu_seen_ns_, sum);
  return cpu_seen_ns_;
}

// Memory that processes have to themselves and may write; each page once where fork(2) shares it is
// more than is known here.
uint64_t System::UsedMemory() const {
  uint64_t used = 0;
  for (const Ref<task::ThreadGroup>& group : kernel_.Groups()) {
    const Ref<mm::MemoryManager> memory = Subject::OfProcess(group).Memory();
    if (!memory) continue;
    for (const mm::Area& area : memory->Areas())
      if (area.is_data()) used += ResidentOf(area);
  }
  return std::min(used, kernel_.machine().total_memory);
}

std::string System::MemInfo() const {
  const uint64_t total = kernel_.machine().total_memory;
  const uint64_t used = UsedMemory();
  const uint64_t free = total - used;
  const std::pair<const char*, uint64_t> lines[] = {{"MemTotal", total},
                                                    {"MemFree", free},
                                                    {"MemAvailable", free},
                                                    {"Buffers", 0},
                                                    {"Cached", 0},
                                                    {"SwapCached", 0},
                                                    {"Active", used},
                                                    {"Inactive", 0},
                                                    {"Active(anon)", used},
                                                    {"Inactive(anon)", 0},
                                                    {"Active(file)", 0},
                                                    {"Inactive(file)", 0},
                                                    {"Unevictable", 0},
                                                    {"Mlocked", 0},
                                                    {"SwapTotal", 0},
                                                    {"SwapFree", 0},
                                                    {"Dirty", 0},
                                                    {"Writeback", 0},
                                                    {"AnonPages", used},
                                                    {"Mapped", 0},
                                                    {"Shmem", 0},
                                                    {"KReclaimable", 0},
                                                    {"Slab", 0},
                                                    {"SReclaimable", 0},
                                                    {"SUnreclaim", 0},
                                                    {"KernelStack", 0},
                                                    {"PageTables", 0},
                                                    {"NFS_Unstable", 0},
                                                    {"Bounce", 0},
                                                    {"WritebackTmp", 0},
                                                    {"CommitLimit", total / 2},
                                                    {"Committed_AS", used},
                                                    {"VmallocTotal", uint64_t{34359738367} * 1024},
                                                    {"VmallocUsed", 0},
                                                    {"VmallocChunk", 0},
                                                    {"Percpu", 0},
                                                    {"AnonHugePages", 0},
                                                    {"ShmemHugePages", 0}};
  std::string text;
  for (const auto& [name, bytes] : lines)
    absl::StrAppendFormat(&text, "%-16s%8u kB\n", absl::StrCat(name, ":"), bytes / 1024);
  text +=
      "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
      "HugePages_Surp:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n";
  return text;
}

std::string System::CpuInfo() const {
  const task::Machine& machine = kernel_.machine();
  std::string text;
  for (uint32_t cpu = 0; cpu < machine.cpus; ++cpu) {
    absl::StrAppend(&text, "processor\t: ", cpu, "\nvendor_id\t: ", machine.cpu_vendor,
                    "\ncpu family\t: ", machine.cpu_family, "\nmodel\t\t: ", machine.cpu_model_number,
                    "\nmodel name\t: ", machine.cpu_model, "\nstepping\t: ", machine.cpu_stepping, "\n");
    absl::StrAppendFormat(&text, "cpu MHz\t\t: %.3f\ncache size\t: %u KB\n", machine.cpu_mhz,
                          machine.cpu_cache_kb);
    absl::StrAppend(&text, "physical id\t: 0\nsiblings\t: ", machine.cpus, "\ncore id\t\t: ", cpu,
                    "\ncpu cores\t: ", machine.cpus, "\napicid\t\t: ", cpu, "\ninitial apicid\t: ", cpu,
                    "\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: 13\nwp\t\t: yes\nflags\t\t: ",
                    machine.cpu_flags, "\nbugs\t\t:\n");
    absl::StrAppendFormat(&text, "bogomips\t: %.2f\n", 2 * machine.cpu_mhz);
    text +=
        "clflush size\t: 64\ncache_alignment\t: 64\n"
        "address sizes\t: 46 bits physical, 48 bits virtual\npower management:\n\n";
  }
  return text;
}

std::string System::Stat() {
  const uint32_t cpus = kernel_.machine().cpus;
  const uint64_t busy = CpuNs() / kNsPerTick;
  const uint64_t all = static_cast<uint64_t>(UpNs()) / kNsPerTick * cpus;
  const uint64_t idle = all - std::min(busy, all);
  std::string text = absl::StrCat("cpu  ", busy, " 0 0 ", idle, " 0 0 0 0 0 0\n");
  for (uint32_t cpu = 0; cpu < cpus; ++cpu)
    absl::StrAppend(&text, "cpu", cpu, " ", busy / cpus, " 0 0 ", idle / cpus, " 0 0 0 0 0 0\n");
  const TaskCounts counts = CountTasks(kernel_);
  absl::StrAppend(&text, "intr 0\nctxt 0\nbtime ", kernel_.boot_realtime_ns() / kNsPerSecond, "\nprocesses ",
                  kernel_.forks.load(), "\nprocs_running ", counts.running,
                  "\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n");
  return text;
}

std::string System::Uptime() {
  const auto up = static_cast<uint64_t>(UpNs());
  const uint64_t all = up * kernel_.machine().cpus;
  return absl::StrCat(Hundredths(up), " ", Hundredths(all - std::min(CpuNs(), all)), "\n");
}

// No clock ticks here: the CPUs that were busy since the file was read last enter the averages.
std::string System::LoadAverage() {
  constexpr double kMinutes[] = {1, 5, 15};
  const uint64_t cpu_ns = CpuNs();
  const int64_t now = UpNs();
  const TaskCounts counts = CountTasks(kernel_);
  std::string text;
  absl::MutexLock lock(&mu_);
  const double passed = static_cast<double>(now - load_at_ns_);
  if (passed >= static_cast<double>(kNsPerSecond)) {
    const double busy = static_cast<double>(cpu_ns - std::min(cpu_ns, load_cpu_ns_)) / passed;
    for (int i = 0; i < 3; ++i) {
      const double keep = std::exp(-passed / (kMinutes[i] * 60 * kNsPerSecond));
      load_[i] = load_[i] * keep + busy * (1 - keep);
    }
    load_at_ns_ = now;
    load_cpu_ns_ = cpu_ns;
  }
  for (const double load : load_) absl::StrAppendFormat(&text, "%.2f ", load);
  absl::StrAppend(&text, counts.running, "/", counts.all, " ", counts.newest, "\n");
  return text;
}

std::string System::VmStat() const {
  const uint64_t used = UsedMemory() / mm::kPageSize;
  const uint64_t total = kernel_.machine().total_memory / mm::kPageSize;
  std::string text =
      absl::StrCat("nr_free_pages ", total - used, "\nnr_active_anon ", used, "\nnr_anon_pages ", used, "\n");
  for (const char* none :
       {"nr_inactive_anon", "nr_inactive_file", "nr_active_file", "nr_unevictable", "nr_mlock", "nr_mapped",
        "nr_file_pages", "nr_dirty", "nr_writeback", "nr_shmem", "pgpgin", "pgpgout", "pswpin", "pswpout",
        "pgfault", "pgmajfault", "pgfree", "oom_kill"})
    absl::StrAppend(&text, none, " 0\n");
  return text;
}

std::string System::Interrupts() const { return CpuColumns(kernel_.machine().cpus, 11); }

std::string System::SoftInterrupts() const {
  std::string text = CpuColumns(kernel_.machine().cpus, 20);
  for (const char* name :
       {"HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"}) {
    absl::StrAppendFormat(&text, "%12s:", name);
    for (uint32_t cpu = 0; cpu < kernel_.machine().cpus; ++cpu) absl::StrAppendFormat(&text, " %10d", 0);
    text += '\n';
  }
  return text;
}

}  // namespace cloister::proc
