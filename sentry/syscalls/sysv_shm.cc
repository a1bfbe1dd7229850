// System V shared memory: shmget, shmat, shmdt, shmctl. Linux: ipc/shm.c.

#include <linux/shm.h>
#include <sys/mman.h>

#include <utility>

#include "sentry/fs/tmp/shared_memory.h"
#include "sentry/ipc/ipc_namespace.h"
#include "sentry/ipc/shared_segments.h"
#include "sentry/syscalls/memory_call.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

using ipc::Lookup;
using ipc::SharedSegments;

SharedSegments& SegmentsOf(Task& task) { return task.ipc().segments(); }

ErrnoOr<int> Shmget(Task& task, const SyscallArgs& args) {
  SharedSegments::GetRequest request;
  request.key = args.Int(0);
  request.size = args.Size(1);
  request.flags = args.Int(2);
  request.pid = task.pid();
  request.creator = &task;
  const auto make = [&](std::string_view name, uint64_t size) -> ErrnoOr<Ref<vfs::FileDescription>> {
    // Linux: overcommit_memory 0 refuses what can never be there.
    const uint64_t memory = task.kernel().machine().total_memory;
    if (memory != 0 && size > memory && !(request.flags & SHM_NORESERVE)) return Errno::kNoMem;
    return tmp::MakeSharedMemory(name, size, task.cred());
  };
  return SegmentsOf(task).Get(request, *task.cred(), make);
}

struct ShmatCall : MemoryCall<ShmatCall> {
  int id = 0;
  int access = 0444;  // permission bits
  mm::MemoryManager::MapRequest request;

  static ErrnoOr<ShmatCall> Begin(Task&, const SyscallArgs& args) {
    ShmatCall call;
    const int flags = args.Int(2);
    const uint64_t addr = args.Addr(1);
    call.id = args.Int(0);
    call.request.prot =
        PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
    call.request.may_write = !(flags & SHM_RDONLY);
    if (!(flags & SHM_RDONLY)) call.access |= 0222;
    if (flags & SHM_EXEC) call.access |= 0111;
    call.request.flags = MAP_SHARED;
    if (call.id < 0) return Errno::kInval;
    if (addr == 0) {
      if (flags & SHM_REMAP) return Errno::kInval;
      return call;
    }
    if (addr % mm::kPageSize != 0 && !(flags & SHM_RND)) return Errno::kInval;
    call.request.addr = addr & ~(mm::kPageSize - 1);
    if (call.request.addr == 0 && (flags & SHM_REMAP)) return Errno::kInval;
    call.request.flags |= flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    return call;
  }

  ErrnoOr<mm::Plan> Decide(Task& task) {
    const SharedSegments::Hold hold = TRY(SegmentsOf(task).HoldForAttach(id, access, *task.cred()));
    request.file = hold.MakeAttachment();
    request.length = hold.size();
    if (request.addr + request.length < request.addr) return Errno::kInval;
    ErrnoOr<mm::Plan> plan = task.mm().Map(request, MemoryLimitsOf(task));
    if (!plan.ok() && plan.error() == Errno::kExist) return Errno::kInval;
    return plan;
  }
};

struct ShmdtCall : MemoryCall<ShmdtCall> {
  uint64_t addr = 0;

  static ErrnoOr<ShmdtCall> Begin(Task&, const SyscallArgs& args) { return ShmdtCall{{}, args.Addr(0)}; }
  ErrnoOr<mm::Plan> Decide(Task& task) { return task.mm().Detach(addr); }
};

ErrnoOr<int> ShmStat(Task& task, const SyscallArgs& args, Lookup how) {
  const auto found = TRY(SegmentsOf(task).Describe(args.Int(0), how, *task.cred()));
  TRY_VOID(task.CopyOut(args.Ptr<shmid64_ds>(2), found.status));
  return how == Lookup::kById ? 0 : found.id;
}

ErrnoOr<int> Shmctl(Task& task, const SyscallArgs& args) {
  SharedSegments& segments = SegmentsOf(task);
  const auth::Credentials& cred = *task.cred();
  const int id = args.Int(0);
  const int command = args.Int(1);
  if (id < 0 || command < 0) return Errno::kInval;
  switch (command) {
    case IPC_INFO: {
      shminfo64 info = {};
      const int highest = segments.Info(&info);
      TRY_VOID(task.CopyOut(args.Ptr<shminfo64>(2), info));
      return highest;
    }
    case SHM_INFO: {
      shm_info info = {};
      const int highest = segments.Usage(&info);
      TRY_VOID(task.CopyOut(args.Ptr<shm_info>(2), info));
      return highest;
    }
    case IPC_STAT:
      return ShmStat(task, args, Lookup::kById);
    case SHM_STAT:
      return ShmStat(task, args, Lookup::kByIndex);
    case SHM_STAT_ANY:
      return ShmStat(task, args, Lookup::kByIndexAny);
    case IPC_SET:
      TRY_VOID(segments.Change(id, TRY(task.CopyIn(args.Ptr<const shmid64_ds>(2))), cred));
      return 0;
    case IPC_RMID:
      TRY_VOID(segments.Remove(id, cred));
      return 0;
    case SHM_LOCK:
      TRY_VOID(segments.Lock(id, cred, task.Limit(RLIMIT_MEMLOCK).rlim_cur));
      return 0;
    case SHM_UNLOCK:
      TRY_VOID(segments.Unlock(id, cred));
      return 0;
    default:
      return Errno::kInval;
  }
}

constexpr Entry kEntries[] = {
    {SYS_shmget, Plain<Shmget>},
    {SYS_shmat, Blocking<ShmatCall>},
    {SYS_shmdt, Blocking<ShmdtCall>},
    {SYS_shmctl, Plain<Shmctl>, Support::kPartial,
     "SHM_LOCK is accounted, not pinned on the host; no huge pages"},
};

}  // namespace

std::span<const Entry> SharedMemorySyscalls() { return kEntries; }

}  // namespace cloister::syscalls
