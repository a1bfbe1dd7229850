// POSIX message queues, mq_overview(7). Linux: ipc/mqueue.c.

#include <linux/mqueue.h>
#include <signal.h>

#include <utility>

#include "sentry/fs/mqueue/mqueue_fs.h"
#include "sentry/fs/mqueue/mqueue_nodes.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"

namespace cloister::syscalls {
namespace {

using mqueue::MessageQueue;
using mqueue::Notification;
using mqueue::QueueInode;
using mqueue::Transfer;
using task::Block;

// A queue that a call uses.
struct OpenQueue {
  Ref<vfs::FileDescription> file;
  QueueInode* inode = nullptr;  // the file's
};

ErrnoOr<OpenQueue> GetQueue(Task& task, int fd) {
  OpenQueue open;
  open.file = TRY(task.GetFile(fd));
  open.inode = mqueue::InodeOf(*open.file);
  if (open.inode == nullptr) return Errno::kBadf;
  return open;
}

ErrnoOr<int> MqOpen(Task& task, const SyscallArgs& args) {
  mq_attr attr;
  const bool given = args.Addr(3) != 0;
  if (given) attr = TRY(task.CopyIn(args.Ptr<const mq_attr>(3)));
  const std::string name = TRY(task.CopyInPath(args.Addr(0)));
  Ref<vfs::FileDescription> file = TRY(mqueue::OpenQueue(task.ipc(), task.MakeCaller(), name, args.Int(1),
                                                         args.Mode(2), given ? &attr : nullptr));
  return task.InstallFile(std::move(file), true);
}

ErrnoOrVoid MqUnlink(Task& task, const SyscallArgs& args) {
  const std::string name = TRY(task.CopyInPath(args.Addr(0)));
  return mqueue::UnlinkQueue(task.ipc(), task.MakeCaller(), name);
}

// Linux: __do_notify.
void Notify(Task& sender, const Notification& wanted) {
  wanted.SendCookie(NOTIFY_WOKENUP);
  if (wanted.kind != SIGEV_SIGNAL || wanted.signal == 0) return;
  siginfo_t info = {};
  info.si_signo = wanted.signal;
  info.si_code = SI_MESGQ;
  info.si_pid = sender.pid();
  info.si_uid = sender.cred()->uid;
  info.si_value = wanted.value;
  absl::MutexLock lock(&sender.kernel().tree_mu());
  if (task::ThreadGroup* const owner = sender.kernel().FindGroupLocked(wanted.owner))
    Task::SendToGroupLocked(*owner, info);
}

// A send or a receive; leaves the queue with the call.
class TransferCall {
 public:
  TransferCall() = default;
  TransferCall(TransferCall&&) = default;
  TransferCall& operator=(TransferCall&& other) {
    std::swap(open_, other.open_);
    std::swap(transfer_, other.transfer_);
    std::swap(until_, other.until_);
    return *this;
  }
  ~TransferCall() {
    if (transfer_) queue().Withdraw(*transfer_);
  }

 protected:
  // The last argument: an absolute CLOCK_REALTIME, or null.
  ErrnoOrVoid CopyInDeadline(Task& task, uint64_t addr) {
    if (addr != 0) until_ = DeadlineAtRealtime(TRY(CopyInDuration(task, addr)));
    return {};
  }
  ErrnoOrVoid Start(Task& task, OpenQueue open, Ref<Transfer> transfer) {
    std::optional<Notification> fired;
    TRY_VOID(open.inode->queue().Begin(transfer, !open.file->nonblocking(), &fired));
    open_ = std::move(open);
    transfer_ = std::move(transfer);
    if (fired) Notify(task, *fired);
    open_.inode->Touch();
    return {};
  }
  bool done() const { return queue().IsDone(*transfer_); }
  bool WithdrawTransfer() { return queue().Withdraw(*transfer_); }
  const Transfer& transfer() const { return *transfer_; }
  Block Wait() const {
    Block block;
    block.on.push_back({Ref<RefCounted>(transfer_), &transfer_->queue(), wait::Poll::kIn});
    block.until = until_;
    return block;
  }

 private:
  MessageQueue& queue() const { return open_.inode->queue(); }

  OpenQueue open_;
  Ref<Transfer> transfer_;
  wait::MonotonicNs until_ = wait::kNever;
};

struct MqTimedsendCall : TransferCall {
  static ErrnoOr<MqTimedsendCall> Begin(Task& task, const SyscallArgs& args) {
    MqTimedsendCall call;
    TRY_VOID(call.CopyInDeadline(task, args.Addr(4)));
    mqueue::Message message;
    message.priority = args.Uint(3);
    if (message.priority >= MQ_PRIO_MAX) return Errno::kInval;
    OpenQueue open = TRY(GetQueue(task, args.Int(0)));
    if (!open.file->writable()) return Errno::kBadf;
    if (args.Size(2) > static_cast<uint64_t>(open.inode->queue().max_bytes())) return Errno::kMsgSize;
    message.text = TRY(usermem::CopyInArray(task.space(), args.Ptr<const std::byte>(1), args.Size(2)));
    TRY_VOID(call.Start(task, std::move(open), MakeRef<Transfer>(std::move(message))));
    return call;
  }
  Outcome Step(Task&) {
    if (done()) return Answer(0);
    return Wait();
  }
  std::optional<Answer> Withdraw(Task&) {
    return WithdrawTransfer() ? std::optional(Answer(0)) : std::nullopt;
  }
};

struct MqTimedreceiveCall : TransferCall {
  uint64_t text = 0;
  uint64_t priority = 0;

