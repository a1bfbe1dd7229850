#include "sentry/net/netlink/netlink_socket.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

namespace cloister::net {
namespace {

using Bytes = std::span<const std::byte>;

constexpr size_t kMaxRequest = 64 << 10;
constexpr size_t kMaxQueued = 4 << 20;  // bytes of answers that nobody read
constexpr size_t kPartSize = 16 << 10;  // answers of a dump share datagrams up to here
constexpr int kDefaultBufferSize = 212992;

template <typename T>
bool Head(Bytes bytes, T* head) {
  if (bytes.size() < sizeof(T)) return false;
  memcpy(head, bytes.data(), sizeof(T));
  return true;
}

size_t Aligned(size_t size) { return (size + 3) & ~size_t{3}; }

template <typename T>
void Append(const T& value, std::vector<std::byte>* out) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out->insert(out->end(), bytes, bytes + sizeof(T));
}

nlmsghdr AnswerHead(const nlmsghdr& request, uint16_t type, size_t payload, uint32_t port) {
  nlmsghdr head = {};
  head.nlmsg_len = static_cast<uint32_t>(NLMSG_HDRLEN + payload);
  head.nlmsg_type = type;
  head.nlmsg_seq = request.nlmsg_seq;
  head.nlmsg_pid = port;
  return head;
}

// NLMSG_ERROR; no error is an acknowledgement.
std::vector<std::byte> ErrorAnswer(const nlmsghdr& request, int error, uint32_t port) {
  std::vector<std::byte> answer;
  Append(AnswerHead(request, NLMSG_ERROR, sizeof(nlmsgerr), port), &answer);
  nlmsgerr body = {};
  body.error = -error;
  body.msg = request;
  Append(body, &answer);
  return answer;
}

std::vector<std::byte> DoneAnswer(const nlmsghdr& request, uint32_t port) {
  std::vector<std::byte> answer;
  nlmsghdr head = AnswerHead(request, NLMSG_DONE, sizeof(int), port);
  head.nlmsg_flags = NLM_F_MULTI;
  Append(head, &answer);
  Append(int{0}, &answer);
  return answer;
}

// The stack's message as an answer to the guest's own request.
void Readdress(const nlmsghdr& request, uint32_t port, uint16_t flags, std::vector<std::byte>* message) {
  nlmsghdr head;
  memcpy(&head, message->data(), sizeof head);
  head.nlmsg_seq = request.nlmsg_seq;
  head.nlmsg_pid = port;
  head.nlmsg_flags = flags;
  memcpy(message->data(), &head, sizeof head);
}

bool IsDumpable(uint16_t type) {
  switch (type) {
    case RTM_GETLINK:
    case RTM_GETADDR:
    case RTM_GETROUTE:
    case RTM_GETRULE:
    case RTM_GETNEIGH:
      return true;
    default:
      return false;
  }
}

// rtnetlink's types come in fours: new, delete, get, set.
bool IsChange(uint16_t type) { return type >= RTM_BASE && (type & 3) != 2; }

// The link's name if the attributes behind body have one.
std::string NameIn(Bytes attributes) {
  rtattr head;
  while (Head(attributes, &head) && head.rta_len >= sizeof head && head.rta_len <= attributes.size()) {
    if (head.rta_type == IFLA_IFNAME) {
      const auto* text = reinterpret_cast<const char*>(attributes.data() + sizeof head);
      return std::string(text, strnlen(text, head.rta_len - sizeof head));
    }
    attributes = attributes.subspan(std::min(Aligned(head.rta_len), attributes.size()));
  }
  return "";
}

Bytes AttributesOf(Bytes payload, size_t body) {
  return payload.subspan(std::min(Aligned(body), payload.size()));
}

}  // namespace

uint32_t NetlinkSocket::PortLocked() {
  // Linux gives the first socket of a process its pid; any number that is free will do.
  static std::atomic<uint32_t> next{0x80000000};
  if (port_ == 0) port_ = next.fetch_add(1, std::memory_order_relaxed) | 0x80000000;
  return port_;
}

ErrnoOrVoid NetlinkSocket::Bind(const SocketAddress& address, const vfs::Caller&) {
  if (address.size() < sizeof(sockaddr_nl) || address.family() != AF_NETLINK) return Errno::kInval;
  const auto wanted = address.As<sockaddr_nl>();
  absl::MutexLock lock(&mu_);
  if (port_ != 0 && wanted.nl_pid != 0 && wanted.nl_pid != port_) return Errno::kInval;
  if (wanted.nl_pid != 0) port_ = wanted.nl_pid;
  PortLocked();
  groups_ = wanted.nl_groups;
  return {};
}

