#ifndef CLOISTER_SENTRY_VFS_INODE_H_
#define CLOISTER_SENTRY_VFS_INODE_H_

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/auth/credentials.h"
#include "sentry/vfs/path.h"

namespace cloister::vfs {

struct Caller;
class DirectoryInode;
class FileDescription;
class FileLocks;
class Inode;
class SymlinkInode;

// One mounted file system's contents. Linux: struct super_block.
class FileSystem : public RefCounted {
 public:
  FileSystem();
  // Name as in /proc/mounts ("tmpfs", "overlay", "proc").
  virtual std::string_view type() const = 0;
  virtual ErrnoOr<struct statfs> StatFs() = 0;
  // Options as /proc/mounts shows them behind ro/rw: "size=64k,mode=755".
  virtual std::string OptionsText() const { return ""; }
  // Read-only by its own nature or options: every change is refused with kRofs.
  virtual bool read_only() const { return false; }

  // st_dev: a number of this sentry's, never the host's.
  dev_t device() const { return device_; }

 private:
  const dev_t device_;
};

// What decides on access: the owner fields of an inode.
struct Ownership {
  mode_t mode = 0;  // type and permission bits
  uid_t uid = 0;
  gid_t gid = 0;
};

// A change of attributes, already permitted by the VFS. Unset fields stay.
struct AttrChange {
  std::optional<mode_t> mode;  // permission bits, 07777
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<uint64_t> size;
  struct Time {
    bool now = false;
    timespec at = {};
  };
  std::optional<Time> atime, mtime;
};

// How a node is to be made. The VFS has applied umask and set-gid inheritance.
struct NewNode {
  mode_t mode = 0;  // S_IFREG, S_IFDIR, S_IFIFO, S_IFSOCK, S_IFCHR or S_IFBLK, and permission bits
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t rdev = 0;
};

// How a file is to be opened. Permission has been checked. O_TRUNC (regular files only) is the
// file system's to carry out; set-id bits have been cleared by then.
struct OpenRequest {
  int flags = 0;  // open(2)'s, without O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY, O_CLOEXEC
  Path path;      // the file's place, kept by the description
  auth::CredRef cred;
};

// A file, directory or other node. Linux: struct inode. Shared by count: dentries, open files and
// caches hold it. Thread-safe; what locks an implementation has are leaves below the dentry locks.
class Inode : public RefCounted {
 public:
  // type: one of S_IFMT's values; immutable.
  Inode(Ref<FileSystem> fs, mode_t type);
  ~Inode() override;

  FileSystem& fs() const { return *fs_; }
  const Ref<FileSystem>& fs_ref() const { return fs_; }
  mode_t type() const { return type_; }
  bool is_directory() const { return type_ == S_IFDIR; }
  bool is_symlink() const { return type_ == S_IFLNK; }

  // All of statx(2)'s basic fields and btime where known (stx_mask says which); stx_dev_* too.
  virtual ErrnoOr<struct statx> GetAttr() = 0;
  // Mode and owner alone; must be cheap: every step of a path walk asks.
  virtual ErrnoOr<Ownership> GetOwnership();
  virtual ErrnoOrVoid SetAttr(const AttrChange& change) = 0;

  // Opens it. kNxIo for sockets. FIFOs and devices: OpenSpecial (special_files.h).
  virtual ErrnoOr<Ref<FileDescription>> Open(const OpenRequest& request) = 0;

  // Extended attributes, names with their prefix; kOpNotSupp by default. The VFS has checked
  // permission and sizes. flags: XATTR_CREATE, XATTR_REPLACE.
  virtual ErrnoOr<std::string> GetXattr(const std::string& name);
  virtual ErrnoOrVoid SetXattr(const std::string& name, std::string_view value, int flags);
  virtual ErrnoOrVoid RemoveXattr(const std::string& name);
  virtual ErrnoOr<std::vector<std::string>> ListXattr();

  virtual DirectoryInode* AsDirectory() { return nullptr; }
  virtual SymlinkInode* AsSymlink() { return nullptr; }

  // Advisory locks on this file (flock, fcntl); made on first use.
  FileLocks& locks();
  // The same, or null if nobody ever locked it.
  FileLocks* locks_if_any() const { return locks_.load(std::memory_order_acquire); }

