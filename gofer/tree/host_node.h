#ifndef CLOISTER_GOFER_TREE_HOST_NODE_H_
#define CLOISTER_GOFER_TREE_HOST_NODE_H_

#include <sys/stat.h>
#include <sys/vfs.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error/errno_or.h"
#include "base/host/unique_fd.h"
#include "base/own/ref.h"
#include "gofer/protocol/limits.h"

namespace cloister::gofer {

// Of which attach point a node is. Immutable.
struct AttachOrigin {
  uint32_t index = 0;
  bool readonly = false;
  bool device_nodes = false;
};

// Who owns a new file, and its permission bits.
struct NewOwner {
  mode_t mode = 0;  // 07777
  uid_t uid = 0;
  gid_t gid = 0;
};

// What to change; unset fields stay.
struct AttrChange {
  std::optional<mode_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<uint64_t> size;
  timespec atime = {0, UTIME_OMIT};
  timespec mtime = {0, UTIME_OMIT};
};

struct DirEntry {
  std::string name;
  uint8_t type = 0;  // DT_…
  uint64_t ino = 0;
  std::optional<struct statx> attr;
  std::string target;  // with attr: of a symbolic link
};

struct DirListing {
  std::vector<DirEntry> entries;
  bool end = false;
  uint64_t next = 0;
};

// A file of the host, held by an O_PATH descriptor: not by a name. So it stays the same file
// whatever is renamed or put in its place, on this side or by others on the host, and needs no
// lock: a node is immutable. (A directory that somebody on the host moves out of the attach
// point stays reachable through a node that was taken before; as with openat(2).)
//
// Children are opened one component at a time beneath the descriptor (openat2(2), RESOLVE_BENEATH |
// RESOLVE_NO_SYMLINKS). Only regular files and directories are ever opened for real, through
// FdPath, which cannot meet another file than the one whose type was checked; FIFOs, sockets
// and devices are only looked at. Mount points are crossed, but the host's kernel file systems
// (proc, sysfs, cgroup, …) that lie inside a tree are sealed: seen from outside, never entered.
class HostNode : public RefCounted {
 public:
  // The file itself as an attach point. Takes fd, which must be O_PATH.
  static ErrnoOr<Ref<HostNode>> Attach(UniqueFd fd, const AttachOrigin& origin);

  mode_t type() const { return type_; }  // S_IFMT part
  const AttachOrigin& origin() const { return origin_; }
  bool is_directory() const { return type_ == S_IFDIR; }
  bool is_symlink() const { return type_ == S_IFLNK; }

  // A found or made child, with its attributes at that moment.
  struct Found {
    Ref<HostNode> node;
    struct statx attr;
    std::string target;  // of a symbolic link
  };
  // kNotDir below anything else than a directory.
  ErrnoOr<Found> Lookup(const std::string& name) const;

  ErrnoOr<struct statx> GetAttr() const;
  ErrnoOr<std::string> Readlink() const;
  ErrnoOr<struct statfs> StatFs() const;
  // Up to max_entries (at most kMaxEntriesPerReply) from cookie on (0: the start); attributes for the
  // first attr_limit.
  ErrnoOr<DirListing> ReadDir(uint64_t cookie, uint32_t attr_limit,
                              size_t max_entries = kMaxEntriesPerReply) const;
  ErrnoOrVoid FsyncDir() const;

  // Opens a regular file. flags: see kOpenFlags.
  ErrnoOr<UniqueFd> Open(int flags) const;

  struct Created {
    Found found;
    UniqueFd fd;
  };
  // Changes below: kRofs on a read-only attach point, whatever else is wrong.
  ErrnoOr<Created> Create(const std::string& name, int flags, const NewOwner& owner) const;
  ErrnoOr<Created> CreateUnnamed(int flags, const NewOwner& owner) const;
  ErrnoOr<Found> Mkdir(const std::string& name, const NewOwner& owner) const;
  ErrnoOr<Found> Symlink(const std::string& name, const std::string& target, const NewOwner& owner) const;
  ErrnoOr<Found> Mknod(const std::string& name, mode_t type, dev_t rdev, const NewOwner& owner) const;
  ErrnoOr<Found> Link(const HostNode& target, const std::string& name) const;
  ErrnoOrVoid Unlink(const std::string& name, bool directory) const;
  ErrnoOrVoid Rename(const std::string& name, const HostNode& to, const std::string& new_name,
                     uint32_t flags) const;
  ErrnoOrVoid SetAttr(const AttrChange& change) const;

  ErrnoOr<std::string> GetXattr(const std::string& name) const;
  ErrnoOr<std::string> ListXattr() const;  // each name with its NUL
  ErrnoOrVoid SetXattr(const std::string& name, const std::string& value, int flags) const;
  ErrnoOrVoid RemoveXattr(const std::string& name) const;

 private:
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);
  HostNode(UniqueFd fd, const struct statx& attr, const AttachOrigin& origin, bool sealed);

  // kNotDir, or kAcces for a sealed one.
  ErrnoOrVoid CheckDirectory() const;
  // The same for making or removing name in it; kRofs first.
  ErrnoOrVoid CheckChange(const std::string& name) const;
  // Wraps an O_PATH descriptor reached from this directory.
  ErrnoOr<Found> Wrap(UniqueFd fd) const;
  ErrnoOr<Created> WrapOpened(UniqueFd fd) const;

  const UniqueFd fd_;
  const mode_t type_;
  const uint64_t device_;  // DeviceOf: another one below this directory is a mount point
  const AttachOrigin origin_;
  const bool sealed_;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_TREE_HOST_NODE_H_
