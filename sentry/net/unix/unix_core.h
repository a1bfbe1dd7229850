#ifndef CLOISTER_SENTRY_NET_UNIX_UNIX_CORE_H_
#define CLOISTER_SENTRY_NET_UNIX_UNIX_CORE_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/net/socket/message.h"
#include "sentry/net/socket/net_namespace.h"
#include "sentry/net/unix/in_flight.h"
#include "sentry/usermem/user_buffer.h"
#include "sentry/vfs/path.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::net {

using usermem::UserBuffer;
using wait::Poll;

inline constexpr size_t kDefaultBuffer = 212992;  // /proc/sys/net/core/wmem_default

// What one unix socket is to its peers: its inbox, its state and its name. Linux: struct unix_sock. Kept by
// its open file, by sockets connected to it, and by a listener's backlog until it is accepted; never keeps an
// open file but in its messages. Everything that arrives lands in the inbox of the receiver. Thread-safe.
//
// Locks: mu_ of one core at a time (but for an end that nobody else knows yet); wait queues are notified
// without it. Names' locks lie below it.
class UnixCore final : public RefCounted {
 public:
  // Linux: RCV_SHUTDOWN and SEND_SHUTDOWN.
  enum Shut : int { kShutReceive = 1, kShutSend = 2, kShutBoth = 3 };

  struct Message {
    std::vector<std::byte> data;
    size_t offset = 0;  // bytes of a stream's message that are read already
    SocketAddress from;
    ucred sender = {};
    InFlightFiles files;
    size_t left() const { return data.size() - offset; }
    size_t charge() const { return data.size() + kOverhead; }
  };

  UnixCore(int type, Ref<NetNamespace> net) : type_(type), net_(std::move(net)) {}

  int type() const { return type_; }
  bool connected_type() const { return type_ != SOCK_DGRAM; }
  wait::WaitQueue& queue() { return queue_; }

  // ---- Connections ----
  // Makes two of socketpair(2) each other's peers.
  static void Pair(UnixCore& one, UnixCore& other, const ucred& owner);
  ErrnoOrVoid Listen(int backlog, const ucred& owner) ABSL_LOCKS_EXCLUDED(mu_);
  // To a listener found by name; kAgain while its backlog is full (it tells kOut when not).
  ErrnoOrVoid ConnectTo(UnixCore& listener, const ucred& owner) ABSL_LOCKS_EXCLUDED(mu_);
  // Sets or (null) clears a datagram socket's default receiver.
  ErrnoOrVoid SetDefaultPeer(Ref<UnixCore> peer) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Ref<UnixCore>> Accept() ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Shutdown(Shut how) ABSL_LOCKS_EXCLUDED(mu_);
  // The open file goes, or (embryo) a listener that never accepted this end.
  void Close(bool embryo = false) ABSL_LOCKS_EXCLUDED(mu_);
  Ref<UnixCore> peer() const ABSL_LOCKS_EXCLUDED(mu_);
  // SO_PEERCRED.
  ucred peer_credentials() const ABSL_LOCKS_EXCLUDED(mu_);
  bool listening() const ABSL_LOCKS_EXCLUDED(mu_);
  int TakeError() ABSL_LOCKS_EXCLUDED(mu_);

