#ifndef CLOISTER_SENTRY_VFS_FILE_SYSTEM_TYPES_H_
#define CLOISTER_SENTRY_VFS_FILE_SYSTEM_TYPES_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/mount.h"

namespace cloister::vfs {

// What mount(2) of a type is asked for. Views: valid during the call.
struct NewMount {
  const Caller& caller;
  std::string_view source;   // first argument of mount(2); "none" where there was none
  std::string_view options;  // its last, as text
  uint64_t flags = 0;        // of the mount to be made: MS_RDONLY, MS_NOSUID …
};

// The file systems that a guest may mount, by name: /proc/filesystems. Linux: register_filesystem. Rooms
// above register theirs before the first guest runs. Thread-safe.
class FileSystemTypes {
 public:
  // Makes the mount, not yet attached; kInval for options that do not parse.
  using Factory = std::function<ErrnoOr<Ref<Mount>>(const NewMount& request)>;

  static FileSystemTypes& Get();

  // Replaces what was registered by that name.
  void Register(std::string_view type, Factory factory) ABSL_LOCKS_EXCLUDED(mu_);
  // kNoDev where the type is unknown.
  ErrnoOr<Ref<Mount>> Make(std::string_view type, const NewMount& request) const ABSL_LOCKS_EXCLUDED(mu_);
  // Sorted.
  std::vector<std::string> Names() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable absl::Mutex mu_;  // leaf: not held while a factory runs
  std::map<std::string, Factory, std::less<>> factories_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_FILE_SYSTEM_TYPES_H_
