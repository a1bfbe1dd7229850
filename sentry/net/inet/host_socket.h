#ifndef CLOISTER_SENTRY_NET_INET_HOST_SOCKET_H_
#define CLOISTER_SENTRY_NET_INET_HOST_SOCKET_H_

#include <atomic>

#include "base/host/unique_fd.h"
#include "sentry/net/socket/socket.h"
#include "sentry/wait/poller.h"

namespace cloister::net {

// A TCP, UDP or ping socket that the host serves. Owns a non-blocking host descriptor, which the
// poller watches from the first time that somebody asks where to wait.
class HostSocket final : public Socket, private wait::HostFdClient {
 public:
  HostSocket(const SocketRequest& request, Ref<NetNamespace> net, UniqueFd host);
  ~HostSocket() override;

  ErrnoOrVoid Bind(const SocketAddress& address, const vfs::Caller& caller) override;
  ErrnoOrVoid Connect(const SocketAddress& address, const vfs::Caller& caller) override;
  ErrnoOrVoid Listen(int backlog) override;
  ErrnoOr<Ref<Socket>> Accept(int flags) override;
  ErrnoOr<SocketAddress> GetSockName() override;
  ErrnoOr<SocketAddress> GetPeerName() override;
  ErrnoOrVoid Shutdown(int how) override;
  ErrnoOr<size_t> Send(UserBuffer& src, SendRequest& request) override;
  ErrnoOr<size_t> Receive(UserBuffer& dst, int flags, Received* received) override;
  ErrnoOr<OptionValue> GetOption(int level, int name, size_t want) override;
  ErrnoOrVoid SetOption(int level, int name, std::span<const std::byte> value) override;

  Poll Ready() const override;
  wait::WaitQueue* wait_queue() override {
    Watch();
    return &queue_;
  }
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;

 private:
  void OnHostEvents(Poll events) override;
  // Makes the poller tell of events from now on, and of what is ready already.
  void Watch();
  ErrnoOrVoid CheckAddress(const SocketAddress& address, bool may_be_unspecified) const;
  ErrnoOr<size_t> SendPiece(std::span<const std::byte> data, const SendRequest& request, bool first);
  ErrnoOr<size_t> ReceivePiece(std::span<std::byte> data, int flags, Received* received);
  ErrnoOr<size_t> ReceiveOnce(UserBuffer& dst, int flags, Received* received);

  const UniqueFd host_;
  wait::WaitQueue queue_;
  std::atomic<bool> watched_{false};
  std::atomic<int> pending_error_{0};  // met behind bytes that were given first
};

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_INET_HOST_SOCKET_H_