  static ErrnoOr<MqTimedreceiveCall> Begin(Task& task, const SyscallArgs& args) {
    MqTimedreceiveCall call;
    call.text = args.Addr(1);
    call.priority = args.Addr(3);
    TRY_VOID(call.CopyInDeadline(task, args.Addr(4)));
    OpenQueue open = TRY(GetQueue(task, args.Int(0)));
    if (!open.file->readable()) return Errno::kBadf;
    if (args.Size(2) < static_cast<uint64_t>(open.inode->queue().max_bytes())) return Errno::kMsgSize;
    TRY_VOID(call.Start(task, std::move(open), MakeRef<Transfer>()));
    return call;
  }
  Outcome Step(Task& task) {
    if (done()) return task::ToAnswer(Give(task));
    return Wait();
  }
  std::optional<Answer> Withdraw(Task& task) {
    return WithdrawTransfer() ? std::optional(task::ToAnswer(Give(task))) : std::nullopt;
  }
  // As in Linux the message is lost where it cannot be stored.
  ErrnoOr<size_t> Give(Task& task) const {
    const mqueue::Message& message = transfer().message();
    if (priority != 0) TRY_VOID(task.CopyOut(usermem::UserPtr<uint32_t>(priority), message.priority));
    TRY_VOID(usermem::CopyOutBytes(task.space(), text, message.text));
    return message.text.size();
  }
};

// SIGEV_THREAD: the C library listens on a netlink socket for the cookie.
ErrnoOrVoid TakeCookie(Task& task, const sigevent& event, Notification* wanted) {
  const auto cookie =
      usermem::UserPtr<const std::byte>(reinterpret_cast<uint64_t>(event.sigev_value.sival_ptr));
  wanted->cookie = TRY(usermem::CopyInArray(task.space(), cookie, NOTIFY_COOKIE_LEN));
  const Ref<vfs::FileDescription> file = TRY(task.GetFile(event.sigev_signo));
  net::Socket* const socket = file->AsSocket();
  if (socket == nullptr) return Errno::kNotSock;
  if (socket->domain() != AF_NETLINK) return Errno::kInval;
  wanted->socket = Ref<net::NetlinkSocket>(static_cast<net::NetlinkSocket*>(socket));
  return {};
}

ErrnoOr<Notification> CopyInNotification(Task& task, uint64_t addr) {
  const sigevent event = TRY(task.CopyIn(usermem::UserPtr<const sigevent>(addr)));
  Notification wanted;
  wanted.owner = task.pid();
  wanted.kind = event.sigev_notify;
  wanted.signal = event.sigev_signo;
  wanted.value = event.sigev_value;
  switch (wanted.kind) {
    case SIGEV_NONE:
      break;
    case SIGEV_SIGNAL:
      if (wanted.signal != 0 && !signal::IsValid(wanted.signal)) return Errno::kInval;
      break;
    case SIGEV_THREAD:
      TRY_VOID(TakeCookie(task, event, &wanted));
      break;
    default:
      return Errno::kInval;
  }
  return wanted;
}

ErrnoOrVoid MqNotify(Task& task, const SyscallArgs& args) {
  Notification wanted;
  if (args.Addr(1) != 0) wanted = TRY(CopyInNotification(task, args.Addr(1)));
  const OpenQueue open = TRY(GetQueue(task, args.Int(0)));
  if (args.Addr(1) != 0) return open.inode->queue().SetNotification(std::move(wanted));
  open.inode->queue().RemoveNotification(task.pid());
  return {};
}

ErrnoOrVoid MqGetsetattr(Task& task, const SyscallArgs& args) {
  mq_attr wanted = {};
  if (args.Addr(1) != 0) {
    wanted = TRY(task.CopyIn(args.Ptr<const mq_attr>(1)));
    if (wanted.mq_flags & ~O_NONBLOCK) return Errno::kInval;
  }
  const OpenQueue open = TRY(GetQueue(task, args.Int(0)));
  const MessageQueue& queue = open.inode->queue();
  mq_attr old = {};
  old.mq_flags = open.file->flags() & O_NONBLOCK;
  old.mq_maxmsg = queue.max_messages();
  old.mq_msgsize = queue.max_bytes();
  old.mq_curmsgs = queue.count();
  if (args.Addr(1) != 0) {
    const int others = open.file->flags() & ~O_NONBLOCK;
    TRY_VOID(open.file->SetStatusFlags(others | static_cast<int>(wanted.mq_flags)));
    open.inode->Touch();
  }
  if (args.Addr(2) != 0) TRY_VOID(task.CopyOut(args.Ptr<mq_attr>(2), old));
  return {};
}

constexpr Entry kEntries[] = {
    {SYS_mq_open, Plain<MqOpen>},
    {SYS_mq_unlink, Plain<MqUnlink>},
    {SYS_mq_timedsend, Blocking<MqTimedsendCall>},
    {SYS_mq_timedreceive, Blocking<MqTimedreceiveCall>},
    {SYS_mq_notify, Plain<MqNotify>},
    {SYS_mq_getsetattr, Plain<MqGetsetattr>},
};

}  // namespace

std::span<const Entry> MessageQueueSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
