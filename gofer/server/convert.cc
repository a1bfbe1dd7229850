#include "gofer/server/convert.h"

#include <cstring>
#include <utility>

namespace cloister::gofer {
namespace {

constexpr uint32_t kNanosecondsPerSecond = 1'000'000'000;
constexpr uint32_t kAllBits = 255;

ErrnoOr<timespec> ToTime(bool set, bool now, int64_t sec, uint32_t nsec) {
  if (!set) return timespec{0, UTIME_OMIT};
  if (now) return timespec{0, UTIME_NOW};
  if (nsec >= kNanosecondsPerSecond) return Errno::kInval;
  return timespec{sec, nsec};
}

}  // namespace

void ToMessage(const struct statx& from, Attr* to) {
  to->set_mask(from.stx_mask);
  to->set_mode(from.stx_mode);
  to->set_nlink(from.stx_nlink);
  to->set_uid(from.stx_uid);
  to->set_gid(from.stx_gid);
  to->set_ino(from.stx_ino);
  to->set_size(from.stx_size);
  to->set_blocks(from.stx_blocks);
  to->set_blksize(from.stx_blksize);
  to->set_atime_sec(from.stx_atime.tv_sec);
  to->set_atime_nsec(from.stx_atime.tv_nsec);
  to->set_mtime_sec(from.stx_mtime.tv_sec);
  to->set_mtime_nsec(from.stx_mtime.tv_nsec);
  to->set_ctime_sec(from.stx_ctime.tv_sec);
  to->set_ctime_nsec(from.stx_ctime.tv_nsec);
  to->set_btime_sec(from.stx_btime.tv_sec);
  to->set_btime_nsec(from.stx_btime.tv_nsec);
  to->set_rdev_major(from.stx_rdev_major);
  to->set_rdev_minor(from.stx_rdev_minor);
  to->set_dev_major(from.stx_dev_major);
  to->set_dev_minor(from.stx_dev_minor);
  to->set_mnt_id(from.stx_mnt_id);
  to->set_attributes(from.stx_attributes);
}

void ToMessage(const struct statfs& from, StatFsReply* to) {
  to->set_type(static_cast<uint64_t>(from.f_type));
  to->set_block_size(static_cast<uint64_t>(from.f_bsize));
  to->set_blocks(from.f_blocks);
  to->set_blocks_free(from.f_bfree);
  to->set_blocks_available(from.f_bavail);
  to->set_files(from.f_files);
  to->set_files_free(from.f_ffree);
  to->set_name_max(static_cast<uint64_t>(from.f_namelen));
  to->set_fragment_size(static_cast<uint64_t>(from.f_frsize));
  to->set_flags(static_cast<uint64_t>(from.f_flags));
  uint64_t fsid;
  static_assert(sizeof fsid == sizeof from.f_fsid);
  memcpy(&fsid, &from.f_fsid, sizeof fsid);
  to->set_fsid(fsid);
}

void ToMessage(DirEntry& from, Entry* to) {
  to->set_name(std::move(from.name));
  to->set_type(from.type);
  to->set_ino(from.ino);
  if (from.attr) ToMessage(*from.attr, to->mutable_attr());
  if (!from.target.empty()) to->set_target(std::move(from.target));
}

NewOwner ToOwner(const Owner& from) { return {from.mode(), from.uid(), from.gid()}; }

ErrnoOr<AttrChange> ToChange(const SetAttrRequest& from) {
  const uint32_t mask = from.mask();
  if ((mask & ~kAllBits) != 0) return Errno::kInval;
  AttrChange change;
  if (mask & SetAttrRequest::MODE) change.mode = from.mode();
  if (mask & SetAttrRequest::UID) change.uid = from.uid();
  if (mask & SetAttrRequest::GID) change.gid = from.gid();
  if (mask & SetAttrRequest::SIZE) change.size = from.size();
  change.atime = TRY(ToTime((mask & SetAttrRequest::ATIME) != 0, (mask & SetAttrRequest::ATIME_NOW) != 0,
                            from.atime_sec(), from.atime_nsec()));
  change.mtime = TRY(ToTime((mask & SetAttrRequest::MTIME) != 0, (mask & SetAttrRequest::MTIME_NOW) != 0,
                            from.mtime_sec(), from.mtime_nsec()));
  return change;
}

}  // namespace cloister::gofer
