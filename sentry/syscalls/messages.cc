// Sending and receiving on sockets.

#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "sentry/syscalls/socket_arguments.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"

namespace cloister::syscalls {
namespace {

using net::Received;
using net::SendRequest;
using task::Block;
using usermem::UserBuffer;
using usermem::UserPtr;
using wait::Poll;
using wait::WaitOn;

constexpr uint32_t kMaxMessages = 1024;  // UIO_MAXIOV: sendmmsg(2), recvmmsg(2)
constexpr size_t kHeaderFlags = offsetof(msghdr, msg_flags);

WaitOn On(const SocketRef& socket, Poll events) {
  return {Ref<RefCounted>(socket.file), socket.file->wait_queue(), events};
}

// The mark of a 32-bit process' call is the kernel's own. Linux: MSG_CMSG_COMPAT.
ErrnoOrVoid CheckMessageFlags(int flags) { return flags < 0 ? Errno::kInval : Ok(); }

// One message on its way out.
struct Sending {
  SocketRef socket;
  UserBuffer buffer;
  SendRequest request;
  std::optional<vfs::Caller> caller;  // only where an address may be a path
  SocketWait wait;
  size_t total = 0;

  static Sending With(Task& task, SocketRef socket, UserBuffer buffer, int flags) {
    Sending sending;
    sending.wait = SocketWait::For(*socket, flags, socket->send_timeout());
    sending.socket = std::move(socket);
    sending.buffer = std::move(buffer);
    sending.request.flags = flags;
    sending.request.sender = OwnCredentials(task);
    return sending;
  }

  void SetAddress(Task& task, net::SocketAddress address) {
    request.to = std::move(address);
    if (!request.to.empty()) caller = task.MakeCaller();
  }

  // sendmsg(2)'s header at addr.
  static ErrnoOr<Sending> OfHeader(Task& task, const SocketRef& socket, uint64_t addr, int flags) {
    const msghdr header = TRY(task.CopyIn(UserPtr<const msghdr>(addr)));
    const auto at = [](const void* pointer) { return reinterpret_cast<uint64_t>(pointer); };
    if (header.msg_iovlen > kMaxMessages) return Errno::kMsgSize;
    Sending sending =
        With(task, socket, TRY(task.BufferOfIovec(at(header.msg_iov), header.msg_iovlen)), flags);
    if (header.msg_name != nullptr) {
      sending.SetAddress(task,
                         TRY(CopyInAddress(task, at(header.msg_name), static_cast<int>(header.msg_namelen))));
    }
    sending.request.control = TRY(ParseControl(task, *socket, at(header.msg_control), header.msg_controllen));
    return sending;
  }

  Outcome Step(Task& task) {
    request.caller = caller ? &*caller : nullptr;
    for (;;) {
      const ErrnoOr<size_t> sent = socket->Send(buffer, request);
      if (!sent.ok()) return Failed(task, sent.error());
      total += *sent;
      if (!socket->is_stream() || buffer.empty() || !wait.may_block)
        return Answer(static_cast<int64_t>(total));
      request.control = net::Control();  // it went with the first bytes
    }
  }

  Outcome Failed(Task& task, Errno error) {
    if (error == Errno::kAgain && wait.may_block) return wait.BlockOn(On(socket, Poll::kOut), total);
    if (total > 0) return Answer(static_cast<int64_t>(total));
    const bool signals = socket->is_stream() && !(request.flags & MSG_NOSIGNAL);
    if (error == Errno::kPipe && signals) task.Raise(SIGPIPE);
    return Answer(error);
  }
};

struct SendToCall : Sending {
  static ErrnoOr<SendToCall> Begin(Task& task, const SyscallArgs& args) {
    UserBuffer buffer = TRY(task.Buffer(args.Addr(1), args.Size(2)));
    SocketRef socket = TRY(GetSocket(task, args.Int(0)));
    SendToCall call{With(task, std::move(socket), std::move(buffer), args.Int(3))};
    if (args.Addr(4) != 0) call.SetAddress(task, TRY(CopyInAddress(task, args.Addr(4), args.Int(5))));
    return call;
  }
};

struct SendMsgCall : Sending {
  static ErrnoOr<SendMsgCall> Begin(Task& task, const SyscallArgs& args) {
    TRY_VOID(CheckMessageFlags(args.Int(2)));
    const SocketRef socket = TRY(GetSocket(task, args.Int(0)));
    return SendMsgCall{TRY(OfHeader(task, socket, args.Addr(1), args.Int(2)))};
  }
};

// Where the parts of a received message go.
struct Receiving {
  SocketRef socket;
  UserBuffer buffer;
  int flags = 0;
  SocketWait wait;
  size_t total = 0;  // of MSG_WAITALL
  Received received;
  uint64_t name = 0;       // sockaddr
  uint64_t name_size = 0;  // recvfrom(2): where its size is
  uint64_t header = 0;     // recvmsg(2): the msghdr
  int name_room = 0;
  uint64_t control = 0;
  size_t control_room = 0;