ErrnoOrVoid NetlinkSocket::Connect(const SocketAddress& address, const vfs::Caller&) {
  if (address.family() == AF_UNSPEC && address.size() >= sizeof(sa_family_t)) return {};
  if (address.size() < sizeof(sockaddr_nl) || address.family() != AF_NETLINK) return Errno::kInval;
  if (address.As<sockaddr_nl>().nl_pid != 0) return Errno::kPerm;  // the kernel alone can be talked to
  return {};
}

ErrnoOr<SocketAddress> NetlinkSocket::GetSockName() {
  sockaddr_nl own = {};
  own.nl_family = AF_NETLINK;
  absl::MutexLock lock(&mu_);
  own.nl_pid = port_;
  own.nl_groups = groups_;
  return SocketAddress::Of(own);
}

ErrnoOr<SocketAddress> NetlinkSocket::GetPeerName() {
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  return SocketAddress::Of(kernel);
}

std::vector<NetlinkSocket::Datagram> NetlinkSocket::ServeDump(const nlmsghdr& head, uint8_t family,
                                                              uint32_t port) {
  ErrnoOr<Stack::Messages> messages = net().stack()->RouteDump(head.nlmsg_type, family);
  if (!messages.ok()) return {ErrorAnswer(head, static_cast<int>(messages.error()), port)};
  std::vector<Datagram> answers(1);
  for (std::vector<std::byte>& message : *messages) {
    if (message.size() < sizeof(nlmsghdr)) continue;
    Readdress(head, port, NLM_F_MULTI, &message);
    if (!answers.back().empty() && answers.back().size() + message.size() > kPartSize) answers.emplace_back();
    answers.back().insert(answers.back().end(), message.begin(), message.end());
  }
  if (answers.back().empty()) answers.pop_back();
  answers.push_back(DoneAnswer(head, port));
  return answers;
}

// RTM_GETLINK of one link, by index or name.
std::vector<NetlinkSocket::Datagram> NetlinkSocket::ServeLink(const nlmsghdr& head, Bytes payload,
                                                              uint32_t port) {
  ifinfomsg wanted;
  if (!Head(payload, &wanted)) return {ErrorAnswer(head, EINVAL, port)};
  const std::string name = NameIn(AttributesOf(payload, sizeof wanted));
  ErrnoOr<Stack::Messages> links = net().stack()->RouteDump(RTM_GETLINK, AF_UNSPEC);
  if (!links.ok()) return {ErrorAnswer(head, static_cast<int>(links.error()), port)};
  for (std::vector<std::byte>& link : *links) {
    ifinfomsg body;
    if (link.size() < NLMSG_HDRLEN || !Head(Bytes(link).subspan(NLMSG_HDRLEN), &body)) continue;
    const bool same = wanted.ifi_index != 0
                          ? body.ifi_index == wanted.ifi_index
                          : NameIn(AttributesOf(Bytes(link).subspan(NLMSG_HDRLEN), sizeof body)) == name;
    if (!same) continue;
    Readdress(head, port, 0, &link);
    return {std::move(link)};
  }
  return {ErrorAnswer(head, ENODEV, port)};
}

std::vector<NetlinkSocket::Datagram> NetlinkSocket::Serve(const nlmsghdr& head, Bytes payload,
                                                          uint32_t port) {
  if (net().stack() == nullptr) return {ErrorAnswer(head, EOPNOTSUPP, port)};
  if (IsChange(head.nlmsg_type)) return {ErrorAnswer(head, EPERM, port)};
  if ((head.nlmsg_flags & NLM_F_DUMP) && IsDumpable(head.nlmsg_type)) {
    return ServeDump(head, payload.empty() ? uint8_t{AF_UNSPEC} : static_cast<uint8_t>(payload[0]), port);
  }
  if (head.nlmsg_type == RTM_GETLINK) return ServeLink(head, payload, port);
  return {ErrorAnswer(head, EOPNOTSUPP, port)};
}

ErrnoOrVoid NetlinkSocket::Queue(std::vector<Datagram> answers) {
  {
    absl::MutexLock lock(&mu_);
    for (Datagram& answer : answers) {
      if (queued_ + answer.size() > kMaxQueued) return Errno::kNoBufs;
      queued_ += answer.size();
      answers_.push_back(std::move(answer));
    }
  }
  queue_.Notify(Poll::kIn);
  return {};
}

