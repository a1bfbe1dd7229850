#ifndef CLOISTER_SENTRY_FS_GOFER_GOFER_FS_H_
#define CLOISTER_SENTRY_FS_GOFER_GOFER_FS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/host/unique_fd.h"
#include "gofer/protocol/gofer.pb.h"
#include "sentry/fs/gofer/client.h"
#include "sentry/fs/gofer/node_cache.h"
#include "sentry/vfs/inode.h"
#include "sentry/vfs/mount.h"

namespace cloister::goferfs {

class GoferDirectory;

// The gofer's channel with what all its mounts share. Made once at boot.
struct Gofer : public RefCounted {
  // Holds nodes and descriptors for at most half of what gofer and sentry may have open.
  explicit Gofer(Ref<GoferClient> gofer_client);

  const Ref<GoferClient> client;
  NodeCache cache;
};

struct GoferMountOptions {
  uint32_t attach = 0;  // index of GoferConfig.attach
  bool shared = false;  // others may change it: --file-access=shared
  uint64_t flags = 0;   // mount(2)'s MS_…
  std::string source;   // as /proc/mounts shows it
};

// One attach point of the gofer: a tree of host files. Thread-safe.
class GoferFs final : public vfs::FileSystem {
 public:
  // The attach point's root (a directory or a file), ready to be attached.
  static ErrnoOr<Ref<vfs::Mount>> Mount(Ref<Gofer> gofer, const GoferMountOptions& options);

  std::string_view type() const override { return "9p"; }
  ErrnoOr<struct statfs> StatFs() override;
  bool read_only() const override { return readonly_; }

  bool shared() const { return shared_; }
  // Somebody outside may just have changed files: what exclusive file systems have believed so far is asked
  // for again. Names that dentries hold are the caller's to forget.
  static void Distrust() { distrusted_.fetch_add(1, std::memory_order_relaxed); }
  // How often that has been said.
  static uint64_t distrusted() { return distrusted_.load(std::memory_order_relaxed); }
  GoferClient& client() const { return *gofer_->client; }
  NodeCache& cache() const { return gofer_->cache; }

  // The inode for what a reply named: the one that is known already, or a new one. parent is null
  // for a file without a name; fd, if any, is the file opened for reading (or writing). kIo for a
  // reply that makes no sense.
  ErrnoOr<Ref<vfs::Inode>> Obtain(const gofer::Node& node, Ref<GoferDirectory> parent, std::string_view name,
                                  UniqueFd fd = UniqueFd(), bool writable = false) ABSL_LOCKS_EXCLUDED(mu_);

  // The host's files are known by device and inode number.
  using Key = std::pair<uint64_t, uint64_t>;
  static Key KeyOf(const gofer::Attr& attr);
  // What the guest sees as st_ino: the host's, made different where another host device lies inside.
  uint64_t InodeNumber(const Key& key) ABSL_LOCKS_EXCLUDED(mu_);

  // The file is gone on the host: a new one may get its number.
  void Drop(const Key& key, const vfs::Inode* inode) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);
  GoferFs(Ref<Gofer> gofer, const GoferMountOptions& options)
      : gofer_(std::move(gofer)), shared_(options.shared) {}

  // The live inode of this file, or null.
  Ref<vfs::Inode> FindLocked(const Key& key, mode_t type) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  Ref<vfs::Inode> Make(const gofer::Node& node, Ref<GoferDirectory> parent, std::string_view name);

  static inline std::atomic<uint64_t> distrusted_{0};
  const Ref<Gofer> gofer_;
  const bool shared_;
  bool readonly_ = false;   // fixed by Mount
  uint64_t root_node_ = 0;  // fixed by Mount
  absl::Mutex mu_;          // leaf
  // Holds no references: an inode that is being destroyed is not found.
  absl::flat_hash_map<Key, vfs::Inode*> inodes_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, uint64_t> devices_ ABSL_GUARDED_BY(mu_);  // host device → 0, 1, 2 …
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_GOFER_FS_H_
