#ifndef CLOISTER_SENTRY_FS_DEV_KERNEL_LOG_FILE_H_
#define CLOISTER_SENTRY_FS_DEV_KERNEL_LOG_FILE_H_

#include "sentry/fs/dev/device_file.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::dev {

// /dev/kmsg, the log of a kernel that says nothing: a reader waits for ever. What is written counts
// as written and is kept nowhere. Linux: kmsg_fops, with dmesg_restrict set.
class KernelLogFile final : public DeviceFile {
 public:
  using DeviceFile::DeviceFile;

  // kPerm where the opener may not read the log.
  static ErrnoOr<Ref<vfs::FileDescription>> Open(vfs::Inode& inode, const vfs::OpenRequest& request);

  ErrnoOr<size_t> Read(UserBuffer&) override { return Errno::kAgain; }
  ErrnoOr<size_t> ReadAt(UserBuffer&, int64_t) override { return Errno::kAgain; }
  ErrnoOr<size_t> Write(UserBuffer& src) override;
  ErrnoOr<int64_t> Seek(int64_t offset, int whence) override;
  Poll Ready() const override { return Poll::kNone; }
  wait::WaitQueue* wait_queue() override { return &queue_; }

 private:
  wait::WaitQueue queue_;
};

}  // namespace cloister::dev

#endif  // CLOISTER_SENTRY_FS_DEV_KERNEL_LOG_FILE_H_