  // Open for writing and being executed exclude each other (kTxtBsy). Linux: i_writecount.
  ErrnoOrVoid TakeWriteAccess();
  void GiveBackWriteAccess() { writers_.fetch_sub(1, std::memory_order_relaxed); }
  ErrnoOrVoid DenyWriteAccess();
  void AllowWriteAccess() { writers_.fetch_add(1, std::memory_order_relaxed); }

  // Held while a file is appended to, where the host does not do it atomically.
  absl::Mutex& append_mu() { return append_mu_; }

  // What the opens of a FIFO share: its pipe, made by the first of them. It must not hold the inode.
  Ref<RefCounted> SharedState(absl::FunctionRef<Ref<RefCounted>()> make) ABSL_LOCKS_EXCLUDED(state_mu_);

  // Somebody bound a unix socket here: what connect(2) finds. Owned by sentry/net/unix.
  void SetBoundSocket(RefCounted* socket) { bound_socket_ = socket; }
  RefCounted* bound_socket() const { return bound_socket_; }

 protected:
  void OnLastRef() override;  // not recursive: a chain of directories may be deeper than the stack

 private:
  const Ref<FileSystem> fs_;
  const mode_t type_;
  std::atomic<FileLocks*> locks_{nullptr};
  std::atomic<RefCounted*> bound_socket_{nullptr};
  std::atomic<int> writers_{0};  // below 0: so many forbid it
  absl::Mutex append_mu_;        // above the inode's own locks
  absl::Mutex state_mu_;         // leaf
  Ref<RefCounted> state_ ABSL_GUARDED_BY(state_mu_);
};

// A directory. The VFS has checked names (1 to 255 bytes, no '/', not "." or ".."), permissions
// and read-only mounts, and holds the parent's dentry lock around each change.
class DirectoryInode : public Inode {
 public:
  explicit DirectoryInode(Ref<FileSystem> fs) : Inode(std::move(fs), S_IFDIR) {}
  DirectoryInode* AsDirectory() override { return this; }

  // How long a dentry below this directory may be believed.
  enum class Cache {
    kForever,     // nobody but this sentry's VFS changes the directory
    kRevalidate,  // ask Lookup again at every walk (proc, shared gofer mounts)
  };
  virtual Cache cache() const { return Cache::kForever; }

  virtual ErrnoOr<Ref<Inode>> Lookup(std::string_view name) = 0;  // the entry, or kNoEnt
  // For kRevalidate: the entry as it is now, which is `cached` itself (null: there was none) where
  // nothing changed. Default: Lookup, and the same object is taken for the same file.
  virtual ErrnoOr<Ref<Inode>> Revalidate(std::string_view name, const Ref<Inode>& cached);

  // Changes. kExist where the name is taken, kPerm (the default) where the file system has none of it.
  virtual ErrnoOr<Ref<Inode>> Create(std::string_view name, const NewNode& node);  // all but symlinks
  virtual ErrnoOr<Ref<Inode>> Symlink(std::string_view name, std::string_view target, const NewNode& owner);
  virtual ErrnoOrVoid Link(std::string_view name, Inode& target);
  virtual ErrnoOrVoid Unlink(std::string_view name, Inode& target);
  virtual ErrnoOrVoid Rmdir(std::string_view name, Inode& target);
  // flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. replaced: what new_name is now, or null.
  virtual ErrnoOrVoid Rename(std::string_view name, Inode& moved, DirectoryInode& new_parent,
                             std::string_view new_name, Inode* replaced, uint32_t flags);
  virtual ErrnoOr<Ref<Inode>> CreateUnnamed(const NewNode& node);  // a regular file (O_TMPFILE)
};

// A symbolic link.
class SymlinkInode : public Inode {
 public:
  explicit SymlinkInode(Ref<FileSystem> fs) : Inode(std::move(fs), S_IFLNK) {}
  SymlinkInode* AsSymlink() override { return this; }

  // The text that readlink(2) gives.
  virtual ErrnoOr<std::string> Readlink(const Caller& caller) = 0;
  // Where a magic link (proc(5)'s fd/N, exe, cwd, root) leads without its text; empty for others.
  virtual ErrnoOr<std::optional<Path>> Follow(const Caller&) { return std::optional<Path>(); }
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_INODE_H_
