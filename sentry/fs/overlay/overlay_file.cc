#include "sentry/fs/overlay/overlay_file.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <limits>
#include <utility>

#include "sentry/vfs/dentry.h"
#include "sentry/vfs/mount.h"

namespace cloister::overlay {

using vfs::FileDescription;
using vfs::UserBuffer;

namespace {

// The layer's file has no place in the guest's tree: the overlay's has it, and tells of its end.
// What the mount says of access times goes with the flags.
int LayerFlags(const vfs::OpenRequest& request) {
  const bool keeps_atime = request.path.mount() && (request.path.mount()->flags() & MS_NOATIME) != 0;
  return keeps_atime ? request.flags | O_NOATIME : request.flags;
}

}  // namespace

ErrnoOr<Ref<FileDescription>> OverlayFile::Open(const vfs::OpenRequest& request) {
  const bool truncates = (request.flags & O_TRUNC) != 0;
  const bool writes = truncates || (request.flags & O_ACCMODE) != O_RDONLY;
  // O_EXCL comes with O_TMPFILE alone.
  if ((request.flags & O_EXCL) != 0) layers().AllowFirstName(false);
  if (writes) TRY_VOID(layers().CopyUpData(truncates ? 0 : std::numeric_limits<uint64_t>::max()));
  Ref<FileDescription> lower, upper;
  if (layers().data_is_upper()) {
    upper = TRY(layers().upper()->Open({LayerFlags(request), vfs::Path(), request.cred}));
  } else {
    lower = TRY(layers().lower()->Open({request.flags | O_NOATIME, vfs::Path(), request.cred}));
  }
  return MakeRef<OverlayOpenFile>(request, Ref<OverlayFile>(this), std::move(lower), std::move(upper));
}

OverlayOpenFile::OverlayOpenFile(const vfs::OpenRequest& request, Ref<OverlayFile> file,
                                 Ref<FileDescription> lower, Ref<FileDescription> upper)
    : SeekableFile(request.flags, request.path, request.cred),
      file_(std::move(file)),
      upper_flags_(LayerFlags(request) & ~O_TRUNC),
      lower_(std::move(lower)),
      upper_(upper.Release()) {}

OverlayOpenFile::~OverlayOpenFile() {
  Ref<FileDescription>::Adopt(upper_.load(std::memory_order_acquire)).reset();
}

ErrnoOr<FileDescription*> OverlayOpenFile::Real() {
  if (FileDescription* const upper = upper_.load(std::memory_order_acquire)) return upper;
  if (!file_->layers().data_is_upper()) return lower_.get();
  absl::MutexLock lock(&upper_mu_);
  if (FileDescription* const upper = upper_.load(std::memory_order_acquire)) return upper;
  Ref<FileDescription> opened = TRY(file_->layers().upper()->Open({upper_flags_, vfs::Path(), cred()}));
  upper_.store(opened.Release(), std::memory_order_release);
  return upper_.load(std::memory_order_acquire);
}

ErrnoOr<size_t> OverlayOpenFile::ReadAt(UserBuffer& dst, int64_t offset) {
  return TRY(Real())->ReadAt(dst, offset);
}

OverlayOpenFile::HostRead OverlayOpenFile::HostReadAt(size_t size, size_t least, int64_t offset) {
  const ErrnoOr<FileDescription*> real = Real();
  return real.ok() ? (*real)->HostReadAt(size, least, offset) : HostRead{};
}

ErrnoOr<size_t> OverlayOpenFile::WriteAt(UserBuffer& src, int64_t offset) {
  return TRY(Real())->WriteAt(src, offset);
}

ErrnoOr<size_t> OverlayOpenFile::Append(UserBuffer& src, int64_t* end) {
  return TRY(Real())->Append(src, end);
}

ErrnoOr<int64_t> OverlayOpenFile::Ioctl(const vfs::IoctlRequest& request) {
  return TRY(Real())->Ioctl(request);
}

ErrnoOrVoid OverlayOpenFile::Sync(bool data_only) {
  FileDescription* const upper = upper_.load(std::memory_order_acquire);
  return upper != nullptr ? upper->Sync(data_only) : Ok();  // what is only read needs no writing out
}

ErrnoOrVoid OverlayOpenFile::Allocate(int mode, uint64_t offset, uint64_t length) {
  return TRY(Real())->Allocate(mode, offset, length);
}

ErrnoOr<mm::Mappable::Backing> OverlayOpenFile::BackingFor(uint64_t offset, uint64_t length, bool shared,
                                                           bool writable) {
  mm::Mappable* const mappable = TRY(Real())->AsMappable();
  if (mappable == nullptr) return Errno::kNoDev;
  return mappable->BackingFor(offset, length, shared, writable);
}

mm::Mappable::Identity OverlayOpenFile::identity() const {
  return {file_->fs().device(), file_->layers().number()};
}

std::string OverlayOpenFile::MappedName() const { return path() ? vfs::PathInMount(path()) : ""; }

// The layer's file has a position of its own that nobody else uses.
ErrnoOr<uint64_t> OverlayOpenFile::Size() {
  return static_cast<uint64_t>(TRY(TRY(Real())->Seek(0, SEEK_END)));
}

ErrnoOr<int64_t> OverlayOpenFile::SeekHole(int64_t offset, bool data) {
  return TRY(Real())->Seek(offset, data ? SEEK_DATA : SEEK_HOLE);
}

}  // namespace cloister::overlay