void NetlinkSocket::Deliver(Datagram datagram) {
  std::vector<Datagram> one;
  one.push_back(std::move(datagram));
  static_cast<void>(Queue(std::move(one)));
}

ErrnoOr<size_t> NetlinkSocket::Send(UserBuffer& src, SendRequest& request) {
  if (request.flags & MSG_OOB) return Errno::kOpNotSupp;
  if (!request.to.empty()) {
    if (request.to.size() < sizeof(sockaddr_nl) || request.to.family() != AF_NETLINK) return Errno::kInval;
    const auto to = request.to.As<sockaddr_nl>();
    if (to.nl_pid != 0 || to.nl_groups != 0) return Errno::kPerm;
  }
  if (src.size() > kMaxRequest) return Errno::kMsgSize;
  std::vector<std::byte> data(src.size());
  if (!data.empty() && TRY(src.CopyIn(data)) < data.size()) return Errno::kFault;
  uint32_t port;
  {
    absl::MutexLock lock(&mu_);
    port = PortLocked();
  }
  Bytes rest = data;
  nlmsghdr head;
  while (Head(rest, &head) && head.nlmsg_len >= sizeof head && head.nlmsg_len <= rest.size()) {
    const Bytes payload = rest.subspan(sizeof head, head.nlmsg_len - sizeof head);
    rest = rest.subspan(std::min(Aligned(head.nlmsg_len), rest.size()));
    if (!(head.nlmsg_flags & NLM_F_REQUEST) || head.nlmsg_type < NLMSG_MIN_TYPE) {
      if (head.nlmsg_flags & NLM_F_ACK) TRY_VOID(Queue({ErrorAnswer(head, 0, port)}));
      continue;
    }
    TRY_VOID(Queue(Serve(head, payload, port)));
  }
  return data.size();
}

ErrnoOr<size_t> NetlinkSocket::Receive(UserBuffer& dst, int flags, Received* received) {
  if (flags & MSG_OOB) return Errno::kOpNotSupp;
  Datagram answer;
  {
    absl::MutexLock lock(&mu_);
    if (answers_.empty()) return Errno::kAgain;
    if (flags & MSG_PEEK) {
      answer = answers_.front();
    } else {
      answer = std::move(answers_.front());
      answers_.pop_front();
      queued_ -= answer.size();
    }
  }
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  received->from = SocketAddress::Of(kernel);
  received->full_length = answer.size();
  if (answer.size() > dst.size()) received->flags |= MSG_TRUNC;
  if (dst.empty()) return size_t{0};
  return dst.CopyOut(answer);
}

Poll NetlinkSocket::Ready() const {
  absl::MutexLock lock(&mu_);
  return answers_.empty() ? Poll::kOut : Poll::kIn | Poll::kOut;
}

ErrnoOr<OptionValue> NetlinkSocket::GetOption(int level, int name, size_t want) {
  if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF)) return ToOption(kDefaultBufferSize);
  return Socket::GetOption(level, name, want);
}

ErrnoOrVoid NetlinkSocket::SetOption(int level, int name, std::span<const std::byte> value) {
  if (level == SOL_SOCKET) {
    switch (name) {
      case SO_SNDBUF:
      case SO_RCVBUF:
      case SO_SNDBUFFORCE:
      case SO_RCVBUFFORCE:
      case SO_PASSCRED:
        TRY_VOID(FromOption<int>(value));
        return {};
      default:
        return Socket::SetOption(level, name, value);
    }
  }
  if (level != SOL_NETLINK) return Errno::kNoProtoOpt;
  switch (name) {
    case NETLINK_ADD_MEMBERSHIP:
    case NETLINK_DROP_MEMBERSHIP:
    case NETLINK_PKTINFO:
    case NETLINK_NO_ENOBUFS:
    case NETLINK_EXT_ACK:
    case NETLINK_CAP_ACK:
      TRY_VOID(FromOption<int>(value));
      return {};
    default:  // NETLINK_GET_STRICT_CHK among them: callers go on without
      return Errno::kNoProtoOpt;
  }
}

ErrnoOr<Ref<Socket>> MakeNetlinkSocket(const SocketRequest& request, Ref<NetNamespace> net) {
  if (request.type != SOCK_RAW && request.type != SOCK_DGRAM) return Errno::kSocktNoSupport;
  if (request.protocol != NETLINK_ROUTE) return Errno::kProtoNoSupport;
  return Ref<Socket>(MakeRef<NetlinkSocket>(request, std::move(net)));
}

}  // namespace cloister::net
