#ifndef CLOISTER_SENTRY_NET_SOCKET_SOCKET_H_
#define CLOISTER_SENTRY_NET_SOCKET_SOCKET_H_

#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/net/socket/message.h"
#include "sentry/net/socket/net_namespace.h"
#include "sentry/net/socket/socket_address.h"
#include "sentry/net/socket/stack.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/file_description.h"

namespace cloister::net {

using usermem::UserBuffer;
using wait::Poll;

// A value of getsockopt(2) or setsockopt(2).
using OptionValue = absl::InlinedVector<std::byte, 16>;

template <typename T>
OptionValue ToOption(const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  return OptionValue(bytes, bytes + sizeof(T));
}
// The first sizeof(T) bytes, or kInval if there are fewer.
template <typename T>
ErrnoOr<T> FromOption(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(T)) return Errno::kInval;
  T value;
  memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// An open socket: socket(7). Family, type and protocol are fixed when it is made. Never sleeps: what
// would block answers kAgain, and connect kInProgress. Thread-safe.
class Socket : public vfs::FileDescription {
 public:
  Socket(const SocketRequest& request, Ref<NetNamespace> net);
  ~Socket() override;

  int domain() const { return domain_; }
  int type() const { return type_; }
  int protocol() const { return protocol_; }
  const ucred& owner() const { return owner_; }
  NetNamespace& net() const { return *net_; }
  Socket* AsSocket() final { return this; }

  virtual ErrnoOrVoid Bind(const SocketAddress& address, const vfs::Caller& caller) = 0;
  // kInProgress or kAlready: the syscall waits for connect_wait() unless O_NONBLOCK, and calls again with the
  // same address. kAgain (a unix listener's backlog is full): likewise, but O_NONBLOCK answers kAgain.
  virtual ErrnoOrVoid Connect(const SocketAddress& address, const vfs::Caller& caller) = 0;
  virtual wait::WaitOn connect_wait();
  virtual ErrnoOrVoid Listen(int backlog) = 0;
  // flags: O_NONBLOCK of the new socket. kAgain if nobody waits.
  virtual ErrnoOr<Ref<Socket>> Accept(int flags) = 0;
  virtual ErrnoOr<SocketAddress> GetSockName() = 0;
  virtual ErrnoOr<SocketAddress> GetPeerName() = 0;
  virtual ErrnoOrVoid Shutdown(int how) = 0;  // SHUT_RD, SHUT_WR, SHUT_RDWR

  // sendmsg(2): bytes taken; a stream may take fewer. request.control.files is empty once they are sent.
  virtual ErrnoOr<size_t> Send(UserBuffer& src, SendRequest& request) = 0;
  // recvmsg(2): bytes copied; 0 is the end of a stream or an empty datagram.
  virtual ErrnoOr<size_t> Receive(UserBuffer& dst, int flags, Received* received) = 0;

  // Generic options of SOL_SOCKET are served here; families override and fall back to these.
  virtual ErrnoOr<OptionValue> GetOption(int level, int name, size_t want);
  virtual ErrnoOrVoid SetOption(int level, int name, std::span<const std::byte> value);

  // SO_RCVTIMEO, SO_SNDTIMEO in nanoseconds; 0: none.
  int64_t receive_timeout() const { return receive_timeout_.load(std::memory_order_relaxed); }
  int64_t send_timeout() const { return send_timeout_.load(std::memory_order_relaxed); }

  // Whether a blocking send goes on until every byte is taken.
  bool is_stream() const { return type_ == SOCK_STREAM; }

  ErrnoOr<size_t> Read(UserBuffer& dst) override;
  ErrnoOr<size_t> Write(UserBuffer& src) override;
  // SIOCGIF… of netdevice(7); families add theirs.
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;
  Ref<vfs::Inode> inode() const override ABSL_LOCKS_EXCLUDED(inode_mu_);
  std::string Name() const override;
  uint64_t inode_number() const { return inode_number_; }

 protected:
  const Ref<NetNamespace>& net_ref() const { return net_; }
  // SO_ERROR: the pending error, which is then forgotten; 0: none.
  virtual int TakeError() { return 0; }
  virtual bool listening() const { return false; }

 private:
  // SO_… with an int value that nothing here depends on: kept and given back.
  static constexpr int kKept[] = {SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST,  SO_OOBINLINE,
                                  SO_DONTROUTE, SO_DEBUG,     SO_REUSEPORT,  SO_PRIORITY,
                                  SO_RCVLOWAT,  SO_TIMESTAMP, SO_TIMESTAMPNS};
  static constexpr size_t kKeptCount = sizeof(kKept) / sizeof(kKept[0]);

  const int domain_;
  const int type_;
  const int protocol_;
  const ucred owner_;
  const uint64_t inode_number_;
  const Ref<NetNamespace> net_;
  std::atomic<int64_t> receive_timeout_{0};
  std::atomic<int64_t> send_timeout_{0};
  std::atomic<int> kept_[kKeptCount] = {};
  std::atomic<uint64_t> linger_{0};                           // struct linger
  mutable absl::Mutex inode_mu_;                              // leaf
  mutable Ref<vfs::Inode> inode_ ABSL_GUARDED_BY(inode_mu_);  // made on first use
};

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_SOCKET_SOCKET_H_
