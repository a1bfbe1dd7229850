#ifndef CLOISTER_SENTRY_FS_HOST_HOST_INODE_H_
#define CLOISTER_SENTRY_FS_HOST_HOST_INODE_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sentry/fs/host/host_descriptor.h"
#include "sentry/vfs/inode.h"

namespace cloister::hostfs {

// What fstat(2) shows of a donated descriptor: the host's type, permissions, size and times, but
// numbers and an owner of the sandbox's own. Opened again through /proc/PID/fd (`> /dev/stdout`).
class HostInode final : public vfs::Inode {
 public:
  // uid, gid: the container's user, who owns its standard streams as runc gives them away.
  HostInode(Ref<HostDescriptor> descriptor, const struct stat& st, uid_t uid, gid_t gid);

  HostDescriptor& descriptor() const { return *descriptor_; }
  uint64_t number() const { return number_; }
  // "pipe:[7]", "/dev/null"; never a path of the host.
  std::string Name() const;

  ErrnoOr<struct statx> GetAttr() override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<vfs::Ownership> GetOwnership() override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override ABSL_LOCKS_EXCLUDED(mu_);
  // A description of its own over the same host descriptor. kAcces where that does not allow the mode.
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override;

 private:
  const Ref<HostDescriptor> descriptor_;
  const uint64_t number_;
  const dev_t rdev_;
  absl::Mutex mu_;  // leaf
  vfs::Ownership owner_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::hostfs

#endif  // CLOISTER_SENTRY_FS_HOST_HOST_INODE_H_
