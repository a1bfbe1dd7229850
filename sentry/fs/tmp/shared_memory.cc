#include "sentry/fs/tmp/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sentry/fs/tmp/tmp_file.h"
#include "sentry/vfs/dentry.h"
#include "sentry/vfs/mount.h"

namespace cloister::tmp {
namespace {

constexpr unsigned kNoExecSeal = 0x8;  // MFD_NOEXEC_SEAL, Linux 6.3
constexpr unsigned kExec = 0x10;       // MFD_EXEC
constexpr int kLargeFile = 0100000;    // O_LARGEFILE of the kernel's, which glibc has as 0

// In no namespace, without limits, for the life of the sentry.
vfs::Mount& InternalMount() {
  static vfs::Mount* const mount = MountTmp({}, 0, "none").Release();
  return *mount;
}

Ref<vfs::FileDescription> OpenNew(std::string_view shown, mode_t mode, bool sealable, auth::CredRef cred,
                                  Ref<TmpFile>* file) {
  vfs::Mount& mount = InternalMount();
  const Ref<TmpFs> fs(&static_cast<TmpFs&>(mount.fs()));
  static_cast<void>(fs->TakeInode());
  const vfs::NewNode node{S_IFREG | mode, cred->fsuid, cred->fsgid, 0};
  *file = MakeRef<TmpFile>(fs, node, 0, std::string(shown), sealable);
  vfs::OpenRequest request{O_RDWR | kLargeFile, {}, std::move(cred)};
  request.path = vfs::Path(Ref<vfs::Mount>(&mount), vfs::Dentry::MakeUnnamed(mount.root(), shown, *file));
  return MakeRef<TmpOpenFile>(request, *file);
}

}  // namespace

ErrnoOr<Ref<vfs::FileDescription>> MakeMemFd(std::string_view name, unsigned flags, auth::CredRef cred) {
  constexpr unsigned kKnown = MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoExecSeal | kExec;
  if ((flags & ~kKnown) != 0 || (flags & (kNoExecSeal | kExec)) == (kNoExecSeal | kExec))
    return Errno::kInval;
  const bool no_exec = (flags & kNoExecSeal) != 0;
  const bool sealable = (flags & (MFD_ALLOW_SEALING | kNoExecSeal)) != 0;
  Ref<TmpFile> file;
  Ref<vfs::FileDescription> open = OpenNew(absl::StrCat("memfd:", std::string(name)), no_exec ? 0666 : 0777,
                                           sealable, std::move(cred), &file);
  if (no_exec) TRY_VOID(file->data().SealNotExecutable());
  return open;
}

ErrnoOr<Ref<vfs::FileDescription>> MakeSharedMemory(std::string_view name, uint64_t size,
                                                    auth::CredRef cred) {
  Ref<TmpFile> file;
  Ref<vfs::FileDescription> open = OpenNew(name, 0777, false, std::move(cred), &file);
  TRY_VOID(file->data().Resize(size));
  return open;
}

}  // namespace cloister::tmp
