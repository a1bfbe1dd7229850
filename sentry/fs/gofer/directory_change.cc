// GoferDirectory's changes of names.

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <functional>
#include <string>
#include <utility>

#include "gofer/protocol/limits.h"
#include "sentry/fs/gofer/directory.h"
#include "sentry/fs/gofer/file.h"

namespace cloister::goferfs {
namespace {

using gofer::Reply;
using gofer::Request;
using vfs::DirectoryInode;
using vfs::Inode;
using vfs::NewNode;

void ToMessage(const NewNode& node, gofer::Owner* owner) {
  owner->set_mode(node.mode & gofer::kPermissionBits);
  owner->set_uid(node.uid);
  owner->set_gid(node.gid);
}

// Locks one or two directories, by address.
class ABSL_SCOPED_LOCKABLE BothLocked {
 public:
  // Not analysed inside: one and other may be the same.
  BothLocked(absl::Mutex& one, absl::Mutex& other)
      ABSL_EXCLUSIVE_LOCK_FUNCTION(one, other) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    first_ = std::less<>()(&one, &other) ? &one : &other;
    second_ = &one == &other ? nullptr : (first_ == &one ? &other : &one);
    first_->Lock();
    if (second_ != nullptr) second_->Lock();
  }
  ~BothLocked() ABSL_UNLOCK_FUNCTION() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (second_ != nullptr) second_->Unlock();
    first_->Unlock();
  }

 private:
  absl::Mutex* first_;
  absl::Mutex* second_;
};

}  // namespace

ErrnoOr<Ref<Inode>> GoferDirectory::AddLocked(std::string_view name, const Reply& reply, UniqueFd fd) {
  remote().MarkStale();
  if (!reply.has_node()) return Errno::kIo;
  Ref<Inode> inode = TRY(fs_->Obtain(reply.node().node(), Self(), name, std::move(fd), /*writable=*/true));
  if (listed_)
    listing_.Add(name, static_cast<uint8_t>(IFTODT(inode->type())), reply.node().node().attr().ino());
  return inode;
}

ErrnoOr<Ref<Inode>> GoferDirectory::Create(std::string_view name, const NewNode& node) {
  absl::MutexLock lock(&mu_);
  Request request;
  Reply reply;
  UniqueFd fd;
  const uint64_t dir = TRY(remote().Id());
  const std::string text(name);
  switch (node.mode & S_IFMT) {
    case S_IFREG:
      request.mutable_create()->set_dir(dir);
      request.mutable_create()->set_name(text);
      request.mutable_create()->set_flags(O_RDWR);
      ToMessage(node, request.mutable_create()->mutable_owner());
      break;
    case S_IFDIR:
      request.mutable_mkdir()->set_dir(dir);
      request.mutable_mkdir()->set_name(text);
      ToMessage(node, request.mutable_mkdir()->mutable_owner());
      break;
    default:
      request.mutable_mknod()->set_dir(dir);
      request.mutable_mknod()->set_name(text);
      request.mutable_mknod()->set_type(node.mode & S_IFMT);
      request.mutable_mknod()->set_major(major(node.rdev));
      request.mutable_mknod()->set_minor(minor(node.rdev));
      ToMessage(node, request.mutable_mknod()->mutable_owner());
      break;
  }
  TRY_VOID(fs_->client().Call(request, &reply, &fd));
  return AddLocked(name, reply, std::move(fd));
}

ErrnoOr<Ref<Inode>> GoferDirectory::Symlink(std::string_view name, std::string_view target,
                                            const NewNode& owner) {
  absl::MutexLock lock(&mu_);
  Request request;
  Reply reply;
  gofer::SymlinkRequest* symlink = request.mutable_symlink();
  symlink->set_dir(TRY(remote().Id()));
  symlink->set_name(name.data(), name.size());
  symlink->set_target(target.data(), target.size());
  ToMessage(owner, symlink->mutable_owner());
  TRY_VOID(fs_->client().Call(request, &reply));
  return AddLocked(name, reply, UniqueFd());
}

ErrnoOr<Ref<Inode>> GoferDirectory::CreateUnnamed(const NewNode& node) {
  Request request;
  Reply reply;
  UniqueFd fd;
  request.mutable_create()->set_dir(TRY(remote().Id()));
  request.mutable_create()->set_flags(O_RDWR);
  ToMessage(node, request.mutable_create()->mutable_owner());
  TRY_VOID(fs_->client().Call(request, &reply, &fd));
  if (!reply.has_node()) return Errno::kIo;
  return fs_->Obtain(reply.node().node(), nullptr, "", std::move(fd), /*writable=*/true);
}