  static Receiving With(SocketRef socket, UserBuffer buffer, int flags) {
    Receiving receiving;
    receiving.wait = SocketWait::For(*socket, flags, socket->receive_timeout());
    receiving.socket = std::move(socket);
    receiving.buffer = std::move(buffer);
    receiving.flags = flags;
    return receiving;
  }

  static ErrnoOr<Receiving> OfHeader(Task& task, const SocketRef& socket, uint64_t addr, int flags) {
    const msghdr header = TRY(task.CopyIn(UserPtr<const msghdr>(addr)));
    const auto at = [](const void* pointer) { return reinterpret_cast<uint64_t>(pointer); };
    if (header.msg_iovlen > kMaxMessages) return Errno::kMsgSize;
    Receiving receiving = With(socket, TRY(task.BufferOfIovec(at(header.msg_iov), header.msg_iovlen)), flags);
    receiving.header = addr;
    receiving.name = at(header.msg_name);
    receiving.name_room = static_cast<int>(header.msg_namelen);
    if (receiving.name != 0 && receiving.name_room < 0) return Errno::kInval;
    receiving.control = at(header.msg_control);
    receiving.control_room = receiving.control == 0 ? 0 : header.msg_controllen;
    return receiving;
  }

  bool WaitsForAll() const { return (flags & MSG_WAITALL) && !(flags & MSG_PEEK) && socket->is_stream(); }

  Outcome Step(Task& task) {
    for (;;) {
      const ErrnoOr<size_t> got = socket->Receive(buffer, flags, &received);
      if (!got.ok() && got.error() == Errno::kAgain && wait.may_block) return WaitForMore();
      if (!got.ok()) {
        if (total == 0) return Answer(got.error());
        break;
      }
      total += *got;
      const bool more = WaitsForAll() && *got > 0 && !buffer.empty() && received.control.files.empty();
      if (!more) break;
    }
    return task::ToAnswer(Finish(task));
  }

  // Bytes that came before must not be lost to a signal or timeout: then what is there is the answer.
  Outcome WaitForMore() {
    const Poll events = (flags & MSG_OOB) ? Poll::kPri : Poll::kIn;
    return wait.BlockOn(On(socket, events), total);
  }

  ErrnoOr<int64_t> Finish(Task& task) {
    if (header != 0) {
      TRY_VOID(StoreHeader(task));
    } else if (name != 0) {
      TRY_VOID(CopyOutAddress(task, received.from, name, name_size));
    }
    const bool whole_size = (flags & MSG_TRUNC) && !socket->is_stream();
    return static_cast<int64_t>(whole_size ? std::max(total, received.full_length) : total);
  }

