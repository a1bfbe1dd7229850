#include "sentry/task/usage.h"

#include <algorithm>

#include "sentry/task/kernel.h"
#include "sentry/task/task.h"
#include "sentry/task/thread_group.h"

namespace cloister::task {
namespace {

uint64_t ToNs(const timeval& t) { return t.tv_sec * uint64_t{1'000'000'000} + t.tv_usec * uint64_t{1000}; }

timeval FromNs(uint64_t ns) {
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<suseconds_t>(ns % 1'000'000'000 / 1000)};
}

}  // namespace

uint64_t ProcessCpuNs(const ThreadGroup& group) {
  Ref<mm::MemoryManager> mm;
  uint64_t ended;
  {
    absl::MutexLock lock(&group.kernel().tree_mu());
    ended = CpuNsOf(group.own_usage);
    if (!group.tasks.empty()) mm = group.tasks.front()->GetMm();
  }
  return ended + (mm ? mm->space().CpuTimeNs() : 0);
}

void AddCpuTime(rusage& sum, uint64_t cpu_ns) { sum.ru_utime = FromNs(ToNs(sum.ru_utime) + cpu_ns); }

void AddUsage(rusage& sum, const rusage& more) {
  sum.ru_utime = FromNs(ToNs(sum.ru_utime) + ToNs(more.ru_utime));
  sum.ru_stime = FromNs(ToNs(sum.ru_stime) + ToNs(more.ru_stime));
  sum.ru_maxrss = std::max(sum.ru_maxrss, more.ru_maxrss);
  sum.ru_minflt += more.ru_minflt;
  sum.ru_majflt += more.ru_majflt;
}

uint64_t CpuNsOf(const rusage& usage) { return ToNs(usage.ru_utime) + ToNs(usage.ru_stime); }

}  // namespace cloister::task