ErrnoOrVoid GoferDirectory::Link(std::string_view name, Inode& target) {
  if (&target.fs() != fs_.get()) return Errno::kXDev;
  if (target.type() == S_IFREG && !static_cast<GoferFile&>(target).linkable()) return Errno::kNoEnt;
  absl::MutexLock lock(&mu_);
  Request request;
  Reply reply;
  request.mutable_link()->set_node(TRY(RemoteOf(target).Id()));
  request.mutable_link()->set_dir(TRY(remote().Id()));
  request.mutable_link()->set_name(name.data(), name.size());
  TRY_VOID(fs_->client().Call(request, &reply));
  remote().MarkStale();
  if (!reply.has_node()) return Errno::kIo;
  const gofer::Node& node = reply.node().node();
  if (listed_) listing_.Add(name, static_cast<uint8_t>(IFTODT(target.type())), node.attr().ino());
  RemoteOf(target).Linked(Self(), name, node);
  return {};
}

ErrnoOrVoid GoferDirectory::RemoveName(std::string_view name, Inode& target, bool directory) {
  if (&target.fs() != fs_.get()) return Errno::kXDev;
  absl::MutexLock lock(&mu_);
  Remote& victim = RemoteOf(target);
  TRY_VOID(victim.PrepareUnlink(*this, name));
  Request request;
  Reply reply;
  request.mutable_unlink()->set_dir(TRY(remote().Id()));
  request.mutable_unlink()->set_name(name.data(), name.size());
  request.mutable_unlink()->set_directory(directory);
  TRY_VOID(fs_->client().Call(request, &reply));
  listing_.Remove(name);
  remote().MarkStale();
  victim.Unlinked(*this, name);
  return {};
}

ErrnoOrVoid GoferDirectory::Unlink(std::string_view name, Inode& target) {
  return RemoveName(name, target, false);
}

ErrnoOrVoid GoferDirectory::Rmdir(std::string_view name, Inode& target) {
  return RemoveName(name, target, true);
}

ErrnoOrVoid GoferDirectory::Rename(std::string_view name, Inode& moved, DirectoryInode& new_parent,
                                   std::string_view new_name, Inode* replaced, uint32_t flags) {
  if (&new_parent.fs() != fs_.get() || &moved.fs() != fs_.get()) return Errno::kXDev;
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return Errno::kInval;
  auto& to = static_cast<GoferDirectory&>(new_parent);
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  const BothLocked locks(mu_, to.mu_);
  if (replaced != nullptr && !exchange) TRY_VOID(RemoteOf(*replaced).PrepareUnlink(to, new_name));
  Request request;
  Reply reply;
  gofer::RenameRequest* rename = request.mutable_rename();
  rename->set_from_dir(TRY(remote().Id()));
  rename->set_from(name.data(), name.size());
  rename->set_to_dir(TRY(to.remote().Id()));
  rename->set_to(new_name.data(), new_name.size());
  rename->set_flags(flags);
  TRY_VOID(fs_->client().Call(request, &reply));
  MoveLocked(to, {name, new_name}, moved, replaced, exchange);
  return {};
}

void GoferDirectory::MoveLocked(GoferDirectory& to, Names names, Inode& moved, Inode* replaced,
                                bool exchange) {
  const auto [name, new_name] = names;
  remote().MarkStale();
  to.remote().MarkStale();
  listing_.Remove(name);
  to.listing_.Remove(new_name);
  const auto type_of = [](Inode& inode) { return static_cast<uint8_t>(IFTODT(inode.type())); };
  if (to.listed_) to.listing_.Add(new_name, type_of(moved), RemoteOf(moved).key().second);
  if (exchange && replaced != nullptr) {
    if (listed_) listing_.Add(name, type_of(*replaced), RemoteOf(*replaced).key().second);
    RemoteOf(*replaced).MovedTo(Self(), name);
  } else if (replaced != nullptr) {
    RemoteOf(*replaced).Unlinked(to, new_name);
  }
  RemoteOf(moved).MovedTo(to.Self(), new_name);
}

}  // namespace cloister::goferfs
