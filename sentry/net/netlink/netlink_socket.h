#ifndef CLOISTER_SENTRY_NET_NETLINK_NETLINK_SOCKET_H_
#define CLOISTER_SENTRY_NET_NETLINK_NETLINK_SOCKET_H_

#include <linux/netlink.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sentry/net/socket/socket.h"

namespace cloister::net {

// A NETLINK_ROUTE socket: rtnetlink(7). Answers dumps of links, addresses, routes, rules and neighbours at
// once, and RTM_GETLINK for one link; refuses changes with EPERM. Multicast groups may be joined; nothing is
// ever sent to them.
class NetlinkSocket final : public Socket {
 public:
  using Socket::Socket;

  ErrnoOrVoid Bind(const SocketAddress& address, const vfs::Caller& caller) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Connect(const SocketAddress& address, const vfs::Caller& caller) override;
  ErrnoOrVoid Listen(int) override { return Errno::kOpNotSupp; }
  ErrnoOr<Ref<Socket>> Accept(int) override { return Errno::kOpNotSupp; }
  ErrnoOr<SocketAddress> GetSockName() override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<SocketAddress> GetPeerName() override;
  ErrnoOrVoid Shutdown(int) override { return Errno::kOpNotSupp; }
  ErrnoOr<size_t> Send(UserBuffer& src, SendRequest& request) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<size_t> Receive(UserBuffer& dst, int flags, Received* received) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<OptionValue> GetOption(int level, int name, size_t want) override;
  ErrnoOrVoid SetOption(int level, int name, std::span<const std::byte> value) override;

  Poll Ready() const override ABSL_LOCKS_EXCLUDED(mu_);
  wait::WaitQueue* wait_queue() override { return &queue_; }

  // A datagram of the sentry's own: mq_notify(2) with SIGEV_THREAD. Dropped where too much lies unread.
  void Deliver(std::vector<std::byte> datagram) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Datagram = std::vector<std::byte>;

  uint32_t PortLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The answers to one request, which has been cut to its own length.
  std::vector<Datagram> Serve(const nlmsghdr& head, std::span<const std::byte> payload, uint32_t port);
  std::vector<Datagram> ServeDump(const nlmsghdr& head, uint8_t family, uint32_t port);
  std::vector<Datagram> ServeLink(const nlmsghdr& head, std::span<const std::byte> payload, uint32_t port);
  ErrnoOrVoid Queue(std::vector<Datagram> answers) ABSL_LOCKS_EXCLUDED(mu_);

  wait::WaitQueue queue_;
  mutable absl::Mutex mu_;                    // leaf
  uint32_t port_ ABSL_GUARDED_BY(mu_) = 0;    // 0: not bound yet
  uint32_t groups_ ABSL_GUARDED_BY(mu_) = 0;  // as bound
  std::deque<Datagram> answers_ ABSL_GUARDED_BY(mu_);
  size_t queued_ ABSL_GUARDED_BY(mu_) = 0;  // bytes in answers_
};

// socket(2) of AF_NETLINK: NETLINK_ROUTE alone, kProtoNoSupport for others.
ErrnoOr<Ref<Socket>> MakeNetlinkSocket(const SocketRequest& request, Ref<NetNamespace> net);

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_NETLINK_NETLINK_SOCKET_H_
