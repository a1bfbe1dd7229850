// The tree of mounts through the system call table.

#include <errno.h>
#include <sys/mount.h>
#include <sys/statfs.h>

#include "sentry/syscalls/sandbox_fixture.h"
#include "sentry/vfs/file_system_types.h"

namespace cloister::syscalls {
namespace {

class MountSyscallTest : public SandboxTest {
 protected:
  uint64_t Text(int slot, std::string_view text) {
    return text.empty() ? 0 : PutText(scratch_ + 4096 + static_cast<uint64_t>(slot) * 512, text);
  }
  std::optional<int64_t> Mount(std::string_view source, std::string_view target, std::string_view type,
                               uint64_t flags, std::string_view options = "") {
    return Call(SYS_mount, {Text(0, source), Text(1, target), Text(2, type), flags, Text(3, options)});
  }
  std::optional<int64_t> Umount(std::string_view target, uint64_t flags = 0) {
    return Call(SYS_umount2, {Text(1, target), flags});
  }
  void Mkdir(std::string_view path) { Must(SYS_mkdir, {Text(0, path), 0755}); }
  uint64_t Create(std::string_view path) { return Must(SYS_open, {Text(0, path), O_RDWR | O_CREAT, 0644}); }
  // access(2)'s answer.
  std::optional<int64_t> Exists(std::string_view path) { return Call(SYS_access, {Text(0, path), F_OK}); }
};

TEST_F(MountSyscallTest, TmpfsCoversAndGoes) {
  Mkdir("/m");
  Must(SYS_close, {Create("/m/below")});
  EXPECT_EQ(Mount("here", "/m", "tmpfs", MS_NOSUID, "size=64k,mode=700"), 0);
  EXPECT_EQ(Exists("/m/below"), -ENOENT);
  EXPECT_EQ(Call(SYS_statfs, {Text(0, "/m"), scratch_}), 0);
  EXPECT_EQ(Get<struct statfs>(scratch_).f_blocks, 16u);
  EXPECT_NE(Get<struct statfs>(scratch_).f_flags & MS_NOSUID, 0);
  const uint64_t file = Create("/m/inside");
  EXPECT_EQ(Umount("/m"), -EBUSY);
  Must(SYS_close, {file});
  EXPECT_EQ(Umount("/m"), 0);
  EXPECT_EQ(Exists("/m/below"), 0);
  EXPECT_EQ(Umount("/m"), -EINVAL);
  EXPECT_EQ(Umount("/m", 1 << 10), -EINVAL);
  EXPECT_EQ(Umount("/none"), -ENOENT);
}

TEST_F(MountSyscallTest, WhatIsRefused) {
  Mkdir("/m");
  Must(SYS_close, {Create("/file")});
  EXPECT_EQ(Mount("x", "/none", "tmpfs", 0), -ENOENT);
  EXPECT_EQ(Mount("x", "/file", "tmpfs", 0), -ENOTDIR);
  EXPECT_EQ(Mount("x", "/m", "nosuchfs", 0), -ENODEV);
  EXPECT_EQ(Mount("x", "/m", "", 0), -EINVAL);
  EXPECT_EQ(Mount("x", "/m", "tmpfs", 0, "no=such"), -EINVAL);
  EXPECT_EQ(Mount("/file", "/m", "", MS_BIND), -ENOTDIR);
  EXPECT_EQ(Mount("/none", "/m", "", MS_BIND), -ENOENT);
  EXPECT_EQ(Mount("", "/m", "", MS_REMOUNT), -EINVAL);  // no mount's root
  EXPECT_EQ(Mount("", "/", "", MS_SHARED), -EINVAL);
  EXPECT_EQ(Mount("", "/", "", MS_PRIVATE | MS_SLAVE), -EINVAL);
  EXPECT_EQ(Mount("", "/", "", MS_REC | MS_PRIVATE), 0);
  EXPECT_EQ(Mount("", "/m", "", MS_PRIVATE), -EINVAL);
  EXPECT_EQ(Call(SYS_mount, {8, Text(1, "/m"), Text(2, "tmpfs"), 0, 0}), -EFAULT);
  EXPECT_EQ(Call(SYS_fsopen, {Text(2, "tmpfs"), 0}), -ENOSYS);
  EXPECT_EQ(Umount("/"), -EBUSY);
  EXPECT_EQ(Umount("/", MNT_DETACH), -EINVAL);
  EXPECT_EQ(Call(SYS_setns, {99, 0}), -EBADF);
  Must(SYS_setresuid, {1000, 1000, 1000});
  EXPECT_EQ(Mount("x", "/none", "tmpfs", 0), -ENOENT);
  EXPECT_EQ(Mount("x", "/m", "tmpfs", 0), -EPERM);
  EXPECT_EQ(Umount("/m"), -EPERM);
  EXPECT_EQ(Call(SYS_pivot_root, {8, 8}), -EPERM);
}

TEST_F(MountSyscallTest, BindsShareAndMayBeReadOnly) {
  Mkdir("/from");
  Mkdir("/from/sub");
  Mkdir("/to");
  EXPECT_EQ(Mount("t", "/from/sub", "tmpfs", 0), 0);
  Must(SYS_close, {Create("/from/sub/deep")});
  EXPECT_EQ(Mount("/from", "/to", "", MS_BIND), 0);
  EXPECT_EQ(Exists("/to/sub"), 0);
  EXPECT_EQ(Exists("/to/sub/deep"), -ENOENT);
  EXPECT_EQ(Umount("/to"), 0);
  EXPECT_EQ(Mount("/from", "/to", "", MS_BIND | MS_REC), 0);
  EXPECT_EQ(Exists("/to/sub/deep"), 0);
  EXPECT_EQ(Mount("", "/to", "", MS_REMOUNT | MS_BIND | MS_RDONLY), 0);
  EXPECT_EQ(Call(SYS_open, {Text(0, "/to/new"), O_CREAT | O_WRONLY, 0600}), -EROFS);
  Must(SYS_close, {Create("/from/new")});
  EXPECT_EQ(Exists("/to/new"), 0);
  Must(SYS_close, {Create("/to/sub/other")});
  EXPECT_EQ(Umount("/to"), -EBUSY);
  EXPECT_EQ(Umount("/to", MNT_DETACH), 0);
  EXPECT_EQ(Exists("/to/sub"), -ENOENT);
  EXPECT_EQ(Exists("/from/sub/other"), 0);
}

TEST_F(MountSyscallTest, BindOfATreeIntoItself) {
  Mkdir("/a");
  EXPECT_EQ(Mount("t", "/a", "tmpfs", 0), 0);
  Mkdir("/a/b");
  EXPECT_EQ(Mount("/", "/a/b", "", MS_BIND | MS_REC), 0);
  EXPECT_EQ(Exists("/a/b/a/b"), 0);
  EXPECT_EQ(Exists("/a/b/a/b/a"), -ENOENT);  // the copy is of what was there before
  EXPECT_EQ(Mount("/a", "/a/b", "", MS_MOVE), -ELOOP);
  EXPECT_EQ(Umount("/a", MNT_DETACH), 0);
}

TEST_F(MountSyscallTest, FilesAreBound) {
  const uint64_t file = Create("/one");
  PutText(scratch_, "text");
  Must(SYS_write, {file, scratch_, 4});
  Must(SYS_close, {Create("/other")});
  EXPECT_EQ(Mount("/one", "/other", "", MS_BIND), 0);
  EXPECT_EQ(Call(SYS_read, {Create("/other"), scratch_ + 64, 16}), 4);
  EXPECT_EQ(Call(SYS_unlink, {Text(0, "/other")}), -EBUSY);
}

TEST_F(MountSyscallTest, UnbindableIsLeftOut) {
  Mkdir("/a");
  Mkdir("/b");
  EXPECT_EQ(Mount("t", "/a", "tmpfs", 0), 0);
  EXPECT_EQ(Mount("", "/a", "", MS_UNBINDABLE), 0);
  EXPECT_EQ(Mount("/a", "/b", "", MS_BIND), -EINVAL);
  EXPECT_EQ(Mount("", "/a", "", MS_PRIVATE), 0);
  EXPECT_EQ(Mount("/a", "/b", "", MS_BIND), 0);
}

TEST_F(MountSyscallTest, MoveTakesWhatIsBelow) {
  Mkdir("/a");
  Mkdir("/b");
  EXPECT_EQ(Mount("t", "/a", "tmpfs", 0), 0);
  Mkdir("/a/sub");
  EXPECT_EQ(Mount("t", "/a/sub", "tmpfs", 0), 0);
  Must(SYS_close, {Create("/a/sub/file")});
  EXPECT_EQ(Mount("/a", "/b", "", MS_MOVE), 0);
  EXPECT_EQ(Exists("/b/sub/file"), 0);
  EXPECT_EQ(Exists("/a/sub"), -ENOENT);
  EXPECT_EQ(Mount("/a", "/b", "", MS_MOVE), -EINVAL);
}

TEST_F(MountSyscallTest, PivotRootMovesEveryTask) {
  Mkdir("/new");
  EXPECT_EQ(Mount("t", "/new", "tmpfs", 0), 0);
  Mkdir("/new/old");
  const Ref<inproc::Thread> child = Fork();
  Mkdir("/beside");
  EXPECT_EQ(Mount("t", "/beside", "tmpfs", 0), 0);
  EXPECT_EQ(Call(SYS_pivot_root, {Text(0, "/new"), Text(1, "/beside")}), -EINVAL);  // not below the new root
  EXPECT_EQ(Call(SYS_pivot_root, {Text(0, "/new"), Text(1, "/bin")}), -EBUSY);
  EXPECT_EQ(Call(SYS_pivot_root, {Text(0, "/bin"), Text(1, "/bin")}), -EBUSY);
  EXPECT_EQ(Call(SYS_pivot_root, {Text(0, "/new"), Text(1, "/new/old")}), 0);
  EXPECT_EQ(Exists("/old/bin/test"), 0);
  EXPECT_EQ(Exists("/bin"), -ENOENT);
  const uint64_t path = scratch_ + 4096;
  child->space().Write(path, std::as_bytes(std::span("/old/bin/test", 14)));
  EXPECT_EQ(child->Syscall(SYS_access, {path, F_OK}), 0);
  EXPECT_EQ(Call(SYS_getcwd, {scratch_, 64}), 2);
  EXPECT_EQ(GetText(scratch_, 1), "/");
}

TEST_F(MountSyscallTest, PivotRootOntoItselfAsContainersDo) {
  Mkdir("/new");
  EXPECT_EQ(Mount("t", "/new", "tmpfs", 0), 0);
  Must(SYS_chdir, {Text(0, "/new")});
  EXPECT_EQ(Call(SYS_pivot_root, {Text(0, "."), Text(1, ".")}), 0);
  EXPECT_EQ(Umount(".", MNT_DETACH), 0);
  Mkdir("/here");
  EXPECT_EQ(Exists("here"), 0);
  EXPECT_EQ(Exists("/../here"), 0);
  EXPECT_EQ(Exists("/new"), -ENOENT);
}

TEST_F(MountSyscallTest, RegisteredTypesAreMounted) {
  std::string seen;
  vfs::FileSystemTypes::Get().Register("testfs", [&](const vfs::NewMount& request) {
    seen = std::string(request.source) + "|" + std::string(request.options);
    return ErrnoOr<Ref<vfs::Mount>>(tmp::MountTmp({.mode = 0755}, request.flags));
  });
  Mkdir("/m");
  EXPECT_EQ(Mount("", "/m", "testfs", MS_RDONLY, "a=b"), 0);
  EXPECT_EQ(seen, "none|a=b");
  EXPECT_EQ(Call(SYS_mkdir, {Text(0, "/m/x"), 0700}), -EROFS);
  EXPECT_EQ(Mount("", "/m", "", MS_REMOUNT), 0);
  EXPECT_EQ(Call(SYS_mkdir, {Text(0, "/m/x"), 0700}), 0);
  EXPECT_EQ(Mount("", "/m", "", MS_REMOUNT, "mode=755"), 0);
  EXPECT_EQ(Mount("", "/m", "", MS_REMOUNT, "size=1m"), -EINVAL);
}

}  // namespace
}  // namespace cloister::syscalls
