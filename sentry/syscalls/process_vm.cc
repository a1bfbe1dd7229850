// Memory of other processes: process_vm_readv, process_vm_writev.

#include <limits.h>
#include <sys/uio.h>

#include <utility>

#include "sentry/syscalls/processes.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

using usermem::UserBuffer;
using usermem::UserPtr;

// The vector that names the other's memory. Its addresses are checked as they are reached.
ErrnoOr<absl::InlinedVector<UserBuffer::Range, 4>> CopyInRemote(Task& task, uint64_t addr, uint64_t count) {
  if (count > IOV_MAX) return Errno::kInval;
  absl::InlinedVector<UserBuffer::Range, 4> ranges;
  for (const iovec& one : TRY(usermem::CopyInArray(task.space(), UserPtr<const iovec>(addr), count))) {
    if (one.iov_len > SSIZE_MAX) return Errno::kInval;
    if (one.iov_len > 0) ranges.push_back({reinterpret_cast<uint64_t>(one.iov_base), one.iov_len});
  }
  return ranges;
}

// Linux: process_vm_rw. What was copied before the first bad page counts.
ErrnoOr<size_t> Transfer(Task& task, const SyscallArgs& args, bool write) {
  if (args.Raw(5) != 0) return Errno::kInval;
  UserBuffer local = TRY(task.BufferOfIovec(args.Addr(1), args.Raw(2)));
  if (local.empty()) return size_t{0};
  absl::InlinedVector<UserBuffer::Range, 4> ranges = TRY(CopyInRemote(task, args.Addr(3), args.Raw(4)));
  if (ranges.empty()) return size_t{0};
  const Ref<Task> other = task.kernel().FindTask(args.Int(0));
  const Ref<mm::MemoryManager> memory = other ? other->GetMm() : nullptr;
  if (!memory) return Errno::kSrch;
  if (!MayReach(task, *other)) return Errno::kPerm;
  UserBuffer remote(memory->space(), std::move(ranges));
  if (write) {
    return local.DrainTo([&](std::span<const std::byte> bytes) { return remote.CopyOut(bytes); });
  }
  return local.FillFrom([&](std::span<std::byte> bytes) { return remote.CopyIn(bytes); });
}

ErrnoOr<size_t> ProcessVmReadv(Task& task, const SyscallArgs& args) { return Transfer(task, args, false); }
ErrnoOr<size_t> ProcessVmWritev(Task& task, const SyscallArgs& args) { return Transfer(task, args, true); }

constexpr Entry kEntries[] = {
    {SYS_process_vm_readv, Plain<ProcessVmReadv>},
    {SYS_process_vm_writev, Plain<ProcessVmWritev>},
};

}  // namespace

std::span<const Entry> ProcessVmSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
