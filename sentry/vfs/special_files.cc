#include "sentry/vfs/special_files.h"

#include <sys/sysmacros.h>

#include <utility>

namespace cloister::vfs {

SpecialFiles& SpecialFiles::Get() {
  static SpecialFiles* const files = new SpecialFiles;
  return *files;
}

void SpecialFiles::SetFifoOpener(Opener opener) {
  absl::MutexLock lock(&mu_);
  fifo_ = std::move(opener);
}

void SpecialFiles::RegisterDevice(mode_t type, unsigned major, unsigned minor, Opener opener) {
  absl::MutexLock lock(&mu_);
  devices_[{type, major, minor}] = std::move(opener);
}

SpecialFiles::Opener SpecialFiles::FindLocked(mode_t type, dev_t rdev) const {
  if (type == S_IFIFO) return fifo_;
  auto found = devices_.find({type, major(rdev), minor(rdev)});
  if (found == devices_.end()) found = devices_.find({type, major(rdev), kAnyMinor});
  return found == devices_.end() ? Opener() : found->second;
}

ErrnoOr<Ref<FileDescription>> SpecialFiles::Open(Inode& inode, dev_t rdev, const OpenRequest& request) {
  Opener opener;
  {
    absl::ReaderMutexLock lock(&mu_);
    opener = FindLocked(inode.type(), rdev);
  }
  if (!opener) return Errno::kNxIo;
  return opener(inode, request);
}

ErrnoOr<Ref<FileDescription>> OpenSpecial(Inode& inode, dev_t rdev, const OpenRequest& request) {
  return SpecialFiles::Get().Open(inode, rdev, request);
}

}  // namespace cloister::vfs
