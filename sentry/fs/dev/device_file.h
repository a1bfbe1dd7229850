#ifndef CLOISTER_SENTRY_FS_DEV_DEVICE_FILE_H_
#define CLOISTER_SENTRY_FS_DEV_DEVICE_FILE_H_

#include <utility>

#include "sentry/vfs/file_description.h"

namespace cloister::dev {

using usermem::UserBuffer;
using wait::Poll;

// Whether a long transfer should end here: RegisterMemoryDevices' argument.
using InterruptedFn = bool (*)();

// An open device whose position means nothing: it stays 0, and what is read or written at an offset
// is the same as anywhere else.
class DeviceFile : public vfs::FileDescription {
 public:
  DeviceFile(const vfs::OpenRequest& request, Ref<vfs::Inode> inode)
      : FileDescription(request.flags, request.path, request.cred), inode_(std::move(inode)) {}

  Ref<vfs::Inode> inode() const override { return inode_; }

  // None of these devices can do O_DIRECT, which Linux refuses with EINVAL here and at open(2).
  ErrnoOrVoid SetStatusFlags(int flags) override {
    if ((flags & O_DIRECT) != 0) return Errno::kInval;
    return FileDescription::SetStatusFlags(flags);
  }

  ErrnoOr<size_t> ReadAt(UserBuffer& dst, int64_t) override { return Read(dst); }
  ErrnoOr<size_t> WriteAt(UserBuffer& src, int64_t) override { return Write(src); }
  ErrnoOr<size_t> Append(UserBuffer& src, int64_t* end) override {
    *end = 0;
    return Write(src);
  }
  // Whatever was asked for. Linux: null_lseek.
  ErrnoOr<int64_t> Seek(int64_t, int) override { return 0; }

 private:
  const Ref<vfs::Inode> inode_;
};

}  // namespace cloister::dev

#endif  // CLOISTER_SENTRY_FS_DEV_DEVICE_FILE_H_
