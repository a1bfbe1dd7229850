#ifndef CLOISTER_SENTRY_FS_GOFER_CLIENT_H_
#define CLOISTER_SENTRY_FS_GOFER_CLIENT_H_

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/host/unique_fd.h"
#include "base/own/ref.h"
#include "gofer/protocol/channel.h"
#include "gofer/protocol/gofer.pb.h"

namespace cloister::goferfs {

// The sentry's side of the gofer's channel: one call at a time on each of a few connections, each
// served by a gofer thread on a CPU of its own. A call takes the connection of the CPU it runs on,
// so that caller and worker change places there, or any free one. Thread-safe.
//
// Calls block the calling host thread (about 10 us); everything that can be is cached above.
class GoferClient : public RefCounted {
 public:
  // An errno out of a reply. The sentry's own codes (restart of a call) are not the gofer's to say.
  static Errno ErrnoOf(int32_t error);

  // Asks for the further connections. on_lost is called once, on any thread, when the channel has
  // died: the gofer is gone or broke the protocol. From then on every call is kIo.
  static absl::StatusOr<Ref<GoferClient>> Connect(UniqueFd channel, std::function<void()> on_lost);

  // *fd receives the descriptor that came with the reply, if any; without fd it is closed.
  ErrnoOrVoid Call(const gofer::Request& request, gofer::Reply* reply, UniqueFd* fd = nullptr);

  // Gives a node back; sent in batches, but at once if `now` (it keeps a removed file's blocks).
  void Forget(uint64_t node, bool now = false) ABSL_LOCKS_EXCLUDED(forget_mu_);

  // How many nodes the gofer can hold for all mounts together.
  uint64_t max_nodes() const { return max_nodes_; }
  bool lost() const { return lost_.load(std::memory_order_acquire); }

 private:
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);

  struct Connection {
    explicit Connection(UniqueFd socket);
    absl::Mutex mu;  // leaf
    gofer::Channel channel ABSL_GUARDED_BY(mu);
  };

  explicit GoferClient(std::function<void()> on_lost) : on_lost_(std::move(on_lost)) {}
  // The chosen connection, locked; Exchange unlocks it. Not analysed: which one it is shows at run time.
  Connection& Take() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  absl::Status Exchange(Connection& connection, const gofer::Request& request, gofer::Reply* reply,
                        std::vector<UniqueFd>* fds) ABSL_NO_THREAD_SAFETY_ANALYSIS;
  absl::Status Hello();
  ErrnoOrVoid Lost(const absl::Status& why);

  const std::function<void()> on_lost_;
  std::vector<std::unique_ptr<Connection>> connections_;  // fixed once connected
  std::vector<int> by_cpu_;                               // index of the connection for a CPU, or -1
  uint64_t max_nodes_ = 0;
  std::atomic<bool> lost_{false};
  absl::Mutex forget_mu_;  // leaf
  gofer::Request forget_ ABSL_GUARDED_BY(forget_mu_);
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_CLIENT_H_
