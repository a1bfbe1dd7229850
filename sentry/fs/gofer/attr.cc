#include "sentry/fs/gofer/attr.h"

#include <algorithm>
#include <limits>

namespace cloister::goferfs {
namespace {

constexpr uint32_t kNanosecondsPerSecond = 1'000'000'000;
constexpr uint64_t kMaxSize = std::numeric_limits<int64_t>::max();

statx_timestamp Timestamp(int64_t sec, uint32_t nsec) {
  return {.tv_sec = sec, .tv_nsec = nsec < kNanosecondsPerSecond ? nsec : 0};
}

statx_timestamp Timestamp(const timespec& time) {
  return Timestamp(time.tv_sec, static_cast<uint32_t>(time.tv_nsec));
}

}  // namespace

void FromMessage(const gofer::Attr& attr, struct statx* to) {
  to->stx_mask = attr.mask() & (STATX_BASIC_STATS | STATX_BTIME);
  to->stx_mode = static_cast<uint16_t>(attr.mode());
  to->stx_nlink = attr.nlink();
  to->stx_uid = attr.uid();
  to->stx_gid = attr.gid();
  to->stx_size = std::min(attr.size(), kMaxSize);
  to->stx_blocks = attr.blocks();
  to->stx_blksize = attr.blksize();
  to->stx_atime = Timestamp(attr.atime_sec(), attr.atime_nsec());
  to->stx_mtime = Timestamp(attr.mtime_sec(), attr.mtime_nsec());
  to->stx_ctime = Timestamp(attr.ctime_sec(), attr.ctime_nsec());
  to->stx_btime = Timestamp(attr.btime_sec(), attr.btime_nsec());
  to->stx_rdev_major = attr.rdev_major();
  to->stx_rdev_minor = attr.rdev_minor();
  constexpr uint64_t kShown = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP;
  to->stx_attributes = attr.attributes() & kShown;
  to->stx_attributes_mask = kShown;
}

void FromHost(const struct stat& host, struct statx* to) {
  to->stx_mode = static_cast<uint16_t>(host.st_mode);
  to->stx_nlink = static_cast<uint32_t>(host.st_nlink);
  to->stx_size = static_cast<uint64_t>(host.st_size);
  to->stx_blocks = static_cast<uint64_t>(host.st_blocks);
  to->stx_blksize = static_cast<uint32_t>(host.st_blksize);
  to->stx_atime = Timestamp(host.st_atim);
  to->stx_mtime = Timestamp(host.st_mtim);
  to->stx_ctime = Timestamp(host.st_ctim);
}

}  // namespace cloister::goferfs
