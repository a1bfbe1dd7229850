#ifndef CLOISTER_SENTRY_FS_SYS_NET_CLASS_H_
#define CLOISTER_SENTRY_FS_SYS_NET_CLASS_H_

#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/synchronization/mutex.h"
#include "sentry/fs/sys/sys_nodes.h"

namespace cloister::sys {

// The interfaces of the sandbox's network stack by name, as they are when asked: class/net, where
// each is a link, and devices/virtual/net, where each is a directory.
class NetDirectory final : public kernfs::Directory {
 public:
  enum class Shows { kLinks, kDevices };
  NetDirectory(Ref<kernfs::Tree> tree, Shows shows)
      : Directory(std::move(tree), {.mode = 0755, .links = 2}), shows_(shows) {}

  Cache cache() const override { return Cache::kRevalidate; }
  ErrnoOr<Ref<vfs::Inode>> Lookup(std::string_view name) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Ref<vfs::Inode> NodeLocked(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Shows shows_;
  absl::Mutex mu_;  // above NodeAttr's
  absl::btree_map<std::string, Ref<vfs::Inode>> nodes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::sys

#endif  // CLOISTER_SENTRY_FS_SYS_NET_CLASS_H_
