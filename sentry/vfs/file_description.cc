#include "sentry/vfs/file_description.h"

#include <utility>

#include "sentry/vfs/dentry.h"
#include "sentry/vfs/file_events.h"
#include "sentry/vfs/file_locks.h"
#include "sentry/vfs/mount.h"

namespace cloister::vfs {
namespace {

constexpr int kSettable = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;
constexpr int kNeverKept = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;

}  // namespace

FileDescription::FileDescription(int flags, Path path, auth::CredRef cred)
    : access_(flags & ~(kSettable | kNeverKept)),
      status_(flags & kSettable),
      path_(std::move(path)),
      cred_(std::move(cred)) {}

FileDescription::~FileDescription() {
  if (written_) written_->GiveBackWriteAccess();
}

void FileDescription::KeepWriteAccess(Ref<Inode> inode) { written_ = std::move(inode); }

void FileDescription::OnLastRef() {
  RunReleaseHook();
  if (path_ && !is_path_only()) {
    FileEvents::TellPath(path_, writable() ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
  }
  if (const Ref<Inode> node = inode()) {
    if (FileLocks* const locks = node->locks_if_any()) locks->ReleaseAll(this);
  }
  delete this;
}

ErrnoOrVoid FileDescription::SetStatusFlags(int flags) {
  set_status(flags & kSettable);
  return {};
}

Ref<Inode> FileDescription::inode() const { return path_ ? path_.dentry()->inode() : nullptr; }
std::string FileDescription::Name() const { return ""; }

ErrnoOr<size_t> FileDescription::Read(UserBuffer&) { return Errno::kInval; }
ErrnoOr<size_t> FileDescription::Write(UserBuffer&) { return Errno::kInval; }
ErrnoOr<size_t> FileDescription::ReadAt(UserBuffer&, int64_t) { return Errno::kSPipe; }
ErrnoOr<size_t> FileDescription::WriteAt(UserBuffer&, int64_t) { return Errno::kSPipe; }
ErrnoOr<size_t> FileDescription::Append(UserBuffer&, int64_t*) { return Errno::kSPipe; }
ErrnoOr<int64_t> FileDescription::Seek(int64_t, int) { return Errno::kSPipe; }
ErrnoOr<int64_t> FileDescription::Ioctl(const IoctlRequest&) { return Errno::kNotTy; }
ErrnoOrVoid FileDescription::Sync(bool) { return Errno::kInval; }

ErrnoOrVoid FileDescription::Allocate(int, uint64_t, uint64_t) {
  const Ref<Inode> node = inode();
  return node && node->type() == S_IFIFO ? Errno::kSPipe : Errno::kNoDev;
}

}  // namespace cloister::vfs
