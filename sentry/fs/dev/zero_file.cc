#include "sentry/fs/dev/zero_file.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <span>

#include "sentry/vfs/mount.h"

namespace cloister::dev {
namespace {

// How much is copied at once: enough to make the call into the other process cheap beside the
// bytes, little enough to look for signals in between.
constexpr size_t kChunk = 256 * 1024;

// Never written, so that all its pages are the host's one page of zeros, and stay in the cache.
std::span<const std::byte> Zeros() {
  static std::array<std::byte, kChunk> zeros;
  return zeros;
}

}  // namespace

size_t Swallow(UserBuffer& src) {
  const size_t size = src.size();
  src.Skip(size);
  return size;
}

// Linux: read_iter_zero.
ErrnoOr<size_t> ZeroSource::Read(UserBuffer& dst) {
  size_t total = 0;
  while (!dst.empty()) {
    const size_t want = std::min(dst.size(), kChunk);
    const ErrnoOr<size_t> copied = dst.CopyOut(Zeros().first(want));
    if (!copied.ok()) {
      if (total > 0) return total;
      return copied.error();
    }
    total += *copied;
    if (*copied < want || (interrupted_ != nullptr && interrupted_())) break;
  }
  return total;
}

ErrnoOr<size_t> ZeroFile::Write(UserBuffer& src) { return Swallow(src); }

mm::Mappable::Identity ZeroFile::identity() const {
  const auto attr = inode()->GetAttr();
  if (!attr.ok()) return {};
  return {makedev(attr->stx_dev_major, attr->stx_dev_minor), attr->stx_ino};
}

std::string ZeroFile::MappedName() const { return path() ? vfs::PathInMount(path()) : "/dev/zero"; }

}  // namespace cloister::dev
