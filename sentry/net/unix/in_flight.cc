#include "sentry/net/unix/in_flight.h"

#include <sys/socket.h>

#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "sentry/net/unix/unix_socket.h"
#include "sentry/vfs/flat_delete.h"

namespace cloister::net {
namespace {

using Files = std::vector<Ref<vfs::FileDescription>>;

// Linux bounds them by RLIMIT_NOFILE for each user; here by the sandbox.
constexpr size_t kMaxInFlightFiles = 64 << 10;
// A search is worth it after this share of closes.
constexpr size_t kSocketsPerClose = 4;

UnixSocket* AsUnix(vfs::FileDescription& file) {
  Socket* const socket = file.AsSocket();
  return socket != nullptr && socket->domain() == AF_UNIX ? static_cast<UnixSocket*>(socket) : nullptr;
}

// Every unix socket that is under way and in how many messages. Linux: gc_inflight_list.
class Registry {
 public:
  static Registry& Get() {
    static Registry* const registry = new Registry;
    return *registry;
  }

  bool Add(const Files& files) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(const Files& files) ABSL_LOCKS_EXCLUDED(mu_);
  // Messages of sockets that nobody can reach any more; dropping them closes the sockets.
  std::vector<InFlightFiles> TakeUnreachable() ABSL_LOCKS_EXCLUDED(mu_);
  size_t sockets() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return counts_.size();
  }
  bool Worthwhile() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Candidate sockets and how many of their references are not from other candidates.
  using Outside = absl::flat_hash_map<UnixSocket*, int64_t>;
  static void Keep(UnixSocket* socket, Outside* outside);

  mutable absl::Mutex mu_;  // above UnixCore::mu_
  absl::flat_hash_map<UnixSocket*, int64_t> counts_ ABSL_GUARDED_BY(mu_);
  size_t files_ ABSL_GUARDED_BY(mu_) = 0;
  size_t closes_ ABSL_GUARDED_BY(mu_) = 0;
};

bool Registry::Add(const Files& files) {
  absl::MutexLock lock(&mu_);
  if (files_ + files.size() > kMaxInFlightFiles) return false;
  files_ += files.size();
  for (const Ref<vfs::FileDescription>& file : files) {
    if (UnixSocket* const socket = AsUnix(*file)) ++counts_[socket];
  }
  return true;
}

void Registry::Remove(const Files& files) {
  absl::MutexLock lock(&mu_);
  files_ -= files.size();
  for (const Ref<vfs::FileDescription>& file : files) {
    UnixSocket* const socket = AsUnix(*file);
    if (socket == nullptr) continue;
    const auto it = counts_.find(socket);
    if (--it->second == 0) counts_.erase(it);
  }
}

bool Registry::Worthwhile() {
  absl::MutexLock lock(&mu_);
  if (counts_.empty() || ++closes_ * kSocketsPerClose < counts_.size()) return false;
  closes_ = 0;
  return true;
}

// Takes socket and all that hangs on it out of the candidates.
void Registry::Keep(UnixSocket* socket, Outside* outside) {
  std::vector<UnixSocket*> todo = {socket};
  while (!todo.empty()) {
    UnixSocket* const next = todo.back();
    todo.pop_back();
    if (outside->erase(next) == 0) continue;
    next->core().ForEachQueuedFile([&todo](vfs::FileDescription& file) {
      if (UnixSocket* const child = AsUnix(file)) todo.push_back(child);
    });
  }
}

std::vector<InFlightFiles> Registry::TakeUnreachable() {
  absl::MutexLock lock(&mu_);
  // A candidate is referred to by messages alone. It can be reached only through another socket's
  // queue: if all its references are in candidates' queues, and theirs too, it is lost.
  Outside outside;
  for (const auto& [socket, count] : counts_) {
    if (socket->ref_count() == count) outside[socket] = count;
  }
  for (const auto& [socket, count] : outside) {
    socket->core().ForEachQueuedFile([&outside](vfs::FileDescription& file) {
      const auto child = outside.find(AsUnix(file));
      if (child != outside.end()) --child->second;
    });
  }
  std::vector<UnixSocket*> reachable;
  for (const auto& [socket, count] : outside) {
    if (count > 0) reachable.push_back(socket);
  }
  for (UnixSocket* socket : reachable) Keep(socket, &outside);
  std::vector<InFlightFiles> lost;
  for (const auto& [socket, count] : outside) socket->core().TakeQueuedFiles(&lost);
  return lost;
}

}  // namespace

ErrnoOr<InFlightFiles> InFlightFiles::Send(Files files) {
  if (files.empty()) return InFlightFiles();
  if (!Registry::Get().Add(files)) return Errno::kTooManyRefs;
  return InFlightFiles(std::move(files));
}

InFlightFiles& InFlightFiles::operator=(InFlightFiles&& other) noexcept {
  if (this == &other) return *this;
  Drop();
  files_ = std::move(other.files_);
  other.files_.clear();
  return *this;
}

InFlightFiles::~InFlightFiles() { Drop(); }

// Closing a file may drop messages with further files: never one inside the other.
void InFlightFiles::Drop() {
  if (files_.empty()) return;
  vfs::FlatDelete::Run([](void* files) { delete static_cast<Files*>(files); }, new Files(Take()));
}

Files InFlightFiles::Take() {
  if (files_.empty()) return {};
  Registry::Get().Remove(files_);
  return std::exchange(files_, {});
}

void CollectRings() {
  // Dropped here, without the registry's lock.
  const std::vector<InFlightFiles> lost = Registry::Get().TakeUnreachable();
}

void MaybeCollectRings() {
  if (Registry::Get().Worthwhile()) CollectRings();
}

size_t InFlightSockets() { return Registry::Get().sockets(); }

}  // namespace cloister::net
