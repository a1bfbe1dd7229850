#ifndef CLOISTER_RUNSC_SERVE_USAGE_H_
#define CLOISTER_RUNSC_SERVE_USAGE_H_

#include <cstdint>

#include "runsc/cgroup/group.h"

namespace cloister::serve {

// What the processes of a group have used since it was made; 0 where the host does not count it.
uint64_t CpuMicroseconds(const cgroup::Group& group);
uint64_t PeakMemory(const cgroup::Group& group);  // bytes

// SIGKILL to every process of the group, for a sandbox that does not end by itself.
void KillAll(const cgroup::Group& group);

// Whether the host can limit swap.
bool CountsSwap(const cgroup::Group& group);

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_USAGE_H_
