#ifndef CLOISTER_SENTRY_NET_UNIX_IN_FLIGHT_H_
#define CLOISTER_SENTRY_NET_UNIX_IN_FLIGHT_H_

#include <vector>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/vfs/file_description.h"

namespace cloister::net {

class UnixSocket;

// Files that ride in a queued message (SCM_RIGHTS). Unix sockets among them are counted for as long
// as they do, so that rings of sockets that hold only each other can be found. Movable.
class InFlightFiles {
 public:
  InFlightFiles() = default;
  // kTooManyRefs if too many files of the sandbox are under way.
  static ErrnoOr<InFlightFiles> Send(std::vector<Ref<vfs::FileDescription>> files);
  InFlightFiles(InFlightFiles&& other) noexcept : files_(std::move(other.files_)) { other.files_.clear(); }
  InFlightFiles& operator=(InFlightFiles&& other) noexcept;
  ~InFlightFiles();

  bool empty() const { return files_.empty(); }
  const std::vector<Ref<vfs::FileDescription>>& files() const { return files_; }
  // They have arrived.
  std::vector<Ref<vfs::FileDescription>> Take();

 private:
  explicit InFlightFiles(std::vector<Ref<vfs::FileDescription>> files) : files_(std::move(files)) {}
  void Drop();

  std::vector<Ref<vfs::FileDescription>> files_;
};

// A unix socket was closed or made: looks for rings, if enough of that happened since the last time.
void MaybeCollectRings();
// Looks now. For tests.
void CollectRings();
// Unix sockets that are under way. For tests.
size_t InFlightSockets();

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_UNIX_IN_FLIGHT_H_
