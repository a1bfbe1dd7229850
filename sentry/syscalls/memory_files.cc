// Files in memory that have no name.

#include <sys/mman.h>

#include <string>

#include "sentry/fs/tmp/shared_memory.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

// memfd_create(2).
ErrnoOr<int> MemfdCreate(Task& task, const SyscallArgs& args) {
  const uint32_t flags = args.Uint(1);
  constexpr uint32_t kNoExecSeal = 8, kExec = 16;  // MFD_NOEXEC_SEAL, MFD_EXEC
  if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoExecSeal | kExec)) return Errno::kInval;
  if ((flags & kNoExecSeal) && (flags & kExec)) return Errno::kInval;
  constexpr size_t kMaxName = NAME_MAX - (sizeof("memfd:") - 1) + 1;  // NUL included
  const std::string name = TRY(usermem::CopyInString(task.space(), args.Addr(0), kMaxName, Errno::kInval));
  Ref<vfs::FileDescription> file = TRY(tmp::MakeMemFd(name, flags & ~uint32_t{MFD_CLOEXEC}, task.cred()));
  return task.InstallFile(std::move(file), (flags & MFD_CLOEXEC) != 0);
}

constexpr Entry kEntries[] = {
    {SYS_memfd_create, Plain<MemfdCreate>, Support::kPartial, "no huge pages"},
    {SYS_memfd_secret, Fails<Errno::kNoSys>, Support::kUnsupported, "ENOSYS"},
};

}  // namespace

std::span<const Entry> MemoryFileSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
