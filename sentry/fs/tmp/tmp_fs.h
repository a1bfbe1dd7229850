#ifndef CLOISTER_SENTRY_FS_TMP_TMP_FS_H_
#define CLOISTER_SENTRY_FS_TMP_TMP_FS_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/vfs/inode.h"
#include "sentry/vfs/mount.h"

namespace cloister::tmp {

inline constexpr uint64_t kPageSize = 4096;
constexpr uint64_t PagesOf(uint64_t bytes) { return bytes / kPageSize + (bytes % kPageSize != 0 ? 1 : 0); }

// mount(2)'s options, tmpfs(5).
struct TmpOptions {
  uint64_t max_bytes = 0;                          // size=, nr_blocks=; 0: no limit but the sandbox's
  uint64_t max_inodes = 0;                         // nr_inodes=; 0: no limit
  uint64_t default_bytes = 0, default_inodes = 0;  // what nobody asked for is not shown
  mode_t mode = 01777;                             // of the root directory
  uid_t uid = 0;
  gid_t gid = 0;

  // What a mount without options has: half of the memory, and an inode for every two pages of it.
  static TmpOptions DefaultsFor(uint64_t total_memory) {
    const uint64_t bytes = total_memory / 2, inodes = total_memory / kPageSize / 2;
    return {.max_bytes = bytes, .max_inodes = inodes, .default_bytes = bytes, .default_inodes = inodes};
  }
};

// "size=64m,mode=755,uid=0": kInval for what is unknown or does not parse. Unset limits are what
// `defaults` says.
ErrnoOr<TmpOptions> ParseTmpOptions(std::string_view text, const TmpOptions& defaults);

// A file system in memory, tmpfs(5). Data of regular files lies in the sentry while it is small,
// in a host memfd each otherwise; both are counted against the limits and the MemoryBudget. Thread-safe.
class TmpFs final : public vfs::FileSystem {
 public:
  explicit TmpFs(const TmpOptions& options) : options_(options) {}

  std::string_view type() const override { return "tmpfs"; }
  ErrnoOr<struct statfs> StatFs() override;
  std::string OptionsText() const override;

  uint64_t NextInodeNumber() { return next_inode_.fetch_add(1, std::memory_order_relaxed); }

  // Takes up to `pages` of the space that is left here and in the sandbox; says how many it got.
  uint64_t TakePages(uint64_t pages);
  void GivePages(uint64_t pages);
  // Counts what is there already, whatever the limit.
  void ForcePages(uint64_t pages);
  // False where nr_inodes= is reached. Extended attributes take of the same space. Linux: BOGO_INODE_SIZE.
  bool TakeInode() { return TakeInodeSpace(kInodeSpace); }
  void GiveInode() { GiveInodeSpace(kInodeSpace); }
  bool TakeInodeSpace(uint64_t bytes);
  void GiveInodeSpace(uint64_t bytes) { inode_space_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  static constexpr uint64_t kInodeSpace = 1024;

  const TmpOptions options_;
  std::atomic<uint64_t> next_inode_{1};
  std::atomic<uint64_t> pages_{0};
  std::atomic<uint64_t> inode_space_{0};
};

// A new tmpfs, ready to be attached. flags: mount(2)'s MS_…
Ref<vfs::Mount> MountTmp(const TmpOptions& options, uint64_t flags, std::string source = "tmpfs");

}  // namespace cloister::tmp

#endif  // CLOISTER_SENTRY_FS_TMP_TMP_FS_H_
