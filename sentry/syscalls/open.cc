// Opening files.

#include <fcntl.h>
#include <linux/openat2.h>

#include <algorithm>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/vfs/operations.h"

namespace cloister::syscalls {
namespace {

using task::Block;
using wait::Poll;

// open(2) and its kin. A FIFO without its other end is waited for.
struct OpenCall {
  Ref<vfs::FileDescription> file;
  bool cloexec = false;

  static ErrnoOr<OpenCall> With(Task& task, int dirfd, uint64_t path_addr, int flags, mode_t mode,
                                uint64_t resolve) {
    // Linux: build_open_flags, before the path is looked at.
    if (!(flags & O_PATH)) {
      constexpr int kUnnamed = O_TMPFILE & ~O_DIRECTORY;
      if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY)) return Errno::kInval;
      if ((flags & kUnnamed) && (!(flags & O_DIRECTORY) || (flags & O_ACCMODE) == O_RDONLY))
        return Errno::kInval;
    }
    const std::string path = TRY(task.CopyInPath(path_addr));
    if (path.empty()) return Errno::kNoEnt;
    // RESOLVE_IN_ROOT: the descriptor's directory is the root, so an absolute path begins there too.
    const vfs::Path start = TRY(task.StartOf(dirfd, (resolve & RESOLVE_IN_ROOT) != 0 ? "." : path));
    OpenCall call;
    call.file = TRY(vfs::Open(task.MakeCaller(), start, path, flags, mode, resolve));
    call.cloexec = (flags & O_CLOEXEC) != 0;
    return call;
  }

  static ErrnoOr<OpenCall> Begin(Task& task, const SyscallArgs& args) {
    return With(task, AT_FDCWD, args.Addr(0), args.Int(1), args.Mode(2), 0);
  }

  Outcome Step(Task& task) {
    if (!file->nonblocking() && file->OpenPending()) {
      Block block;
      block.on.push_back({Ref<RefCounted>(file), file->wait_queue(), Poll::kIn | Poll::kOut});
      return block;
    }
    return task::ToAnswer(task.InstallFile(file, cloexec));
  }
};

struct OpenAtCall : OpenCall {
  static ErrnoOr<OpenAtCall> Begin(Task& task, const SyscallArgs& args) {
    return OpenAtCall{TRY(With(task, args.Int(0), args.Addr(1), args.Int(2), args.Mode(3), 0))};
  }
};

struct CreatCall : OpenCall {
  static ErrnoOr<CreatCall> Begin(Task& task, const SyscallArgs& args) {
    return CreatCall{TRY(With(task, AT_FDCWD, args.Addr(0), O_CREAT | O_WRONLY | O_TRUNC, args.Mode(1), 0))};
  }
};

struct OpenAt2Call : OpenCall {
  static ErrnoOr<OpenAt2Call> Begin(Task& task, const SyscallArgs& args) {
    open_how how = {};
    const size_t size = args.Size(3);
    if (size < sizeof how) return Errno::kInval;
    if (size > mm::kPageSize) return Errno::k2Big;
    TRY_VOID(usermem::CopyInBytes(task.space(), args.Addr(2), std::as_writable_bytes(std::span(&how, 1))));
    for (size_t i = sizeof how; i < size; ++i) {
      if (TRY(task.CopyIn(usermem::UserPtr<const uint8_t>(args.Addr(2) + i))) != 0) return Errno::k2Big;
    }
    constexpr uint64_t kKnown = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |
                                O_SYNC | O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW |
                                O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE | 0100000;
    constexpr uint64_t kResolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |
                                  RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED;
    if ((how.flags & ~kKnown) || (how.resolve & ~kResolve) || (how.mode & ~uint64_t{07777}))
      return Errno::kInval;
    if ((how.resolve & RESOLVE_BENEATH) && (how.resolve & RESOLVE_IN_ROOT)) return Errno::kInval;
    const bool makes = (how.flags & O_CREAT) || (how.flags & O_TMPFILE) == O_TMPFILE;
    if (!makes && how.mode != 0) return Errno::kInval;
    if ((how.flags & O_PATH) && (how.flags & ~uint64_t{O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC}))
      return Errno::kInval;
    if (how.resolve & RESOLVE_CACHED) return Errno::kAgain;
    return OpenAt2Call{TRY(With(task, args.Int(0), args.Addr(1), static_cast<int>(how.flags),
                                static_cast<mode_t>(how.mode), how.resolve))};
  }
};

constexpr Entry kEntries[] = {
    {SYS_open, Blocking<OpenCall>},
    {SYS_openat, Blocking<OpenAtCall>},
    {SYS_openat2, Blocking<OpenAt2Call>},
    {SYS_creat, Blocking<CreatCall>},
    {SYS_name_to_handle_at, Fails<Errno::kOpNotSupp>, Support::kUnsupported, "EOPNOTSUPP"},
    {SYS_open_by_handle_at, Fails<Errno::kPerm>, Support::kUnsupported, "EPERM"},
};

}  // namespace

std::span<const Entry> OpenSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
