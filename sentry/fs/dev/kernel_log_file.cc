#include "sentry/fs/dev/kernel_log_file.h"

#include <unistd.h>

#include <array>
#include <span>

namespace cloister::dev {
namespace {

constexpr size_t kLongestRecord = 1024;  // Linux: PRINTKRB_RECORD_MAX

}  // namespace

// Linux: devkmsg_open. To write alone, no capability is needed.
ErrnoOr<Ref<vfs::FileDescription>> KernelLogFile::Open(vfs::Inode& inode, const vfs::OpenRequest& request) {
  const bool reads = (request.flags & O_ACCMODE) != O_WRONLY;
  if (reads && !request.cred->Has(CAP_SYSLOG) && !request.cred->Has(CAP_SYS_ADMIN)) return Errno::kPerm;
  return Ref<vfs::FileDescription>(MakeRef<KernelLogFile>(request, Ref<vfs::Inode>(&inode)));
}

// Linux: devkmsg_write.
ErrnoOr<size_t> KernelLogFile::Write(UserBuffer& src) {
  if (src.size() > kLongestRecord) return Errno::kInval;
  std::array<std::byte, kLongestRecord> record;
  const size_t size = src.size();
  const size_t copied = TRY(src.CopyIn(std::span(record).first(size)));
  if (copied < size) return Errno::kFault;
  return size;
}

// Linux: devkmsg_llseek.
ErrnoOr<int64_t> KernelLogFile::Seek(int64_t offset, int whence) {
  if (offset != 0) return Errno::kSPipe;
  if (whence != SEEK_SET && whence != SEEK_END && whence != SEEK_DATA) return Errno::kInval;
  return 0;
}

}  // namespace cloister::dev
