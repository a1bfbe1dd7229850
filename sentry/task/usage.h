#ifndef CLOISTER_SENTRY_TASK_USAGE_H_
#define CLOISTER_SENTRY_TASK_USAGE_H_

#include <sys/resource.h>

#include <cstdint>

namespace cloister::task {

class ThreadGroup;

// CPU time of a process so far: its ended threads' and its host process'.
uint64_t ProcessCpuNs(const ThreadGroup& group);

// getrusage(2) sums. The host tells one CPU time for a process; it is shown as user time.
void AddCpuTime(rusage& sum, uint64_t cpu_ns);
void AddUsage(rusage& sum, const rusage& more);
uint64_t CpuNsOf(const rusage& usage);

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_USAGE_H_
