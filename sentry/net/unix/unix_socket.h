#ifndef CLOISTER_SENTRY_NET_UNIX_UNIX_SOCKET_H_
#define CLOISTER_SENTRY_NET_UNIX_UNIX_SOCKET_H_

#include <utility>

#include "sentry/net/socket/socket.h"
#include "sentry/net/unix/unix_core.h"

namespace cloister::net {

// The open file of a unix socket: unix(7). Stream, datagram or sequenced packets; everything that
// others may reach is in its core.
class UnixSocket final : public Socket {
 public:
  UnixSocket(const SocketRequest& request, Ref<NetNamespace> net, Ref<UnixCore> core);
  ~UnixSocket() override;

  UnixCore& core() const { return *core_; }

  ErrnoOrVoid Bind(const SocketAddress& address, const vfs::Caller& caller) override;
  ErrnoOrVoid Connect(const SocketAddress& address, const vfs::Caller& caller) override;
  wait::WaitOn connect_wait() override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Listen(int backlog) override;
  ErrnoOr<Ref<Socket>> Accept(int flags) override;
  ErrnoOr<SocketAddress> GetSockName() override;
  ErrnoOr<SocketAddress> GetPeerName() override;
  ErrnoOrVoid Shutdown(int how) override;
  ErrnoOr<size_t> Send(UserBuffer& src, SendRequest& request) override;
  ErrnoOr<size_t> Receive(UserBuffer& dst, int flags, Received* received) override;
  ErrnoOr<OptionValue> GetOption(int level, int name, size_t want) override;
  ErrnoOrVoid SetOption(int level, int name, std::span<const std::byte> value) override;

  Poll Ready() const override { return core_->Ready(); }
  wait::WaitQueue* wait_queue() override { return &core_->queue(); }
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;

 private:
  int TakeError() override { return core_->TakeError(); }
  bool listening() const override { return core_->listening(); }
  ErrnoOrVoid AutobindIfPassing();

  const Ref<UnixCore> core_;
  absl::Mutex mu_;                                  // leaf
  Ref<UnixCore> waiting_for_ ABSL_GUARDED_BY(mu_);  // the listener whose backlog was full
};

// socket(2) of AF_UNIX. kProtoNoSupport, kSocktNoSupport.
ErrnoOr<Ref<Socket>> MakeUnixSocket(const SocketRequest& request, Ref<NetNamespace> net);
// socketpair(2).
ErrnoOr<std::pair<Ref<Socket>, Ref<Socket>>> MakeUnixPair(const SocketRequest& request,
                                                          Ref<NetNamespace> net);

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_UNIX_UNIX_SOCKET_H_
