// Memory: mappings, the break, protection, advice.

#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include <cstring>
#include <utility>

#include "sentry/syscalls/memory_call.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

using mm::MemoryManager;
using usermem::UserPtr;

struct MmapCall : MemoryCall<MmapCall> {
  MemoryManager::MapRequest request;

  static ErrnoOr<MmapCall> Begin(Task& task, const SyscallArgs& args) {
    MmapCall call;
    MemoryManager::MapRequest& request = call.request;
    request.addr = args.Addr(0);
    request.length = args.Size(1);
    request.prot = args.Int(2);
    request.flags = args.Int(3);
    request.offset = args.Raw(5);
    if (request.flags & MAP_ANONYMOUS) {
      request.offset = 0;
      return call;
    }
    const Ref<vfs::FileDescription> file = TRY(task.GetFile(args.Int(4)));
    TRY_VOID(call.TakeFile(file));
    return call;
  }

  ErrnoOrVoid TakeFile(const Ref<vfs::FileDescription>& file) {
    mm::Mappable* const mappable = file->AsMappable();
    if (mappable == nullptr) return Errno::kNoDev;
    if (!file->readable()) return Errno::kAcces;
    const int kind = request.flags & MAP_TYPE;
    const bool shared = kind == MAP_SHARED || kind == MAP_SHARED_VALIDATE;
    if (shared && (request.prot & PROT_WRITE) && !file->writable()) return Errno::kAcces;
    const bool noexec = file->path() && (file->path().mount()->flags() & MS_NOEXEC);
    if (noexec && (request.prot & PROT_EXEC)) return Errno::kPerm;
    request.may_exec = !noexec;
    request.may_write = !shared || file->writable();
    request.file = mm::MappedFile{Ref<RefCounted>(file), mappable};
    return {};
  }

  ErrnoOr<mm::Plan> Decide(Task& task) { return task.mm().Map(request, MemoryLimitsOf(task)); }
};

// The calls whose arguments are numbers alone.
struct NumbersCall {
  SyscallArgs args;
};

struct MunmapCall : MemoryCall<MunmapCall>, NumbersCall {
  static ErrnoOr<MunmapCall> Begin(Task&, const SyscallArgs& args) { return MunmapCall{{}, {args}}; }
  ErrnoOr<mm::Plan> Decide(Task& task) { return task.mm().Unmap(args.Addr(0), args.Size(1)); }
};

struct MprotectCall : MemoryCall<MprotectCall>, NumbersCall {
  static ErrnoOr<MprotectCall> Begin(Task&, const SyscallArgs& args) { return MprotectCall{{}, {args}}; }
  ErrnoOr<mm::Plan> Decide(Task& task) {
    return task.mm().Protect(args.Addr(0), args.Size(1), args.Int(2), MemoryLimitsOf(task));
  }
};

struct MremapCall : MemoryCall<MremapCall>, NumbersCall {
  static ErrnoOr<MremapCall> Begin(Task&, const SyscallArgs& args) { return MremapCall{{}, {args}}; }
  ErrnoOr<mm::Plan> Decide(Task& task) {
    return task.mm().Remap(args.Addr(0), args.Size(1), args.Size(2), args.Int(3), args.Addr(4),
                           MemoryLimitsOf(task));
  }
};

struct MadviseCall : MemoryCall<MadviseCall>, NumbersCall {
  static ErrnoOr<MadviseCall> Begin(Task&, const SyscallArgs& args) { return MadviseCall{{}, {args}}; }
  ErrnoOr<mm::Plan> Decide(Task& task) { return task.mm().Advise(args.Addr(0), args.Size(1), args.Int(2)); }
};

struct BrkCall : MemoryCall<BrkCall>, NumbersCall {
  static ErrnoOr<BrkCall> Begin(Task&, const SyscallArgs& args) { return BrkCall{{}, {args}}; }
  ErrnoOr<mm::Plan> Decide(Task& task) { return task.mm().Brk(args.Addr(0), MemoryLimitsOf(task)); }
};

