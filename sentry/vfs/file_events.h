#ifndef CLOISTER_SENTRY_VFS_FILE_EVENTS_H_
#define CLOISTER_SENTRY_VFS_FILE_EVENTS_H_

#include <sys/inotify.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "sentry/vfs/inode.h"
#include "sentry/vfs/path.h"

namespace cloister::vfs {

// Something that happened to a file, in inotify(7)'s words.
struct FileEvent {
  uint32_t mask = 0;      // one of IN_ALL_EVENTS or IN_IGNORED, and IN_ISDIR
  std::string_view name;  // of the entry, for events told to its directory
  uint32_t cookie = 0;    // joins IN_MOVED_FROM and IN_MOVED_TO
  bool unlinked = false;  // the entry is in its directory no more
};

// Who wants to know of one inode. Linux: struct fsnotify_mark.
class FileWatch : public RefCounted {
 public:
  // May run with locks of dentries held: notes the event and leaves what waits for it to WakeScope.
  virtual void OnFileEvent(const FileEvent& event) = 0;
};

// The watches of all inodes, and where the VFS tells what it does. Without a watch that costs a load.
class FileEvents {
 public:
  static FileEvents& Get();
  static bool active() { return watch_count_.load(std::memory_order_relaxed) != 0; }

  // A watch keeps its inode, as in Linux.
  void Add(Ref<Inode> inode, Ref<FileWatch> watch) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(const Inode& inode, const FileWatch& watch) ABSL_LOCKS_EXCLUDED(mu_);

  // To the inode's own watches; IN_ISDIR is added for directories.
  static void Tell(const Inode& inode, uint32_t mask) {
    if (active()) Get().Send(inode, {mask | DirectoryBit(inode)});
  }
  // To a directory: its entry `name`, which is `entry`.
  static void TellOfEntry(const Inode& directory, std::string_view name, const Inode& entry, uint32_t mask,
                          uint32_t cookie = 0) {
    if (active()) Get().Send(directory, {mask | DirectoryBit(entry), name, cookie});
  }
  // To a file and to the directory it lies in. No dentry's lock nor rename_mutex() is held.
  static void TellPath(const Path& path, uint32_t mask) {
    if (active()) Get().SendPath(path, mask);
  }
  // A name of it is gone: IN_ATTRIB for the count of links, which directories do not have.
  static void TellUnlinked(const Inode& inode) {
    if (active() && !inode.is_directory()) Get().Send(inode, {IN_ATTRIB});
  }
  // Nobody has that name open any more. If it was the last one: IN_DELETE_SELF and the end of the watches.
  static void TellDropped(Inode& inode) {
    if (active()) Get().SendDropped(inode);
  }
  static uint32_t NextCookie() { return last_cookie_.fetch_add(1, std::memory_order_relaxed) + 1; }

 private:
  struct Watched {
    Ref<Inode> inode;
    std::vector<Ref<FileWatch>> watches;
  };

  static uint32_t DirectoryBit(const Inode& inode) { return inode.is_directory() ? uint32_t{IN_ISDIR} : 0; }
  void Send(const Inode& inode, const FileEvent& event) ABSL_LOCKS_EXCLUDED(mu_);
  void SendPath(const Path& path, uint32_t mask) ABSL_LOCKS_EXCLUDED(mu_);
  void SendDropped(Inode& inode) ABSL_LOCKS_EXCLUDED(mu_);

  static inline std::atomic<uint32_t> watch_count_{0};
  static inline std::atomic<uint32_t> last_cookie_{0};
  absl::Mutex mu_;  // leaf: watches are told without it
  absl::flat_hash_map<const Inode*, Watched> watched_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_FILE_EVENTS_H_
