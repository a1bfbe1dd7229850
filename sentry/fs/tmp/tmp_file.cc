#include "sentry/fs/tmp/tmp_file.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <utility>

#include "sentry/vfs/dentry.h"
#include "sentry/vfs/mount.h"

namespace cloister::tmp {
namespace {

bool KeepsAtime(const vfs::Path& path) { return path.mount() && (path.mount()->flags() & MS_NOATIME) != 0; }

}  // namespace

ErrnoOr<struct statx> TmpFile::GetAttr() {
  struct statx attr = state().Attr();
  attr.stx_size = data_.size();
  constexpr uint64_t kBlock = 512;
  attr.stx_blocks = data_.Used() / kBlock;
  return attr;
}

ErrnoOrVoid TmpFile::SetAttr(const vfs::AttrChange& change) {
  if (change.size) {
    TRY_VOID(data_.Resize(*change.size));
    state().Touch(NodeState::kModify);
  }
  state().Change(change);
  return {};
}

ErrnoOr<Ref<vfs::FileDescription>> TmpFile::Open(const vfs::OpenRequest& request) {
  if ((request.flags & O_TRUNC) != 0) TRY_VOID(SetAttr({.size = 0}));
  // O_EXCL comes with O_TMPFILE alone.
  if ((request.flags & O_EXCL) != 0) state().AllowFirstLink(false);
  return MakeRef<TmpOpenFile>(request, Ref<TmpFile>(this));
}

TmpOpenFile::TmpOpenFile(const vfs::OpenRequest& request, Ref<TmpFile> file)
    : SeekableFile(request.flags, request.path, request.cred),
      file_(std::move(file)),
      keeps_atime_(KeepsAtime(request.path)) {}

ErrnoOr<size_t> TmpOpenFile::ReadAt(UserBuffer& dst, int64_t offset) {
  const size_t done = TRY(file_->data().ReadAt(dst, static_cast<uint64_t>(offset)));
  if (!keeps_atime_ && (flags() & O_NOATIME) == 0) file_->state().TouchByReading(false);
  return done;
}

ErrnoOr<size_t> TmpOpenFile::WriteAt(UserBuffer& src, int64_t offset) {
  const size_t done = TRY(file_->data().WriteAt(src, static_cast<uint64_t>(offset)));
  if (done > 0) file_->state().Touch(NodeState::kModify | NodeState::kChange);
  return done;
}

ErrnoOrVoid TmpOpenFile::Allocate(int mode, uint64_t offset, uint64_t length) {
  TRY_VOID(file_->data().Allocate(mode, offset, length));
  file_->state().Touch(NodeState::kModify | NodeState::kChange);
  return {};
}

ErrnoOrVoid TmpOpenFile::AddSeals(int seals) {
  if (!writable()) return Errno::kPerm;
  return file_->data().AddSeals(seals);
}

ErrnoOr<mm::Mappable::Backing> TmpOpenFile::BackingFor(uint64_t offset, uint64_t, bool shared,
                                                       bool writable) {
  const int fd = TRY(file_->data().HostFd());
  if (shared && writable && (TRY(file_->data().Seals()) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
    return Errno::kPerm;
  }
  // Holes that mappings have filled are counted now at the latest.
  if (shared && writable) TRY_VOID(file_->data().CheckBudget());
  return Backing{fd, offset};
}

mm::Mappable::Identity TmpOpenFile::identity() const {
  return {file_->fs().device(), file_->state().number()};
}

std::string TmpOpenFile::MappedName() const { return path() ? vfs::PathInMount(path()) : ""; }

}  // namespace cloister::tmp