struct MlockCall : MemoryCall<MlockCall>, NumbersCall {
  static ErrnoOr<MlockCall> Begin(Task&, const SyscallArgs& args) {
    if (args.number() == SYS_mlock2 && (args.Uint(2) & ~uint32_t{MLOCK_ONFAULT})) return Errno::kInval;
    return MlockCall{{}, {args}};
  }
  ErrnoOr<mm::Plan> Decide(Task& task) {
    const bool on_fault = args.number() == SYS_mlock2 && (args.Uint(2) & MLOCK_ONFAULT);
    return task.mm().Lock(args.Addr(0), args.Size(1), on_fault, MemoryLimitsOf(task));
  }
};

ErrnoOrVoid Munlock(Task& task, const SyscallArgs& args) {
  return task.mm().Unlock(args.Addr(0), args.Size(1));
}

ErrnoOrVoid Mlockall(Task& task, const SyscallArgs& args) {
  const int flags = args.Int(0);
  if (flags == 0 || flags == MCL_ONFAULT || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)))
    return Errno::kInval;
  return task.mm().LockAll((flags & MCL_CURRENT) != 0, (flags & MCL_FUTURE) != 0, MemoryLimitsOf(task));
}

Answer Munlockall(Task& task, const SyscallArgs&) {
  task.mm().UnlockAll();
  return 0;
}

ErrnoOrVoid Mincore(Task& task, const SyscallArgs& args) {
  const uint64_t addr = args.Addr(0);
  if (addr % mm::kPageSize != 0) return Errno::kInval;
  const uint64_t pages = args.Size(1) / mm::kPageSize + (args.Size(1) % mm::kPageSize != 0);
  if (addr >= task.mm().task_size() || pages > (task.mm().task_size() - addr) / mm::kPageSize)
    return Errno::kNoMem;
  if (args.Addr(2) > task.mm().task_size() || pages > task.mm().task_size() - args.Addr(2))
    return Errno::kFault;
  // What is mapped before the first hole is told all the same.
  uint64_t mapped = addr;
  const uint64_t end = addr + pages * mm::kPageSize;
  for (const mm::Area& area : task.mm().AreasIn(addr, end - addr)) {
    if (area.start > mapped) break;
    mapped = std::min(area.end, end);
  }
  // Residency is the host's secret: what is mapped counts as resident.
  const uint64_t told = (mapped - addr) / mm::kPageSize;
  const std::vector<uint8_t> resident(std::min<uint64_t>(told, mm::kPageSize), 1);
  for (uint64_t done = 0; done < told; done += resident.size()) {
    const size_t n = std::min<uint64_t>(resident.size(), told - done);
    TRY_VOID(usermem::CopyOutBytes(task.space(), args.Addr(2) + done,
                                   std::as_bytes(std::span(resident)).first(n)));
  }
  return mapped < end ? Errno::kNoMem : Ok();
}

// Shared mappings are the host's page cache: MS_SYNC asks the files to write it out.
ErrnoOrVoid Msync(Task& task, const SyscallArgs& args) {
  const uint64_t addr = args.Addr(0);
  const int flags = args.Int(2);
  if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) return Errno::kInval;
  if ((flags & MS_ASYNC) && (flags & MS_SYNC)) return Errno::kInval;
  if (addr % mm::kPageSize != 0) return Errno::kInval;
  const uint64_t length = (args.Size(1) + mm::kPageSize - 1) & ~(mm::kPageSize - 1);
  if (addr + length < addr) return Errno::kNoMem;
  if (flags & MS_SYNC) {
    for (const mm::Area& area : task.mm().AreasIn(addr, length)) {
      if (!(area.flags & MAP_SHARED) || !area.file) continue;
      TRY_VOID(static_cast<vfs::FileDescription&>(*area.file.keep).Sync(true));
    }
  }
  if (length > 0 && !task.mm().IsMapped(addr, length)) return Errno::kNoMem;
  return {};
}

Outcome ArchPrctl(Task& task, const SyscallArgs& args) {
  switch (args.Int(0)) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
      if (args.Addr(1) >= task.mm().task_size()) return Answer(Errno::kPerm);
      [[fallthrough]];
    case ARCH_GET_FS:
    case ARCH_GET_GS:
      return task::RunHostOps{{platform::HostOp::ArchPrctl(args.Int(0), args.Addr(1))}};
    default:
      return Answer(Errno::kInval);
  }
}

