#include "sentry/fs/proc/process_text.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sentry/fs/kernfs/text_file.h"
#include "sentry/fs/proc/memory_use.h"
#include "sentry/fs/proc/process_state.h"
#include "sentry/task/current.h"
#include "sentry/task/usage.h"

namespace cloister::proc {
namespace {

constexpr uint64_t kNsPerTick = 10'000'000;  // USER_HZ is 100
constexpr uint64_t kRandomize = 0x00400000;  // PF_RANDOMIZE
constexpr uint64_t kForkNoExec = 0x00000040;
constexpr int kUnkillable = -17;  // OOM_DISABLE

std::string LimitOrUnlimited(rlim_t limit) {
  return limit == RLIM_INFINITY ? "unlimited" : absl::StrCat(limit);
}

bool IsOwnProcess(const Subject& subject) {
  const task::Task* const asking = task::CurrentTask::Get();
  return asking != nullptr && &asking->group() == &subject.group();
}

}  // namespace

ErrnoOr<std::string> StatText(const Subject& subject) {
  const ProcessState state = TRY(ReadState(subject));
  const Ref<mm::MemoryManager> memory = subject.Memory();
  const MemoryUse use = MeasureMemory(memory.get());
  // Addresses are for those who may inspect it. proc(5) marks the fields [PT].
  const auth::CredRef reader = [] {
    const task::Task* const asking = task::CurrentTask::Get();
    return asking == nullptr ? auth::Credentials::Root() : asking->cred();
  }();
  mm::MemoryManager::Layout layout;
  if (memory && subject.MayInspect(*reader)) layout = memory->layout();
  const rlim_t rss_limit = subject.group().Limit(RLIMIT_RSS).rlim_cur;
  constexpr uint64_t kLow = 0x7fffffff;  // the signals that fit: the rest is in status
  std::string text =
      absl::StrCat(subject.id(), " (", state.name, ") ", std::string(1, state.letter), " ", state.parent, " ",
                   state.process_group, " ", state.session, " ", state.terminal, " ", state.foreground, " ",
                   kRandomize | (state.has_execed ? 0 : kForkNoExec), " 0 0 0 0 ");
  absl::StrAppend(&text, state.cpu_ns / kNsPerTick, " 0 ", state.children_cpu_ns / kNsPerTick, " 0 ",
                  20 + state.nice, " ", state.nice, " ", state.threads, " 0 ", state.start_ns / kNsPerTick,
                  " ", use.total, " ", use.resident() / mm::kPageSize, " ", rss_limit, " ");
  absl::StrAppend(&text, layout.start_code, " ", layout.end_code, " ", layout.start_stack, " 0 0 ",
                  state.pending.bits() & kLow, " ", state.blocked.bits() & kLow, " ",
                  state.ignored.bits() & kLow, " ", state.caught.bits() & kLow, " 0 0 0 ",
                  subject.is_thread() && subject.id() != subject.pid() ? -1 : state.exit_signal,
                  " 0 0 0 0 0 0 ");
  absl::StrAppend(&text, layout.start_data, " ", layout.end_data, " ", layout.start_brk, " ",
                  layout.arg_start, " ", layout.arg_end, " ", layout.env_start, " ", layout.env_end, " 0\n");
  return text;
}

ErrnoOr<std::string> StatmText(const Subject& subject) {
  if (!subject.Exists()) return Errno::kSrch;
  const Ref<mm::MemoryManager> memory = subject.Memory();
  const MemoryUse use = MeasureMemory(memory.get());
  const auto pages = [](uint64_t bytes) { return bytes / mm::kPageSize; };
  return absl::StrCat(pages(use.total), " ", pages(use.resident()), " ", pages(use.file + use.shared), " ",
                      pages(use.code), " 0 ", pages(use.data + use.stack), " 0\n");
}

ErrnoOr<std::string> CommText(const Subject& subject) {
  return absl::StrCat(TRY(ReadState(subject)).name, "\n");
}

// Linux: comm_write. Only threads of the same process may.
ErrnoOrVoid StoreComm(const Subject& subject, std::string_view text, const auth::Credentials&) {
  const Ref<task::Task> task = TRY(subject.Get());
  if (!IsOwnProcess(subject)) return Errno::kInval;
  task->SetName(text.substr(0, std::min<size_t>({text.find('\0'), text.size(), 15})));
  return {};
}

ErrnoOr<std::string> LimitsText(const Subject& subject) {
  if (!subject.Exists()) return Errno::kSrch;
  struct Line {
    int resource;
    const char *name, *unit;
  };
  constexpr Line kLines[] = {
      {RLIMIT_CPU, "Max cpu time", "seconds"},
      {RLIMIT_FSIZE, "Max file size", "bytes"},
      {RLIMIT_DATA, "Max data size", "bytes"},
      {RLIMIT_STACK, "Max stack size", "bytes"},
      {RLIMIT_CORE, "Max core file size", "bytes"},
      {RLIMIT_RSS, "Max resident set", "bytes"},
      {RLIMIT_NPROC, "Max processes", "processes"},
      {RLIMIT_NOFILE, "Max open files", "files"},
      {RLIMIT_MEMLOCK, "Max locked memory", "bytes"},
      {RLIMIT_AS, "Max address space", "bytes"},
      {RLIMIT_LOCKS, "Max file locks", "locks"},
      {RLIMIT_SIGPENDING, "Max pending signals", "signals"},
      {RLIMIT_MSGQUEUE, "Max msgqueue size", "bytes"},
      {RLIMIT_NICE, "Max nice priority", nullptr},
      {RLIMIT_RTPRIO, "Max realtime priority", nullptr},
      {RLIMIT_RTTIME, "Max realtime timeout", "us"},
  };
  std::string text =
      absl::StrFormat("%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
  const auto limits = subject.group().Limits();
  for (const Line& line : kLines) {
    const rlimit& limit = limits[line.resource];
    absl::StrAppendFormat(&text, "%-25s %-20s %-20s ", line.name, LimitOrUnlimited(limit.rlim_cur),
                          LimitOrUnlimited(limit.rlim_max));
    if (line.unit != nullptr) absl::StrAppendFormat(&text, "%-10s", line.unit);
    text += '\n';
  }
  return text;
}

// Nothing is counted.
ErrnoOr<std::string> IoText(const Subject& subject) {
  if (!subject.Exists()) return Errno::kSrch;
  return std::string(
      "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
}

ErrnoOr<std::string> SchedStatText(const Subject& subject) {
  return absl::StrCat(TRY(ReadState(subject)).cpu_ns, " 0 0\n");
}

// Linux knows which thread made a child; here the leader has them all.
ErrnoOr<std::string> ChildrenText(const Subject& subject) {
  TRY(subject.Get());
  std::string text;
  if (subject.id() != subject.pid()) return text;
  absl::MutexLock lock(&subject.kernel().tree_mu());
  for (const Ref<task::ThreadGroup>& child : subject.group().children)
    absl::StrAppend(&text, child->pid(), " ");
  return text;
}

// Linux: proc_oom_score.
ErrnoOr<std::string> OomScoreText(const Subject& subject) {
  TRY(subject.Get());
  const int adjustment = subject.group().oom_score_adj.load();
  if (adjustment == -1000) return std::string("0\n");
  const Ref<mm::MemoryManager> memory = subject.Memory();
  const int64_t total =
      std::max<int64_t>(1, static_cast<int64_t>(subject.kernel().machine().total_memory / mm::kPageSize));
  const int64_t used =
      std::min(total, static_cast<int64_t>(MeasureMemory(memory.get()).resident() / mm::kPageSize));
  const int64_t badness = used + adjustment * (total / 1000);
  return absl::StrCat(std::max<int64_t>(0, (1000 + badness * 1000 / total) * 2 / 3), "\n");
}

ErrnoOr<std::string> OomScoreAdjText(const Subject& subject) {
  TRY(subject.Get());
  return absl::StrCat(subject.group().oom_score_adj.load(), "\n");
}

ErrnoOr<std::string> OomAdjText(const Subject& subject) {
  TRY(subject.Get());
  const int adjustment = subject.group().oom_score_adj.load();
  return absl::StrCat(adjustment == 1000 ? 15 : adjustment * -kUnkillable / 1000, "\n");
}

// proc(5): only CAP_SYS_RESOURCE makes a process less likely to be killed than it was.
ErrnoOrVoid StoreOomScoreAdj(const Subject& subject, std::string_view text, const auth::Credentials& opener) {
  const int64_t wanted = TRY(kernfs::ParseNumber(text, -1000, 1000));
  TRY(subject.Get());
  std::atomic<int>& adjustment = subject.group().oom_score_adj;
  if (wanted < adjustment.load() && !opener.Has(CAP_SYS_RESOURCE)) return Errno::kAcces;
  adjustment.store(static_cast<int>(wanted));
  return {};
}

ErrnoOrVoid StoreOomAdj(const Subject& subject, std::string_view text, const auth::Credentials& opener) {
  const int64_t wanted = TRY(kernfs::ParseNumber(text, kUnkillable, 15));
  const int64_t scaled = wanted == 15 ? 1000 : wanted * 1000 / -kUnkillable;
  return StoreOomScoreAdj(subject, absl::StrCat(scaled), opener);
}

// The owner writes it without a lock.
ErrnoOr<std::string> TimerSlackText(const Subject& subject) {
  const Ref<task::Task> task = TRY(subject.Get());
  return absl::StrCat(std::atomic_ref(task->timer_slack_ns).load(std::memory_order_relaxed), "\n");
}

ErrnoOrVoid StoreTimerSlack(const Subject& subject, std::string_view text, const auth::Credentials& opener) {
  const int64_t wanted = TRY(kernfs::ParseNumber(text, 0, INT64_MAX));
  const Ref<task::Task> task = TRY(subject.Get());
  if (task.get() != task::CurrentTask::Get() && !opener.Has(CAP_SYS_NICE)) return Errno::kPerm;
  std::atomic_ref(task->timer_slack_ns)
      .store(wanted == 0 ? 50'000 : static_cast<uint64_t>(wanted), std::memory_order_relaxed);
  return {};
}

ErrnoOr<std::string> IdMapText(const Subject&) { return absl::StrFormat("%10d %10d %10u\n", 0, 0, ~0u); }
ErrnoOr<std::string> SetGroupsText(const Subject&) { return std::string("allow\n"); }
ErrnoOr<std::string> LoginUidText(const Subject&) { return absl::StrCat(~0u); }
ErrnoOr<std::string> PersonalityText(const Subject& subject) {
  return absl::StrFormat("%08x\n", TRY(subject.Get())->personality.load());
}
ErrnoOr<std::string> CoredumpFilterText(const Subject& subject) {
  TRY(subject.Get());
  return absl::StrFormat("%08x\n", subject.group().coredump_filter.load());
}

// Linux: proc_coredump_filter_write: a number of any base, of which nine bits are kept.
ErrnoOrVoid StoreCoredumpFilter(const Subject& subject, std::string_view text, const auth::Credentials&) {
  constexpr uint32_t kBits = 0x1ff;
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty() || absl::ascii_isspace(static_cast<unsigned char>(text[0]))) return Errno::kInval;
  const std::string number(text);
  char* end = nullptr;
  errno = 0;
  const unsigned long wanted = strtoul(number.c_str(), &end, 0);
  if (end != number.c_str() + number.size() || number[0] == '-') return Errno::kInval;
  if (errno != 0 || wanted > UINT32_MAX) return Errno::kRange;
  TRY(subject.Get());
  subject.group().coredump_filter.store(static_cast<uint32_t>(wanted) & kBits);
  return {};
}

ErrnoOr<std::string> WchanText(const Subject&) { return std::string("0"); }
ErrnoOr<std::string> CgroupText(const Subject&) { return std::string("0::/\n"); }
ErrnoOr<std::string> CpusetText(const Subject&) { return std::string("/\n"); }

}  // namespace cloister::proc
