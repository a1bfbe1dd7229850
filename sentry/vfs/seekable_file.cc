#include <unistd.h>

#include <algorithm>
#include <limits>

#include "sentry/vfs/file_description.h"

namespace cloister::vfs {

ErrnoOr<size_t> SeekableFile::Read(UserBuffer& dst) {
  absl::MutexLock lock(&position_mu_);
  const size_t done = TRY(ReadAt(dst, position_));
  position_ += static_cast<int64_t>(done);
  return done;
}

SeekableFile::HostRead SeekableFile::BeginHostRead(size_t size, size_t least) {
  absl::MutexLock lock(&position_mu_);
  const HostRead read = HostReadAt(size, least, position_);
  position_ += static_cast<int64_t>(read.length);
  return read;
}

bool SeekableFile::UndoHostRead(const HostRead& read) {
  absl::MutexLock lock(&position_mu_);
  if (position_ != read.offset + static_cast<int64_t>(read.length)) return false;
  position_ = read.offset;
  return true;
}

ErrnoOr<size_t> SeekableFile::Write(UserBuffer& src) {
  absl::MutexLock lock(&position_mu_);
  if ((flags() & O_APPEND) != 0) return Append(src, &position_);
  const size_t done = TRY(WriteAt(src, position_));
  position_ += static_cast<int64_t>(done);
  return done;
}

ErrnoOr<size_t> SeekableFile::Append(UserBuffer& src, int64_t* end) {
  const Ref<Inode> node = inode();
  absl::MutexLock lock(&node->append_mu());
  const uint64_t size = TRY(Size());
  const size_t done = TRY(WriteAt(src, static_cast<int64_t>(size)));
  *end = static_cast<int64_t>(size + done);
  return done;
}

ErrnoOr<int64_t> SeekableFile::SeekHole(int64_t offset, bool data) {
  const uint64_t size = TRY(Size());
  if (offset < 0 || static_cast<uint64_t>(offset) >= size) return Errno::kNxIo;
  return data ? offset : static_cast<int64_t>(size);
}

ErrnoOr<int64_t> SeekableFile::Seek(int64_t offset, int whence) {
  absl::MutexLock lock(&position_mu_);
  int64_t base = 0;
  switch (whence) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      base = position_;
      break;
    case SEEK_END:
      base = static_cast<int64_t>(std::min<uint64_t>(TRY(Size()), std::numeric_limits<int64_t>::max()));
      break;
    case SEEK_DATA:
    case SEEK_HOLE:
      position_ = TRY(SeekHole(offset, whence == SEEK_DATA));
      return position_;
    default:
      return Errno::kInval;
  }
  int64_t target;
  if (__builtin_add_overflow(base, offset, &target)) return offset > 0 ? Errno::kOverflow : Errno::kInval;
  if (target < 0) return Errno::kInval;
  position_ = target;
  return target;
}

}  // namespace cloister::vfs