// One node, all memory on it.
ErrnoOr<int> GetMempolicy(Task& task, const SyscallArgs& args) {
  if (args.Raw(4) & ~uint64_t{7}) return Errno::kInval;
  if (args.Addr(0) != 0) TRY_VOID(task.CopyOut(args.Ptr<int>(0), 0));
  if (args.Addr(1) != 0) {
    if (args.Raw(2) < 1) return Errno::kInval;
    const uint64_t bytes = (std::min<uint64_t>(args.Raw(2), 4096) + 63) / 64 * 8;
    std::vector<std::byte> nodes(bytes);
    if (args.Raw(4) & 4) nodes[0] = std::byte{1};  // MPOL_F_MEMS_ALLOWED
    TRY_VOID(usermem::CopyOutBytes(task.space(), args.Addr(1), nodes));
  }
  return 0;
}

ErrnoOr<int> SetMempolicy(Task&, const SyscallArgs& args) {
  const int mode = args.Int(0) & 0xff;
  if (mode > 6) return Errno::kInval;
  return 0;
}

ErrnoOr<int> Mbind(Task& task, const SyscallArgs& args) {
  if (args.Addr(0) % mm::kPageSize != 0 || (args.Int(2) & 0xff) > 6) return Errno::kInval;
  if (args.Size(1) > 0 && !task.mm().IsMapped(args.Addr(0), args.Size(1))) return Errno::kFault;
  return 0;
}

constexpr Entry kEntries[] = {
    {SYS_mmap, Blocking<MmapCall>},
    {SYS_munmap, Blocking<MunmapCall>},
    {SYS_mprotect, Blocking<MprotectCall>},
    {SYS_mremap, Blocking<MremapCall>},
    {SYS_madvise, Blocking<MadviseCall>},
    {SYS_brk, Blocking<BrkCall>},
    {SYS_mlock, Blocking<MlockCall>, Support::kPartial, "accounted, not pinned on the host"},
    {SYS_mlock2, Blocking<MlockCall>, Support::kPartial, "accounted, not pinned on the host"},
    {SYS_munlock, Plain<Munlock>},
    {SYS_mlockall, Plain<Mlockall>, Support::kPartial, "accounted, not pinned on the host"},
    {SYS_munlockall, Plain<Munlockall>},
    {SYS_mincore, Plain<Mincore>, Support::kPartial, "what is mapped counts as resident"},
    {SYS_msync, Plain<Msync>},
    {SYS_arch_prctl, Plain<ArchPrctl>, Support::kPartial, "FS and GS alone"},
    {SYS_get_mempolicy, Plain<GetMempolicy>, Support::kPartial, "one node"},
    {SYS_set_mempolicy, Plain<SetMempolicy>, Support::kPartial, "one node"},
    {SYS_mbind, Plain<Mbind>, Support::kPartial, "one node"},
    {SYS_membarrier, Fails<Errno::kNoSys>, Support::kUnsupported, "ENOSYS"},
    {SYS_pkey_alloc, Fails<Errno::kNoSpc>, Support::kUnsupported, "ENOSPC: no keys"},
    {SYS_pkey_free, Fails<Errno::kInval>, Support::kUnsupported, "EINVAL: no keys"},
    {SYS_pkey_mprotect, Fails<Errno::kInval>, Support::kUnsupported, "EINVAL: no keys"},
};

}  // namespace

mm::Limits MemoryLimitsOf(const Task& task) {
  mm::Limits limits;
  limits.address_space = task.Limit(RLIMIT_AS).rlim_cur;
  limits.data = task.Limit(RLIMIT_DATA).rlim_cur;
  limits.stack = task.Limit(RLIMIT_STACK).rlim_cur;
  limits.locked = task.cred()->Has(CAP_IPC_LOCK) ? ~uint64_t{0} : task.Limit(RLIMIT_MEMLOCK).rlim_cur;
  return limits;
}

std::span<const Entry> MemorySyscalls() { return kEntries; }

}  // namespace cloister::syscalls
