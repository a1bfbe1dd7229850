#include "sentry/fs/gofer/remote.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "base/host/host_stat.h"
#include "gofer/protocol/limits.h"
#include "sentry/fs/gofer/attr.h"
#include "sentry/fs/gofer/directory.h"
#include "sentry/fs/gofer/gofer_fs.h"
#include "sentry/wait/block.h"

namespace cloister::goferfs {
namespace {

using gofer::Reply;
using gofer::Request;
using gofer::SetAttrRequest;

// For so long a shared file's attributes are taken as told just now: the stat(2) behind the walk
// that found the file.
constexpr int64_t kFreshNs = 50'000;
// A removed file of at most so many blocks of 512 bytes may live on until the next call to the gofer.
constexpr uint64_t kLightBlocks = 128;

void SetTime(const vfs::AttrChange::Time& time, uint32_t bit, uint32_t now_bit, SetAttrRequest* to,
             bool access) {
  to->set_mask(to->mask() | bit | (time.now ? now_bit : 0));
  if (access) {
    to->set_atime_sec(time.at.tv_sec);
    to->set_atime_nsec(static_cast<uint32_t>(time.at.tv_nsec));
  } else {
    to->set_mtime_sec(time.at.tv_sec);
    to->set_mtime_nsec(static_cast<uint32_t>(time.at.tv_nsec));
  }
}

void ToMessage(const vfs::AttrChange& change, uint64_t node, SetAttrRequest* to) {
  to->set_node(node);
  if (change.mode) to->set_mode(*change.mode & gofer::kPermissionBits);
  if (change.uid) to->set_uid(*change.uid);
  if (change.gid) to->set_gid(*change.gid);
  if (change.size) to->set_size(*change.size);
  to->set_mask((change.mode ? SetAttrRequest::MODE : 0) | (change.uid ? SetAttrRequest::UID : 0) |
               (change.gid ? SetAttrRequest::GID : 0) | (change.size ? SetAttrRequest::SIZE : 0));
  if (change.atime) SetTime(*change.atime, SetAttrRequest::ATIME, SetAttrRequest::ATIME_NOW, to, true);
  if (change.mtime) SetTime(*change.mtime, SetAttrRequest::MTIME, SetAttrRequest::MTIME_NOW, to, false);
}

}  // namespace

Remote::Remote(Ref<GoferFs> fs, const gofer::Node& node, Ref<GoferDirectory> parent, std::string_view name)
    : fs_(std::move(fs)),
      key_(GoferFs::KeyOf(node.attr())),
      number_(fs_->InodeNumber(key_)),
      rdev_(makedev(node.attr().rdev_major(), node.attr().rdev_minor())),
      type_(node.attr().mode() & S_IFMT),
      id_(node.id()),
      parent_(std::move(parent)),
      name_(name),
      attr_{} {
  attr_.stx_ino = number_;
  attr_.stx_dev_major = major(fs_->device());
  attr_.stx_dev_minor = minor(fs_->device());
  absl::MutexLock lock(&mu_);
  TakeAttrLocked(node.attr());
}

Remote::~Remote() {
  fs_->cache().Remove(*this);
  uint64_t id;
  bool heavy;
  {
    absl::MutexLock lock(&mu_);
    id = id_;
    heavy = attr_.stx_nlink == 0 && BlocksLocked() > kLightBlocks;
    reader_.reset();
    writer_.reset();
  }
  fs_->client().Forget(id, heavy);
}

uint64_t Remote::BlocksLocked() {
  struct stat host;
  const Ref<HostFd>& open = writer_ ? writer_ : reader_;
  return open && HostStat(open->get(), &host) == 0 ? static_cast<uint64_t>(host.st_blocks) : attr_.stx_blocks;
}

void Remote::TakeAttrLocked(const gofer::Attr& attr) {
  FromMessage(attr, &attr_);
  owners_old_ = false;
  told_in_ = GoferFs::distrusted();
  if (fs_->shared()) told_ns_ = wait::MonotonicNow();
}

ErrnoOr<uint64_t> Remote::Id() {
  uint64_t id;
  {
    absl::MutexLock lock(&mu_);
    id = TRY(IdLocked());
  }
  if (type_ != S_IFDIR) fs_->cache().Used(*this);
  return id;
}

ErrnoOr<uint64_t> Remote::IdLocked() {
  if (id_ == 0) TRY_VOID(FindAgainLocked(false, 0, nullptr));
  return id_;
}

ErrnoOrVoid Remote::FindAgainLocked(bool open, int flags, UniqueFd* fd) {
  if (!parent_) return Errno::kStale;
  Request request;
  Reply reply;
  gofer::WalkRequest* walk = request.mutable_walk();
  walk->set_dir(TRY(parent_->remote().Id()));
  walk->add_names(name_);
  walk->set_open_last(open);
  walk->set_open_flags(static_cast<uint32_t>(flags));
  TRY_VOID(fs_->client().Call(request, &reply, fd));
  if (reply.walk().nodes_size() != 1) {
    return reply.walk().stopped() == ENOENT ? Errno::kStale : Errno::kIo;
  }
  const gofer::Node& node = reply.walk().nodes(0);
  if (GoferFs::KeyOf(node.attr()) != key_ || (node.attr().mode() & S_IFMT) != type_) {
    fs_->client().Forget(node.id());
    return Errno::kStale;
  }
  id_ = node.id();
  TakeAttrLocked(node.attr());
  if (open && reply.walk().open_error() > 0) return GoferClient::ErrnoOf(reply.walk().open_error());
  return {};
}

bool Remote::MustAskLocked() {
  const bool stale =
      stale_.exchange(false, std::memory_order_relaxed) || always_stale_.load(std::memory_order_relaxed);
  // Nobody can be asked any more: what is known stays true.
  if (id_ == 0 && !parent_ && !reader_ && !writer_) return false;
  if (fs_->shared()) return stale || owners_old_ || wait::MonotonicNow() - told_ns_ > kFreshNs;
  return stale || told_in_ != GoferFs::distrusted();
}

ErrnoOrVoid Remote::RefreshFromHost(int fd) {
  struct stat host;
  if (HostStat(fd, &host) < 0) return FromHostErrno(errno);
  const GoferFs::Key key{host.st_dev, host.st_ino};
  if (!S_ISREG(host.st_mode) || key != key_) return Errno::kIo;
  const statx_timestamp changed = attr_.stx_ctime;
  FromHost(host, &attr_);
  told_in_ = GoferFs::distrusted();
  if (fs_->shared()) {
    told_ns_ = wait::MonotonicNow();
    if (changed.tv_sec != attr_.stx_ctime.tv_sec || changed.tv_nsec != attr_.stx_ctime.tv_nsec)
      owners_old_ = true;
  }
  return {};
}

ErrnoOrVoid Remote::RefreshLocked() {
  if (const Ref<HostFd>& open = writer_ ? writer_ : reader_) {
    TRY_VOID(RefreshFromHost(open->get()));
    if (!owners_old_ || (id_ == 0 && !parent_)) return {};
  }
  if (id_ == 0) return FindAgainLocked(false, 0, nullptr);
  Request request;
  Reply reply;
  request.mutable_get_attr()->set_node(id_);
  TRY_VOID(fs_->client().Call(request, &reply));
  if (!reply.has_attr()) return Errno::kIo;
  TakeAttrLocked(reply.attr().attr());
  return {};
}

ErrnoOr<struct statx> Remote::GetAttr() {
  absl::MutexLock lock(&mu_);
  if (MustAskLocked()) TRY_VOID(RefreshLocked());
  return attr_;
}

ErrnoOr<vfs::Ownership> Remote::GetOwnership() {
  // Owner and mode change through SetAttr alone; on a shared file system the walk has just asked.
  absl::MutexLock lock(&mu_);
  return vfs::Ownership{attr_.stx_mode, attr_.stx_uid, attr_.stx_gid};
}

ErrnoOrVoid Remote::SetAttr(const vfs::AttrChange& change) {
  Ref<HostFd> old;  // closed behind the lock
  absl::MutexLock lock(&mu_);
  const absl::Cleanup forget_size = [&] {
    if (change.size) ForgetSize();
  };
  const bool size_alone =
      change.size && !change.mode && !change.uid && !change.gid && !change.atime && !change.mtime;
  if (size_alone && writer_) {
    if (ftruncate(writer_->get(), static_cast<off_t>(*change.size)) < 0) return FromHostErrno(errno);
    MarkStale();
    return {};
  }
  Request request;
  Reply reply;
  ToMessage(change, TRY(IdLocked()), request.mutable_set_attr());
  if (change.uid || change.gid) xattrs_ = Xattrs::kUnknown;
  const ErrnoOrVoid done = fs_->client().Call(request, &reply);
  if (!done.ok()) {
    MarkStale();  // a part of it may have been done
    return done;
  }
  if (!reply.has_attr()) return Errno::kIo;
  TakeAttrLocked(reply.attr().attr());
  // On an overlay of the host the file may be a copy from now on, and the reader open on the original.
  if (change.size) std::swap(old, reader_);
  return {};
}

ErrnoOr<Ref<HostFd>> Remote::Open(bool write) {
  Ref<HostFd> result;
  {
    absl::MutexLock lock(&mu_);
    result = write || writer_ ? writer_ : reader_;
    if (!result) {
      const int flags = write ? O_RDWR : O_RDONLY;
      UniqueFd fd;
      if (id_ == 0) {
        TRY_VOID(FindAgainLocked(true, flags, &fd));
      } else {
        Request request;
        Reply reply;
        request.mutable_open()->set_node(id_);
        request.mutable_open()->set_flags(static_cast<uint32_t>(flags));
        TRY_VOID(fs_->client().Call(request, &reply, &fd));
      }
      if (!fd.ok()) return Errno::kIo;
      TRY_VOID(RefreshFromHost(fd.get()));
      result = MakeRef<HostFd>(std::move(fd), write);
      (write ? writer_ : reader_) = result;
    }
  }
  fs_->cache().Used(*this);
  return result;
}

void Remote::Offer(UniqueFd fd, bool writable) {
  {
    absl::MutexLock lock(&mu_);
    Ref<HostFd>& slot = writable ? writer_ : reader_;
    if (slot || !RefreshFromHost(fd.get()).ok()) return;
    slot = MakeRef<HostFd>(std::move(fd), writable);
  }
  fs_->cache().Used(*this);
}

void Remote::Close(Ref<HostFd> host) {
  if (!fs_->shared() || !host->writable()) return;
  Ref<HostFd> idle;  // closed behind the lock
  absl::MutexLock lock(&mu_);
  host.reset();
  if (!writer_ || writer_->ref_count() > 1) return;
  std::swap(idle, writer_);
  MarkStale();
}

void Remote::Met(const gofer::Node& node) {
  uint64_t spare = node.id();
  {
    absl::MutexLock lock(&mu_);
    if (id_ == 0) std::swap(id_, spare);
    TakeAttrLocked(node.attr());
  }
  fs_->client().Forget(spare);
}

void Remote::Linked(Ref<GoferDirectory> parent, std::string_view name, const gofer::Node& node) {
  {
    absl::MutexLock lock(&mu_);
    if (!parent_) {
      parent_ = std::move(parent);
      name_ = name;
    }
    TakeAttrLocked(node.attr());
  }
  fs_->client().Forget(node.id());
}

void Remote::MovedTo(Ref<GoferDirectory> parent, std::string_view name) {
  absl::MutexLock lock(&mu_);
  std::swap(parent_, parent);  // the old one goes when `parent` does, behind the lock
  name_ = name;
  MarkStale();
}

ErrnoOrVoid Remote::PrepareUnlink(const GoferDirectory& parent, std::string_view name) {
  absl::MutexLock lock(&mu_);
  if (attr_.stx_nlink <= 1 || type_ == S_IFDIR || parent_ != &parent || name_ != name) return {};
  TRY_VOID(IdLocked());
  return {};
}

void Remote::Unlinked(const GoferDirectory& parent, std::string_view name) {
  Ref<GoferDirectory> old;
  bool gone;
  {
    absl::MutexLock lock(&mu_);
    if (parent_ == &parent && name_ == name) std::swap(parent_, old);
    attr_.stx_nlink = type_ == S_IFDIR || attr_.stx_nlink == 0 ? 0 : attr_.stx_nlink - 1;
    gone = attr_.stx_nlink == 0;
    MarkStale();
  }
  if (gone) fs_->Drop(key_, nullptr);
}

uint64_t Remote::Evict() {
  Ref<HostFd> reader, writer;  // closed behind the lock
  if (!mu_.TryLock()) return 0;
  uint64_t id = 0;
  const bool busy = (reader_ && reader_->ref_count() > 1) || (writer_ && writer_->ref_count() > 1);
  if (parent_ && !busy && (!writer_ || RefreshFromHost(writer_->get()).ok())) {
    std::swap(id, id_);
    std::swap(reader, reader_);
    std::swap(writer, writer_);
  }
  mu_.Unlock();
  return id;
}

bool Remote::KnownWithoutXattrs() {
  if (fs_->shared()) return false;
  if (xattrs_ == Xattrs::kUnknown) {
    const ErrnoOr<std::vector<std::string>> names = ListXattr();
    if (!names.ok()) return false;
  }
  return xattrs_ == Xattrs::kNone;
}

ErrnoOr<std::string> Remote::GetXattr(const std::string& name) {
  if (KnownWithoutXattrs()) return Errno::kNoData;
  Request request;
  Reply reply;
  request.mutable_get_xattr()->set_node(TRY(Id()));
  request.mutable_get_xattr()->set_name(name);
  TRY_VOID(fs_->client().Call(request, &reply));
  return reply.xattr().value();
}

ErrnoOrVoid Remote::SetXattr(const std::string& name, std::string_view value, int flags) {
  Request request;
  Reply reply;
  gofer::XattrRequest* set = request.mutable_set_xattr();
  set->set_node(TRY(Id()));
  set->set_name(name);
  set->set_value(value.data(), value.size());
  set->set_flags(static_cast<uint32_t>(flags));
  const ErrnoOrVoid done = fs_->client().Call(request, &reply);
  xattrs_ = Xattrs::kUnknown;
  MarkStale();
  return done;
}

ErrnoOrVoid Remote::RemoveXattr(const std::string& name) {
  if (KnownWithoutXattrs()) return Errno::kNoData;
  Request request;
  Reply reply;
  request.mutable_remove_xattr()->set_node(TRY(Id()));
  request.mutable_remove_xattr()->set_name(name);
  const ErrnoOrVoid done = fs_->client().Call(request, &reply);
  xattrs_ = Xattrs::kUnknown;
  MarkStale();
  return done;
}

ErrnoOr<std::vector<std::string>> Remote::ListXattr() {
  std::vector<std::string> names;
  if (!fs_->shared() && xattrs_ == Xattrs::kNone) return names;
  Request request;
  Reply reply;
  request.mutable_list_xattr()->set_node(TRY(Id()));
  TRY_VOID(fs_->client().Call(request, &reply));
  std::string_view rest = reply.xattr().value();
  while (!rest.empty()) {
    const size_t end = rest.find('\0');
    if (end == std::string_view::npos) break;
    names.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  xattrs_ = names.empty() ? Xattrs::kNone : Xattrs::kSome;
  return names;
}

}  // namespace cloister::goferfs
