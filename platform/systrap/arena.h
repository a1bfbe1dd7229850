#ifndef CLOISTER_PLATFORM_SYSTRAP_ARENA_H_
#define CLOISTER_PLATFORM_SYSTRAP_ARENA_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/host/unique_fd.h"
#include "platform/stub/context.h"

namespace cloister::systrap {

// The memfd that holds the context pages of all address spaces: stride i belongs to address space i
// and is mapped there and here, nowhere else. Sparse: pages exist once they are touched. Thread-safe.
class Arena {
 public:
  // Reserves room for `spaces` address spaces: 32 MiB of addresses each.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(uint32_t spaces);
  ~Arena();
  Arena(const Arena&) = delete;

  int fd() const { return fd_.get(); }

  // A stride of zeroes; kAgain if all are taken.
  ErrnoOr<uint32_t> Take() ABSL_LOCKS_EXCLUDED(mu_);
  // Gives back a stride that no process maps any more, and its pages where there are many: the few of most
  // processes are cleared for the next one.
  void Give(uint32_t space) ABSL_LOCKS_EXCLUDED(mu_);

  static uint64_t Offset(uint32_t space) { return space * stub::kContextRegionBytes; }
  stub::Context* context(uint32_t space, uint32_t slot) const {
    return reinterpret_cast<stub::Context*>(base_ + Offset(space) + slot * stub::kContextBytes);
  }

 private:
  bool ClearFew(uint32_t space);

  Arena(UniqueFd fd, char* base, uint32_t spaces) : fd_(std::move(fd)), base_(base), spaces_(spaces) {}

  const UniqueFd fd_;
  char* const base_;
  const uint32_t spaces_;
  absl::Mutex mu_;  // leaf lock
  uint32_t fresh_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_ARENA_H_
