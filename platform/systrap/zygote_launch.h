#ifndef CLOISTER_PLATFORM_SYSTRAP_ZYGOTE_LAUNCH_H_
#define CLOISTER_PLATFORM_SYSTRAP_ZYGOTE_LAUNCH_H_

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "platform/systrap/arena.h"

namespace cloister::systrap {

struct LaunchedZygote {
  pid_t pid = 0;
  UniqueFd listener;
};

// Executes the stub image as a child of this process, in a session of its own, without capabilities,
// descriptors, environment or arguments, and waits until its filter stands. Its context pages are
// stride `space` of the arena.
absl::StatusOr<LaunchedZygote> LaunchZygote(const Arena& arena, uint32_t space);

// How many threads one address space can have: each needs a descriptor number for lent files, and
// the hard limit RLIMIT_NOFILE may leave less than there are slots.
uint32_t SlotLimit();

struct Mapping {
  uint64_t begin = 0;
  uint64_t end = 0;
};
struct ZygoteMaps {
  Mapping vdso;                  // the image
  Mapping vdso_with_data;        // and the pages before it; empty where the host has none
  std::vector<Mapping> foreign;  // what execve(2) left besides, to be unmapped
};
// Reads /proc/<pid>/maps of a booted zygote.
absl::StatusOr<ZygoteMaps> ReadZygoteMaps(pid_t pid);

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_ZYGOTE_LAUNCH_H_