  // ---- Data ----
  // Bytes of src for the peer's inbox: as many as fit. kAgain, kPipe, kNotConn, kConnRefused.
  ErrnoOr<size_t> SendStream(UserBuffer& src, SendRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  // All of src as one message, to `to` or (null) the peer. kMsgSize if it can never fit.
  ErrnoOr<size_t> SendMessage(UserBuffer& src, SendRequest& request, Ref<UnixCore> to)
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<size_t> ReceiveStream(UserBuffer& dst, int flags, Received* received) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<size_t> ReceiveMessage(UserBuffer& dst, int flags, Received* received) ABSL_LOCKS_EXCLUDED(mu_);
  Poll Ready() ABSL_LOCKS_EXCLUDED(mu_);
  // FIONREAD: bytes of a stream, or of the next message.
  size_t ReadableBytes() const ABSL_LOCKS_EXCLUDED(mu_);
  // Bytes that wait in the inbox, with overhead: the sender's SIOCOUTQ.
  size_t charged() const ABSL_LOCKS_EXCLUDED(mu_);

  size_t send_buffer() const ABSL_LOCKS_EXCLUDED(mu_);
  void set_send_buffer(size_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  bool pass_credentials() const ABSL_LOCKS_EXCLUDED(mu_);
  void set_pass_credentials(bool on) ABSL_LOCKS_EXCLUDED(mu_);

  // ---- Name ----
  SocketAddress address() const ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid BindAbstract(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid BindAny() ABSL_LOCKS_EXCLUDED(mu_);
  // make creates the socket's node; called once, and only while the socket has no name.
  ErrnoOrVoid BindPath(const SocketAddress& address, absl::FunctionRef<ErrnoOr<vfs::Path>()> make)
      ABSL_LOCKS_EXCLUDED(mu_);
  // The open socket bound to a node; null if there is none.
  static Ref<UnixCore> FindBound(vfs::Inode& inode);
  AbstractNames& names() const { return net_->abstract_names(); }

  // ---- For the search for rings ----
  void ForEachQueuedFile(absl::FunctionRef<void(vfs::FileDescription&)> each) const ABSL_LOCKS_EXCLUDED(mu_);
  void TakeQueuedFiles(std::vector<InFlightFiles>* files) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  enum class State { kFree, kConnecting, kConnected, kListening, kClosed };
  static constexpr size_t kOverhead = 128;        // charged for each message
  static constexpr size_t kMaxMessages = 512;     // net.unix.max_dgram_qlen
  static constexpr size_t kMergeUpTo = 16 << 10;  // small writes to a stream share a message up to here

  // Inbox side: who has room, pushes, wakes.
  ErrnoOr<size_t> RoomFor(UnixCore& sender, size_t limit) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid MayReceiveFrom(const UnixCore& sender, size_t size, size_t limit) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Push(Message message) ABSL_LOCKS_EXCLUDED(mu_);
  bool HasRoomLocked(size_t limit) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return charged_ * 4 <= limit; }
  ErrnoOrVoid NotBlocked(ErrnoOrVoid result, const Ref<UnixCore>& target) ABSL_LOCKS_EXCLUDED(mu_);
  bool IsFullLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return messages_.size() >= kMaxMessages; }
  bool WritableBy(UnixCore& sender, size_t limit) ABSL_LOCKS_EXCLUDED(mu_);
  void NoteBlockedLocked(UnixCore& sender, size_t limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<Ref<UnixCore>> TakeUnblockedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetBlocked(UnixCore& sender) ABSL_LOCKS_EXCLUDED(mu_);
  static void TellRoom(const std::vector<Ref<UnixCore>>& senders);
  // An empty inbox: the error or the end that a reader gets.
  ErrnoOr<size_t> EmptyLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // arrived: the files of what is taken, which their owner takes out of flight without this lock.
  ErrnoOr<size_t> CopyStreamLocked(UserBuffer& dst, bool peek, Received* received, InFlightFiles* arrived)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeControlLocked(Message& message, bool peek, Received* received, InFlightFiles* arrived)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // For a sender: its peer and its limit.
  struct Target {
    Ref<UnixCore> peer;
    size_t limit;
  };
  ErrnoOr<Target> StreamTarget() ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Message> MakeMessage(UserBuffer& src, size_t size, SendRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  // Shutdown bits that the peer's shutdown or close brings.
  void PeerShut(int bits, bool reset) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Enqueue(Ref<UnixCore> embryo, UnixCore& connecting) ABSL_LOCKS_EXCLUDED(mu_);
  // Only an unnamed socket may take a name; one attempt at a time.
  bool BeginNaming() ABSL_LOCKS_EXCLUDED(mu_);
  void EndNaming(const SocketAddress* address, vfs::Path path) ABSL_LOCKS_EXCLUDED(mu_);
  void ReleaseName(const SocketAddress& address, const vfs::Path& path);

  const int type_;
  const Ref<NetNamespace> net_;
  wait::WaitQueue queue_;
  mutable absl::Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kFree;
  bool naming_ ABSL_GUARDED_BY(mu_) = false;
  int shut_ ABSL_GUARDED_BY(mu_) = 0;
  int error_ ABSL_GUARDED_BY(mu_) = 0;  // SO_ERROR
  Ref<UnixCore> peer_ ABSL_GUARDED_BY(mu_);
  ucred peer_credentials_ ABSL_GUARDED_BY(mu_) = {0, static_cast<uid_t>(-1), static_cast<gid_t>(-1)};
  std::deque<Message> messages_ ABSL_GUARDED_BY(mu_);
  size_t charged_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<Ref<UnixCore>, size_t> blocked_ ABSL_GUARDED_BY(mu_);  // senders and their limits
  Ref<UnixCore> blocked_on_ ABSL_GUARDED_BY(mu_);                            // whose blocked_ we are in
  std::deque<Ref<UnixCore>> backlog_ ABSL_GUARDED_BY(mu_);
  size_t backlog_limit_ ABSL_GUARDED_BY(mu_) = 0;
  size_t send_buffer_ ABSL_GUARDED_BY(mu_) = kDefaultBuffer;
  bool pass_credentials_ ABSL_GUARDED_BY(mu_) = false;
  SocketAddress address_ ABSL_GUARDED_BY(mu_);
  vfs::Path path_ ABSL_GUARDED_BY(mu_);
  bool owns_name_ ABSL_GUARDED_BY(mu_) = false;  // an accepted socket only shows its listener's
};

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_UNIX_UNIX_CORE_H_
