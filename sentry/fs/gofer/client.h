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

// The sentry's side of the gofer's channel: one call at a time on each of a few connections. A call
// takes the doorbell's connection, on which gofer and caller change places on the caller's core; if
// another call has it, that of the core it runs on, or any free one. Thread-safe.
//
// Calls block the calling host thread (some microseconds); everything that can be is cached above.
class GoferClient : public RefCounted {
 public:
  // An errno out of a reply. The sentry's own codes (restart of a call) are not the gofer's to say.
  static Errno ErrnoOf(int32_t error);

  // Waits for the gofer's welcome. on_lost is called once, on any thread, when the channel has
  // died: the gofer is gone or broke the protocol. From then on every call is kIo.
  static absl::StatusOr<Ref<GoferClient>> Connect(UniqueFd channel, std::function<void()> on_lost);

  // Gives the gofer the listener of a filter that sends gofer::kDoorbellNr there. All threads that call
  // must be under it. Nobody else may hold the listener: only then does its end tell of the gofer's.
  ErrnoOrVoid UseDoorbell(UniqueFd listener);

  // *fd receives the descriptor that came with the reply, if any; without fd it is closed. The request
  // is given nodes to forget on the way.
  ErrnoOrVoid Call(gofer::Request& request, gofer::Reply* reply, UniqueFd* fd = nullptr)
      ABSL_LOCKS_EXCLUDED(forget_mu_);

  // Gives a node back: with the next call, or in batches; at once if `now` (it keeps many blocks of a
  // removed file).
  void Forget(uint64_t node, bool now = false) ABSL_LOCKS_EXCLUDED(forget_mu_);

  // How many nodes the gofer can hold for all mounts together.
  uint64_t max_nodes() const { return max_nodes_; }
  bool lost() const { return lost_.load(std::memory_order_acquire); }
  // How many calls there have been; and how many of them by the doorbell.
  uint64_t calls() const { return calls_.load(std::memory_order_relaxed); }
  uint64_t rings() const { return rung_.load(std::memory_order_relaxed); }

 private:
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);

  struct Connection {
    explicit Connection(std::unique_ptr<gofer::ClientChannel> client) : channel(std::move(client)) {}
    absl::Mutex mu;  // leaf
    const std::unique_ptr<gofer::ClientChannel> channel ABSL_PT_GUARDED_BY(mu);
  };

  explicit GoferClient(std::function<void()> on_lost) : on_lost_(std::move(on_lost)) {}
  // The chosen connection, locked; Exchange unlocks it. Not analysed: which one it is shows at run time.
  Connection& Take() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  absl::Status Exchange(Connection& connection, const gofer::Request& request, gofer::Reply* reply,
                        std::vector<UniqueFd>* fds) ABSL_NO_THREAD_SAFETY_ANALYSIS;
  // Puts nodes that wait to be forgotten into a request.
  void TakeForgotten(gofer::Request* request) ABSL_LOCKS_EXCLUDED(forget_mu_);
  ErrnoOrVoid Lost(const absl::Status& why);

  const std::function<void()> on_lost_;
  std::vector<std::unique_ptr<Connection>> connections_;  // fixed once connected
  std::vector<int> by_cpu_;                               // index of the connection for a CPU, or -1
  uint64_t max_nodes_ = 0;
  size_t doorbell_ = 0;             // of connections_; 0: none
  std::atomic<bool> rings_{false};  // doorbell_ is in use
  std::atomic<bool> lost_{false};
  std::atomic<uint64_t> calls_{0};
  std::atomic<uint64_t> rung_{0};
  std::atomic<bool> any_forgotten_{false};
  absl::Mutex forget_mu_;  // leaf
  std::vector<uint64_t> forgotten_ ABSL_GUARDED_BY(forget_mu_);
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_CLIENT_H_
