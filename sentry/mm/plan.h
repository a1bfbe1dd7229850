#ifndef CLOISTER_SENTRY_MM_PLAN_H_
#define CLOISTER_SENTRY_MM_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "platform/api/host_op.h"
#include "sentry/mm/area_list.h"
#include "sentry/mm/mappable.h"

namespace cloister::mm {

using platform::HostOp;

// What the stopped guest thread is to run, and what the syscall then returns. The areas have been
// changed already; if an operation fails on the host, call Failed with the plan. No operations:
// there is nothing to do on the host.
struct Plan {
  uint64_t result = 0;
  absl::InlinedVector<HostOp, 4> ops;
  std::vector<MappedFile> keep;  // files whose descriptors ops use
  uint64_t start = 0, end = 0;   // the range that is touched; empty: the list does not change

  // What the syscall returns if the host refuses; unset: the host's errno. (brk: the old break.)
  std::optional<uint64_t> result_if_failed;

  // For Failed: what was there before. Drop the plan where no lock is held: it may hold the last
  // reference to a file.
  std::vector<Area> before;
  uint64_t moved_start = 0, moved_end = 0;  // mremap: the second range that is touched
  std::optional<uint64_t> brk_before;
};

struct Limits {
  uint64_t address_space = ~uint64_t{0};  // RLIMIT_AS
  uint64_t data = ~uint64_t{0};           // RLIMIT_DATA
  uint64_t stack = 8 << 20;               // RLIMIT_STACK
  uint64_t locked = ~uint64_t{0};         // RLIMIT_MEMLOCK; with CAP_IPC_LOCK: no limit
};

}  // namespace cloister::mm

#endif  // CLOISTER_SENTRY_MM_PLAN_H_