  // The fields of the guest's msghdr that recvmsg(2) changes, and what they point to.
  ErrnoOrVoid StoreHeader(Task& task) {
    const bool cloexec = (flags & MSG_CMSG_CLOEXEC) != 0;
    const BuiltControl built = BuildControl(task, std::move(received.control), control_room, cloexec);
    if (!built.bytes.empty()) TRY_VOID(usermem::CopyOutBytes(task.space(), control, built.bytes));
    if (name != 0) {
      TRY_VOID(CopyOutAddressBytes(task, received.from, name, name_room));
      const UserPtr<socklen_t> size(header + offsetof(msghdr, msg_namelen));
      TRY_VOID(task.CopyOut(size, static_cast<socklen_t>(received.from.size())));
    }
    TRY_VOID(task.CopyOut(UserPtr<size_t>(header + offsetof(msghdr, msg_controllen)), built.bytes.size()));
    const int told = received.flags | (built.truncated ? MSG_CTRUNC : 0) | (cloexec ? MSG_CMSG_CLOEXEC : 0);
    return task.CopyOut(UserPtr<int>(header + kHeaderFlags), told);
  }
};

struct RecvFromCall : Receiving {
  static ErrnoOr<RecvFromCall> Begin(Task& task, const SyscallArgs& args) {
    UserBuffer buffer = TRY(task.Buffer(args.Addr(1), args.Size(2)));
    SocketRef socket = TRY(GetSocket(task, args.Int(0)));
    RecvFromCall call{With(std::move(socket), std::move(buffer), args.Int(3))};
    call.name = args.Addr(4);
    call.name_size = args.Addr(5);
    return call;
  }
};

struct RecvMsgCall : Receiving {
  static ErrnoOr<RecvMsgCall> Begin(Task& task, const SyscallArgs& args) {
    TRY_VOID(CheckMessageFlags(args.Int(2)));
    const SocketRef socket = TRY(GetSocket(task, args.Int(0)));
    return RecvMsgCall{TRY(OfHeader(task, socket, args.Addr(1), args.Int(2)))};
  }
};

// Many messages in one call: One is Sending or Receiving.
template <typename One>
struct ManyCall {
  SocketRef socket;
  uint64_t messages = 0;  // mmsghdr[]
  uint32_t count = 0;
  uint32_t done = 0;
  int flags = 0;
  wait::MonotonicNs until = wait::kNever;  // recvmmsg(2): looked at between messages
  std::optional<One> current;

  static ErrnoOr<ManyCall> Begin(Task& task, const SyscallArgs& args) {
    TRY_VOID(CheckMessageFlags(args.Int(3)));
    ManyCall call;
    call.socket = TRY(GetSocket(task, args.Int(0)));
    call.messages = args.Addr(1);
    call.count = std::min(args.Uint(2), kMaxMessages);
    call.flags = args.Int(3);
    constexpr bool kReceives = std::is_same_v<One, Receiving>;
    if (kReceives && args.Addr(4) != 0) call.until = DeadlineAfter(TRY(CopyInDuration(task, args.Addr(4))));
    return call;
  }

  uint64_t Message() const { return messages + done * sizeof(mmsghdr); }

  // What the call gives if the current message cannot be had: the messages before it, or the error.
  Outcome Ending(Answer answer) const { return done > 0 ? Answer(int64_t{done}) : answer; }

  Outcome Step(Task& task) {
    while (done < count) {
      if (!current) {
        ErrnoOr<One> one = One::OfHeader(task, socket, Message(), flags & ~MSG_WAITFORONE);
        if (!one.ok()) return Ending(one.error());
        current.emplace(*std::move(one));
      }
      Outcome outcome = current->Step(task);
      if (Block* const block = std::get_if<Block>(&outcome)) {
        if (done > 0) block->at_signal = block->at_deadline = int64_t{done};
        return outcome;
      }
      const Answer answer = std::get<Answer>(outcome);
      if (answer.failed()) return Ending(answer);
      const UserPtr<unsigned> length(Message() + offsetof(mmsghdr, msg_len));
      const ErrnoOrVoid stored = task.CopyOut(length, static_cast<unsigned>(answer.rax()));
      if (!stored.ok()) return Ending(stored.error());
      current.reset();
      ++done;
      if (flags & MSG_WAITFORONE) flags |= MSG_DONTWAIT;
      if (until != wait::kNever && wait::MonotonicNow() >= until) break;
    }
    return Answer(int64_t{done});
  }
};

constexpr Entry kEntries[] = {
    {SYS_sendto, Blocking<SendToCall>},          {SYS_recvfrom, Blocking<RecvFromCall>},
    {SYS_sendmsg, Blocking<SendMsgCall>},        {SYS_recvmsg, Blocking<RecvMsgCall>},
    {SYS_sendmmsg, Blocking<ManyCall<Sending>>}, {SYS_recvmmsg, Blocking<ManyCall<Receiving>>},
};

}  // namespace

std::span<const Entry> MessageSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
