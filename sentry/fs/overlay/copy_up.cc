#include "sentry/fs/overlay/copy_up.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "sentry/vfs/caller.h"
#include "sentry/vfs/file_description.h"

namespace cloister::overlay {
namespace {

using usermem::UserBuffer;
using vfs::FileDescription;
using vfs::Inode;

constexpr uint64_t kChunk = 256 << 10;

vfs::AttrChange::Time ToChange(const statx_timestamp& time) {
  timespec at = {};
  at.tv_sec = static_cast<time_t>(time.tv_sec);
  at.tv_nsec = static_cast<long>(time.tv_nsec);
  return {false, at};
}

vfs::AttrChange TimesOf(const struct statx& attr) {
  return {.atime = ToChange(attr.stx_atime), .mtime = ToChange(attr.stx_mtime)};
}

// What the lower layer will not show is left out, as Linux does with what the upper cannot take.
ErrnoOrVoid CopyXattrs(Inode& lower, Inode& upper) {
  const ErrnoOr<std::vector<std::string>> names = lower.ListXattr();
  if (!names.ok()) return {};
  for (const std::string& name : *names) {
    const ErrnoOr<std::string> value = lower.GetXattr(name);
    if (!value.ok()) continue;
    const ErrnoOrVoid set = upper.SetXattr(name, *value, 0);
    if (!set.ok() && set.error() != Errno::kOpNotSupp) return set;
  }
  return {};
}

ErrnoOrVoid WriteAll(FileDescription& to, std::span<const std::byte> bytes, int64_t at) {
  UserBuffer buffer = UserBuffer::KernelConst(bytes);
  while (!buffer.empty()) {
    const size_t put = TRY(to.WriteAt(buffer, at));
    if (put == 0) return Errno::kIo;
    at += static_cast<int64_t>(put);
  }
  return {};
}

ErrnoOrVoid CopyRange(FileDescription& from, FileDescription& to, int64_t at, int64_t end,
                      std::span<std::byte> memory) {
  while (at < end) {
    const size_t want = std::min(memory.size(), static_cast<size_t>(end - at));
    UserBuffer space = UserBuffer::Kernel(memory.first(want));
    const size_t got = TRY(from.ReadAt(space, at));
    if (got == 0) return {};
    TRY_VOID(WriteAll(to, memory.first(got), at));
    at += static_cast<int64_t>(got);
  }
  return {};
}

ErrnoOrVoid CopyPieces(FileDescription& from, FileDescription& to, int64_t size) {
  std::vector<std::byte> memory(static_cast<size_t>(std::min<int64_t>(size, kChunk)));
  int64_t at = 0;
  while (at < size) {
    const ErrnoOr<int64_t> data = from.Seek(at, SEEK_DATA);
    if (!data.ok() && data.error() == Errno::kNxIo) return {};  // nothing but a hole is left
    const ErrnoOr<int64_t> hole = data.ok() ? from.Seek(*data, SEEK_HOLE) : data;
    const bool known = hole.ok() && *hole > *data && *data >= at;
    const int64_t begin = known ? *data : at;
    const int64_t end = known ? std::min(*hole, size) : size;
    TRY_VOID(CopyRange(from, to, begin, end, memory));
    at = end;
  }
  return {};
}

}  // namespace

ErrnoOr<Ref<Inode>> CopyNode(OverlayFs& fs, Inode& lower) {
  const struct statx attr = TRY(lower.GetAttr());
  const vfs::NewNode node{attr.stx_mode, attr.stx_uid, attr.stx_gid,
                          makedev(attr.stx_rdev_major, attr.stx_rdev_minor)};
  Ref<Inode> made;
  if (vfs::SymlinkInode* const link = lower.AsSymlink()) {
    made = TRY(fs.NewUpperSymlink(TRY(link->Readlink(vfs::Caller())), node));
  } else {
    made = TRY(fs.NewUpper(node));
  }
  TRY_VOID(CopyXattrs(lower, *made));
  TRY_VOID(made->SetAttr(TimesOf(attr)));
  return made;
}

ErrnoOrVoid CopyData(Inode& lower, Inode& upper, uint64_t bytes) {
  const uint64_t size = std::min<uint64_t>(TRY(lower.GetAttr()).stx_size, bytes);
  vfs::AttrChange finish = TimesOf(TRY(upper.GetAttr()));
  finish.size = size;
  if (size > 0) {
    const auto from = TRY(lower.Open({O_RDONLY | O_NOATIME, vfs::Path(), auth::Credentials::Root()}));
    const auto to = TRY(upper.Open({O_RDWR, vfs::Path(), auth::Credentials::Root()}));
    const ErrnoOrVoid copied = CopyPieces(*from, *to, static_cast<int64_t>(size));
    if (!copied.ok()) {
      finish.size = 0;
      TRY_VOID(upper.SetAttr(finish));
      return copied;
    }
  }
  return upper.SetAttr(finish);
}

}  // namespace cloister::overlay
