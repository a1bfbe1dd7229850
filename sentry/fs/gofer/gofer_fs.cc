#include "sentry/fs/gofer/gofer_fs.h"

#include <sys/resource.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>

#include "gofer/protocol/limits.h"
#include "sentry/fs/gofer/directory.h"
#include "sentry/fs/gofer/file.h"
#include "sentry/fs/gofer/special.h"

namespace cloister::goferfs {
namespace {

using vfs::Inode;

constexpr uint64_t kFewestCached = 64;
// Bits of st_ino above a host's usual numbers, for devices mounted inside the tree.
constexpr int kDeviceShift = 48;

bool IsTarget(std::string_view target) {
  return !target.empty() && target.size() <= gofer::kMaxTargetBytes &&
         target.find('\0') == std::string_view::npos;
}

uint64_t MostFiles() {
  rlimit limit;
  return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? kFewestCached : limit.rlim_cur;
}

size_t CacheCapacity(const GoferClient& client) {
  static const uint64_t most = MostFiles();  // behind the sentry's filter nobody may ask again
  return std::max(kFewestCached, std::min<uint64_t>(client.max_nodes(), most) / 2);
}

}  // namespace

Gofer::Gofer(Ref<GoferClient> gofer_client)
    : client(std::move(gofer_client)), cache(*client, CacheCapacity(*client)) {}

GoferFs::Key GoferFs::KeyOf(const gofer::Attr& attr) {
  return {makedev(attr.dev_major(), attr.dev_minor()), attr.ino()};
}

ErrnoOr<Ref<vfs::Mount>> GoferFs::Mount(Ref<Gofer> gofer, const GoferMountOptions& options) {
  gofer::Request request;
  gofer::Reply reply;
  request.mutable_attach()->set_index(options.attach);
  TRY_VOID(gofer->client->Call(request, &reply));
  if (!reply.has_attach()) return Errno::kIo;
  Ref<GoferFs> fs = MakeRef<GoferFs>(std::move(gofer), options);
  fs->readonly_ = reply.attach().readonly();
  fs->root_node_ = reply.attach().node().id();
  Ref<Inode> root = TRY(fs->Obtain(reply.attach().node(), nullptr, ""));
  return MakeRef<vfs::Mount>(fs, vfs::Dentry::MakeRoot(std::move(root)), options.flags, options.source);
}

ErrnoOr<struct statfs> GoferFs::StatFs() {
  gofer::Request request;
  gofer::Reply reply;
  request.mutable_stat_fs()->set_node(root_node_);
  TRY_VOID(client().Call(request, &reply));
  const gofer::StatFsReply& from = reply.stat_fs();
  struct statfs result = {};
  result.f_type = static_cast<decltype(result.f_type)>(from.type());
  result.f_bsize = static_cast<decltype(result.f_bsize)>(from.block_size());
  result.f_blocks = from.blocks();
  result.f_bfree = from.blocks_free();
  result.f_bavail = from.blocks_available();
  result.f_files = from.files();
  result.f_ffree = from.files_free();
  result.f_namelen = static_cast<decltype(result.f_namelen)>(from.name_max());
  result.f_frsize = static_cast<decltype(result.f_frsize)>(from.fragment_size());
  const uint64_t fsid = device();  // the sentry's, as st_dev
  static_assert(sizeof result.f_fsid == sizeof fsid);
  memcpy(&result.f_fsid, &fsid, sizeof fsid);
  return result;
}

Ref<Inode> GoferFs::Make(const gofer::Node& node, Ref<GoferDirectory> parent, std::string_view name) {
  const Ref<GoferFs> self(this);
  switch (node.attr().mode() & S_IFMT) {
    case S_IFDIR:
      return MakeRef<GoferDirectory>(self, node, std::move(parent), name);
    case S_IFREG:
      return MakeRef<GoferFile>(self, node, std::move(parent), name);
    case S_IFLNK:
      if (!IsTarget(node.target())) return nullptr;
      return MakeRef<GoferSymlink>(self, node, std::move(parent), name);
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
      return MakeRef<GoferSpecial>(self, node, std::move(parent), name);
    default:
      return nullptr;
  }
}

// A link is told apart by its text too, so it is never taken for a known one: its number may be a
// new link's.
Ref<Inode> GoferFs::FindLocked(const Key& key, mode_t type) const {
  const auto found = inodes_.find(key);
  if (found == inodes_.end() || found->second->type() != type || type == S_IFLNK) return nullptr;
  return found->second->TryIncRef() ? Ref<Inode>::Adopt(found->second) : nullptr;
}

ErrnoOr<Ref<Inode>> GoferFs::Obtain(const gofer::Node& node, Ref<GoferDirectory> parent,
                                    std::string_view name, UniqueFd fd, bool writable) {
  const Key key = KeyOf(node.attr());
  const mode_t type = node.attr().mode() & S_IFMT;
  Ref<Inode> inode, spare;
  {
    absl::ReaderMutexLock lock(&mu_);
    inode = FindLocked(key, type);
  }
  if (!inode) {
    spare = Make(node, std::move(parent), name);
    if (!spare) {
      client().Forget(node.id());
      return Errno::kIo;
    }
    absl::MutexLock lock(&mu_);
    inode = FindLocked(key, type);  // another thread, by another name of the same file
    if (!inode) {
      inode = std::move(spare);
      inodes_[key] = inode.get();
    }
  } else {
    RemoteOf(*inode).Met(node);
  }
  Remote& remote = RemoteOf(*inode);
  if (fd.ok() && type == S_IFREG) {
    remote.Offer(std::move(fd), writable);
  } else if (node.id() != 0 && type != S_IFDIR) {
    cache().Used(remote);
  }
  return inode;
}

uint64_t GoferFs::InodeNumber(const Key& key) {
  absl::MutexLock lock(&mu_);
  const auto [found, added] = devices_.try_emplace(key.first, devices_.size());
  return key.second ^ found->second << kDeviceShift;
}

void GoferFs::Drop(const Key& key, const Inode* inode) {
  absl::MutexLock lock(&mu_);
  const auto found = inodes_.find(key);
  if (found != inodes_.end() && (inode == nullptr || found->second == inode)) inodes_.erase(found);
}

Remote& RemoteOf(Inode& inode) {
  switch (inode.type()) {
    case S_IFDIR:
      return static_cast<GoferDirectory&>(inode).remote();
    case S_IFREG:
      return static_cast<GoferFile&>(inode).remote();
    case S_IFLNK:
      return static_cast<GoferSymlink&>(inode).remote();
    default:
      return static_cast<GoferSpecial&>(inode).remote();
  }
}

}  // namespace cloister::goferfs
