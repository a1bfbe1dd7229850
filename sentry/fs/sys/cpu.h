#ifndef CLOISTER_SENTRY_FS_SYS_CPU_H_
#define CLOISTER_SENTRY_FS_SYS_CPU_H_

#include <cstdint>
#include <string>

#include "sentry/fs/sys/sys_nodes.h"
#include "sentry/task/kernel.h"

namespace cloister::sys {

// "0-3"; "0" for a single CPU.
std::string CpuList(uint32_t count);
// CPUs [first, end) of `count` as bitmaps are shown: groups of 32 bits, the highest first, "f,ffffffff".
std::string CpuMap(uint32_t first, uint32_t end, uint32_t count);

// devices/system/cpu: one package, every CPU a core of its own.
void FillCpus(const task::Machine& machine, Folder& cpus);
// devices/system/node: all CPUs and all memory in node 0.
void FillNodes(task::Kernel& kernel, Folder& nodes);

}  // namespace cloister::sys

#endif  // CLOISTER_SENTRY_FS_SYS_CPU_H_
