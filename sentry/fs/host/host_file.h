#ifndef CLOISTER_SENTRY_FS_HOST_HOST_FILE_H_
#define CLOISTER_SENTRY_FS_HOST_HOST_FILE_H_

#include <string>

#include "base/host/unique_fd.h"
#include "sentry/fs/host/host_inode.h"
#include "sentry/mm/mappable.h"
#include "sentry/vfs/file_description.h"

namespace cloister::hostfs {

// An open file over a donated stream: pipe, socket, terminal (the host's line discipline then
// serves it, and it controls no session of the guest), /dev/null or another character device.
class HostStream final : public vfs::FileDescription {
 public:
  HostStream(int flags, vfs::Path path, auth::CredRef cred, Ref<HostInode> inode);

  ErrnoOr<size_t> Read(vfs::UserBuffer& dst) override;
  ErrnoOr<size_t> Write(vfs::UserBuffer& src) override;
  Poll Ready() const override { return descriptor().Ready(); }
  wait::WaitQueue* wait_queue() override { return descriptor().queue(); }
  // FIONREAD; of a terminal also its modes and window size, tty_ioctl(4).
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;
  Ref<vfs::Inode> inode() const override { return inode_; }
  std::string Name() const override { return inode_->Name(); }

 private:
  HostDescriptor& descriptor() const { return inode_->descriptor(); }
  const Ref<HostInode> inode_;
};

// An open file over a donated regular file. The position is the host's own and so shared with
// whoever else has the descriptor: `(a; runsc run b) > log` goes on where a ended.
class HostRegularFile final : public vfs::FileDescription, public mm::Mappable {
 public:
  HostRegularFile(int flags, vfs::Path path, auth::CredRef cred, Ref<HostInode> inode);

  ErrnoOr<size_t> Read(vfs::UserBuffer& dst) override { return ReadAt(dst, -1); }
  ErrnoOr<size_t> Write(vfs::UserBuffer& src) override;
  ErrnoOr<size_t> ReadAt(vfs::UserBuffer& dst, int64_t offset) override;
  ErrnoOr<size_t> WriteAt(vfs::UserBuffer& src, int64_t offset) override;
  ErrnoOr<size_t> Append(vfs::UserBuffer& src, int64_t* end) override;
  ErrnoOr<int64_t> Seek(int64_t offset, int whence) override;
  ErrnoOrVoid Sync(bool data_only) override;
  Ref<vfs::Inode> inode() const override { return inode_; }
  std::string Name() const override { return inode_->Name(); }

  mm::Mappable* AsMappable() override { return this; }
  ErrnoOr<Backing> BackingFor(uint64_t offset, uint64_t length, bool shared, bool writable) override;
  Identity identity() const override { return {inode_->fs().device(), inode_->number()}; }
  std::string MappedName() const override { return inode_->Name(); }

 private:
  ErrnoOr<size_t> Put(vfs::UserBuffer& src, int64_t offset, bool append);
  HostDescriptor& descriptor() const { return inode_->descriptor(); }
  const Ref<HostInode> inode_;
};

// A description over inode, of the class that fits its kind. flags as open(2)'s.
Ref<vfs::FileDescription> MakeDescription(int flags, vfs::Path path, auth::CredRef cred,
                                          Ref<HostInode> inode);

// Makes a donated descriptor an open file of the guest, owned by uid and gid. Its access mode is
// the host's. kInval for directories, block devices and O_PATH descriptors.
ErrnoOr<Ref<vfs::FileDescription>> ImportHostFile(UniqueFd fd, uid_t uid, gid_t gid, auth::CredRef cred);

}  // namespace cloister::hostfs

#endif  // CLOISTER_SENTRY_FS_HOST_HOST_FILE_H_
