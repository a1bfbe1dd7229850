// System V message queues: msgget, msgsnd, msgrcv, msgctl. Linux: ipc/msg.c.

#include <linux/msg.h>

#include <algorithm>
#include <utility>

#include "sentry/ipc/ipc_namespace.h"
#include "sentry/ipc/message_queues.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

using ipc::Lookup;
using ipc::Message;
using ipc::MessageQueue;
using ipc::MessageQueues;
using task::Block;

constexpr uint64_t kMostBytes = 64 << 20;  // of a message, whatever the guest's root has set

MessageQueues& QueuesOf(Task& task) { return task.ipc().messages(); }

// A queue that a call waits for. signal(7): with a handler never restarted.
Block WaitFor(const Ref<MessageQueue>& queue, wait::Poll events) {
  Block block;
  block.on.push_back({Ref<RefCounted>(queue), &queue->changed, events});
  block.at_signal = wait::Restart::kNoHand;
  return block;
}

struct MsgsndCall {
  Ref<MessageQueue> queue;
  Message message;
  bool nonblocking = false;

  static ErrnoOr<MsgsndCall> Begin(Task& task, const SyscallArgs& args) {
    MsgsndCall call;
    const uint64_t size = args.Size(2);
    call.message.type = TRY(task.CopyIn(args.Ptr<const int64_t>(1)));
    if (size > static_cast<uint64_t>(QueuesOf(task).limits().message_bytes) || args.Int(0) < 0)
      return Errno::kInval;
    if (call.message.type < 1) return Errno::kInval;
    if (size > kMostBytes) return Errno::kNoMem;
    call.message.text = TRY(usermem::CopyInArray(
        task.space(), usermem::UserPtr<const std::byte>(args.Addr(1) + sizeof(int64_t)), size));
    call.nonblocking = (args.Int(3) & IPC_NOWAIT) != 0;
    call.queue = TRY(QueuesOf(task).Find(args.Int(0)));
    return call;
  }

  Outcome Step(Task& task) {
    const ErrnoOrVoid sent = QueuesOf(task).Send(*queue, message, task.pid(), *task.cred());
    if (sent.ok() || sent.error() != Errno::kAgain || nonblocking) return task::ToAnswer(sent);
    return WaitFor(queue, wait::Poll::kOut);
  }
};

struct MsgrcvCall {
  Ref<MessageQueue> queue;
  MessageQueues::Wanted wanted;
  uint64_t buffer = 0;

  static ErrnoOr<MsgrcvCall> Begin(Task& task, const SyscallArgs& args) {
    MsgrcvCall call;
    call.buffer = args.Addr(1);
    call.wanted = {args.Long(3), args.Size(2), args.Int(4)};
    if (args.Int(0) < 0 || static_cast<int64_t>(call.wanted.size) < 0) return Errno::kInval;
    if (call.wanted.flags & MSG_COPY) {
      if ((call.wanted.flags & MSG_EXCEPT) || !(call.wanted.flags & IPC_NOWAIT)) return Errno::kInval;
    }
    call.queue = TRY(QueuesOf(task).Find(args.Int(0)));
    return call;
  }

  Outcome Step(Task& task) {
    ErrnoOr<Message> message = QueuesOf(task).Receive(*queue, wanted, task.pid(), *task.cred());
    if (message.ok()) return task::ToAnswer(Give(task, *message));
    if (message.error() != Errno::kAgain) return Answer(message.error());
    if (wanted.flags & IPC_NOWAIT) return Answer(Errno::kNoMsg);
    return WaitFor(queue, wait::Poll::kIn);
  }

  // As in Linux the message is lost where it cannot be stored.
  ErrnoOr<size_t> Give(Task& task, const Message& message) const {
    const size_t size = std::min<uint64_t>(wanted.size, message.text.size());
    TRY_VOID(task.CopyOut(usermem::UserPtr<int64_t>(buffer), message.type));
    TRY_VOID(
        usermem::CopyOutBytes(task.space(), buffer + sizeof(int64_t), std::span(message.text).first(size)));
    return size;
  }
};

ErrnoOr<int> Msgget(Task& task, const SyscallArgs& args) {
  return QueuesOf(task).Get(args.Int(0), args.Int(1), *task.cred());
}

ErrnoOr<int> MsgStat(Task& task, const SyscallArgs& args, Lookup how) {
  const auto found = TRY(QueuesOf(task).Describe(args.Int(0), how, *task.cred()));
  TRY_VOID(task.CopyOut(args.Ptr<msqid64_ds>(2), found.status));
  return how == Lookup::kById ? 0 : found.id;
}

ErrnoOr<int> Msgctl(Task& task, const SyscallArgs& args) {
  MessageQueues& queues = QueuesOf(task);
  const int id = args.Int(0);
  const int command = args.Int(1);
  if (id < 0 || command < 0) return Errno::kInval;
  switch (command) {
    case IPC_INFO:
    case MSG_INFO: {
      msginfo info = {};
      const int highest = queues.Info(command == MSG_INFO, &info);
      TRY_VOID(task.CopyOut(args.Ptr<msginfo>(2), info));
      return highest;
    }
    case IPC_STAT:
      return MsgStat(task, args, Lookup::kById);
    case MSG_STAT:
      return MsgStat(task, args, Lookup::kByIndex);
    case MSG_STAT_ANY:
      return MsgStat(task, args, Lookup::kByIndexAny);
    case IPC_SET:
      TRY_VOID(queues.Change(id, TRY(task.CopyIn(args.Ptr<const msqid64_ds>(2))), *task.cred()));
      return 0;
    case IPC_RMID:
      TRY_VOID(queues.Remove(id, *task.cred()));
      return 0;
    default:
      return Errno::kInval;
  }
}

constexpr Entry kEntries[] = {
    {SYS_msgget, Plain<Msgget>},
    {SYS_msgsnd, Blocking<MsgsndCall>},
    {SYS_msgrcv, Blocking<MsgrcvCall>},
    {SYS_msgctl, Plain<Msgctl>},
};

}  // namespace

std::span<const Entry> SysvMessageSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
