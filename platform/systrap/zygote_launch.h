#ifndef CLOISTER_PLATFORM_SYSTRAP_ZYGOTE_LAUNCH_H_
#define CLOISTER_PLATFORM_SYSTRAP_ZYGOTE_LAUNCH_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "platform/systrap/arena.h"

namespace cloister::systrap {

struct LaunchedZygote {
  pid_t pid = 0;
  UniqueFd listener;
  // What execve(2) left that is to stay: [vdso_data, vdso_end) with the image from vdso_begin on. All 0
  // where the host has no vDSO.
  uint64_t vdso_data = 0, vdso_begin = 0, vdso_end = 0;
};

// Executes the stub image as a child of this process, in a session of its own, without capabilities,
// descriptors, environment or arguments, and waits until its filter stands. Its context pages are
// stride `space` of the arena.
absl::StatusOr<LaunchedZygote> LaunchZygote(const Arena& arena, uint32_t space);

// How many threads one address space can have: each needs a descriptor number for lent files, and
// the hard limit RLIMIT_NOFILE may leave less than there are slots.
uint32_t SlotLimit();

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_ZYGOTE_LAUNCH_H_
