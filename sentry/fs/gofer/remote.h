#ifndef CLOISTER_SENTRY_FS_GOFER_REMOTE_H_
#define CLOISTER_SENTRY_FS_GOFER_REMOTE_H_

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "gofer/protocol/gofer.pb.h"
#include "sentry/fs/gofer/host_fd.h"
#include "sentry/vfs/inode.h"

namespace cloister::goferfs {

class GoferDirectory;
class GoferFs;

// What the sentry knows of one host file: the gofer's node, attributes, open descriptors. Part of
// each inode of a GoferFs. Thread-safe.
//
// The node may be unknown (0): the file was met in a directory's listing, or the node was given
// back because too many were held. Then it is asked for again by the file's place, the parent and
// name it was last seen under. A file without a place (removed, O_TMPFILE) keeps its node.
//
// Exclusive file systems believe the attributes until this sentry changes something; shared ones
// ask again, unless they were told within the last instant.
class Remote {
 public:
  Remote(Ref<GoferFs> fs, const gofer::Node& node, Ref<GoferDirectory> parent, std::string_view name);
  ~Remote();
  Remote(const Remote&) = delete;
  Remote& operator=(const Remote&) = delete;

  GoferFs& fs() const { return *fs_; }
  // Host device and inode number, which name the file for its life.
  std::pair<uint64_t, uint64_t> key() const { return key_; }

  // The gofer's node.
  ErrnoOr<uint64_t> Id() ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<struct statx> GetAttr() ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<vfs::Ownership> GetOwnership() ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) ABSL_LOCKS_EXCLUDED(mu_);
  dev_t rdev() const { return rdev_; }
  // st_ino.
  uint64_t number() const { return number_; }
  // What makes a host's inode number one of the guest's, on the file's host device.
  uint64_t device_bits() const { return number_ ^ key_.second; }

  // The file is open or its attributes changed on the host: ask again next time. Cheap.
  void MarkStale() { stale_.store(true, std::memory_order_relaxed); }
  // A shared writable mapping may change size and times at any moment from now on.
  void MarkMapped() { always_stale_.store(true, std::memory_order_relaxed); }

  // The size that the file had at some time since this sentry made it shorter; 0: not known. Cheap.
  uint64_t known_size() const { return known_size_.load(std::memory_order_relaxed); }
  void SetKnownSize(uint64_t size) { known_size_.store(size, std::memory_order_relaxed); }
  void ForgetSize() { SetKnownSize(0); }

  // A descriptor to read, or to read and write, as cached or from the gofer. Regular files.
  ErrnoOr<Ref<HostFd>> Open(bool write) ABSL_LOCKS_EXCLUDED(mu_);
  // Keeps a descriptor that came unasked.
  void Offer(UniqueFd fd, bool writable) ABSL_LOCKS_EXCLUDED(mu_);

  // An open file lets go of its descriptor. Where others may change the file, an idle writer would
  // be in their way: nobody on the host could execute it (ETXTBSY).
  void Close(Ref<HostFd> host) ABSL_LOCKS_EXCLUDED(mu_);

  // Another reply named the same file: takes what it says; gives an id back that is not needed.
  void Met(const gofer::Node& node) ABSL_LOCKS_EXCLUDED(mu_);
  // It has this name too; node is what the gofer said of it.
  void Linked(Ref<GoferDirectory> parent, std::string_view name, const gofer::Node& node)
      ABSL_LOCKS_EXCLUDED(mu_);
  // It has this name now.
  void MovedTo(Ref<GoferDirectory> parent, std::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  // About to lose the name: makes sure that a file with further ones can still be reached.
  ErrnoOrVoid PrepareUnlink(const GoferDirectory& parent, std::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  // It has lost it.
  void Unlinked(const GoferDirectory& parent, std::string_view name) ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<std::string> GetXattr(const std::string& name);
  ErrnoOrVoid SetXattr(const std::string& name, std::string_view value, int flags);
  ErrnoOrVoid RemoveXattr(const std::string& name);
  ErrnoOr<std::vector<std::string>> ListXattr();

  // For NodeCache: gives back node and idle descriptors. 0 if they are in use or have no place.
  uint64_t Evict() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class NodeCache;

  ErrnoOr<uint64_t> IdLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Walks to the place; with open, *fd receives the opened file.
  ErrnoOrVoid FindAgainLocked(bool open, int flags, UniqueFd* fd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeAttrLocked(const gofer::Attr& attr) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOrVoid RefreshLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOrVoid RefreshFromHost(int fd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MustAskLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What the file occupies, in 512 bytes.
  uint64_t BlocksLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the file is known to have no xattrs (exclusive only).
  bool KnownWithoutXattrs();

  const Ref<GoferFs> fs_;
  const std::pair<uint64_t, uint64_t> key_;
  const uint64_t number_;
  const dev_t rdev_;
  const mode_t type_;
  std::atomic<bool> stale_{false};
  std::atomic<bool> always_stale_{false};
  std::atomic<uint64_t> known_size_{0};
  enum class Xattrs { kUnknown, kNone, kSome };
  std::atomic<Xattrs> xattrs_{Xattrs::kUnknown};

  // Taken after the directories' listing locks, and before the same lock of the parent's Remote.
  absl::Mutex mu_;
  uint64_t id_ ABSL_GUARDED_BY(mu_);
  Ref<GoferDirectory> parent_ ABSL_GUARDED_BY(mu_);  // null: no place
  std::string name_ ABSL_GUARDED_BY(mu_);
  struct statx attr_ ABSL_GUARDED_BY(mu_);
  uint64_t told_in_ ABSL_GUARDED_BY(mu_) = 0;  // GoferFs::distrusted() as attr_ came
  int64_t told_ns_ ABSL_GUARDED_BY(mu_) = 0;   // when attr_ came, CLOCK_MONOTONIC; shared only
  // The file has changed since the gofer told its owners, which fstat(2) cannot tell; shared only.
  bool owners_old_ ABSL_GUARDED_BY(mu_) = false;
  Ref<HostFd> reader_ ABSL_GUARDED_BY(mu_);
  Ref<HostFd> writer_ ABSL_GUARDED_BY(mu_);

  // NodeCache's, under its lock.
  Remote* older_ = nullptr;
  Remote* newer_ = nullptr;
  bool cached_ = false;
};

// The Remote of any inode that lives on a GoferFs.
Remote& RemoteOf(vfs::Inode& inode);

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_REMOTE_H_
