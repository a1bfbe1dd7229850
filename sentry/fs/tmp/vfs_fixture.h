#ifndef CLOISTER_SENTRY_FS_TMP_VFS_FIXTURE_H_
#define CLOISTER_SENTRY_FS_TMP_VFS_FIXTURE_H_

#include <fcntl.h>
#include <sys/mount.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sentry/fs/tmp/tmp_fs.h"
#include "sentry/vfs/dentry.h"
#include "sentry/vfs/directory_file.h"
#include "sentry/vfs/operations.h"

namespace cloister::tmp {

MATCHER_P(FailsWith, error, std::string("fails with ") + std::string(ErrnoName(error))) {
  if (arg.ok()) {
    *result_listener << "succeeded";
    return false;
  }
  *result_listener << ErrnoName(arg.error());
  return arg.error() == error;
}

MATCHER(Succeeds, "succeeds") {
  if (!arg.ok()) *result_listener << ErrnoName(arg.error());
  return arg.ok();
}

// A namespace whose root is a tmpfs, and callers on it: root, and user 1000 of group 1000.
class VfsTest : public ::testing::Test {
 protected:
  explicit VfsTest(TmpOptions options = {.mode = 0755}) {
    mounts = MakeRef<vfs::MountNamespace>(MountTmp(options, 0));
    root = CallerOf(auth::Credentials::Root());
    auth::Credentials plain;
    plain.uid = plain.euid = plain.suid = plain.fsuid = 1000;
    plain.gid = plain.egid = plain.sgid = plain.fsgid = 1000;
    plain.permitted = plain.effective = auth::CapSet();
    user = CallerOf(std::make_shared<const auth::Credentials>(plain));
  }

  vfs::Caller CallerOf(auth::CredRef cred) const {
    vfs::Caller caller;
    caller.cred = std::move(cred);
    caller.mounts = mounts;
    caller.root = caller.cwd = mounts->RootPath();
    return caller;
  }

  ErrnoOr<vfs::Path> Find(const vfs::Caller& caller, std::string_view path, bool follow = true,
                          uint64_t resolve = 0) {
    return vfs::Resolve(caller, caller.cwd, path, {.follow_last = follow, .resolve = resolve});
  }
  vfs::Path At(std::string_view path, bool follow = true) {
    ErrnoOr<vfs::Path> found = Find(root, path, follow);
    EXPECT_THAT(found, Succeeds()) << path;
    return found.ok() ? *found : vfs::Path();
  }
  struct statx Stat(std::string_view path, bool follow = true) { return vfs::Stat(At(path, follow)).value(); }

  ErrnoOrVoid Mkdir(const vfs::Caller& caller, std::string_view path, mode_t mode = 0755) {
    return vfs::MakeDirectory(caller, caller.cwd, path, mode);
  }
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::Caller& caller, std::string_view path, int flags,
                                          mode_t mode = 0644) {
    return vfs::Open(caller, caller.cwd, path, flags, mode);
  }
  ErrnoOrVoid Rename(const vfs::Caller& caller, std::string_view from, std::string_view to,
                     uint32_t flags = 0) {
    return vfs::Rename(caller, caller.cwd, from, caller.cwd, to, flags);
  }
  ErrnoOrVoid Remove(const vfs::Caller& caller, std::string_view path) {
    return vfs::Unlink(caller, caller.cwd, path);
  }
  ErrnoOrVoid Link(std::string_view target, std::string_view path) {
    return vfs::MakeLink(root, At(target), root.cwd, path);
  }
  ErrnoOrVoid Symlink(std::string_view target, std::string_view path) {
    return vfs::MakeSymlink(root, target, root.cwd, path);
  }

  void Put(std::string_view path, std::string_view text) {
    const auto file = Open(root, path, O_WRONLY | O_CREAT | O_TRUNC);
    ASSERT_THAT(file, Succeeds()) << path;
    auto buffer = usermem::UserBuffer::KernelConst(std::as_bytes(std::span(text)));
    EXPECT_EQ((*file)->Write(buffer).value(), text.size());
  }
  std::string Contents(std::string_view path) {
    const auto file = Open(root, path, O_RDONLY);
    return file.ok() ? ReadAll(**file) : std::string(ErrnoName(file.error()));
  }
  static std::string ReadAll(vfs::FileDescription& file) {
    std::string text(1 << 20, '\0');
    auto buffer = usermem::UserBuffer::Kernel(std::as_writable_bytes(std::span(text)));
    const ErrnoOr<size_t> got = file.Read(buffer);
    text.resize(got.ok() ? *got : 0);
    return text;
  }
  static ErrnoOr<size_t> Write(vfs::FileDescription& file, std::string_view text) {
    auto buffer = usermem::UserBuffer::KernelConst(std::as_bytes(std::span(text)));
    return file.Write(buffer);
  }
  std::vector<std::string> List(std::string_view path) {
    std::vector<std::string> names;
    const auto file = Open(root, path, O_RDONLY | O_DIRECTORY);
    if (!file.ok()) return {std::string(ErrnoName(file.error()))};
    EXPECT_THAT((*file)->AsDirectory()->ReadDir([&](const vfs::DirectoryFile::Entry& entry) {
      names.emplace_back(entry.name);
      return true;
    }),
                Succeeds());
    return names;
  }

  Ref<vfs::MountNamespace> mounts;
  vfs::Caller root;
  vfs::Caller user;
};

}  // namespace cloister::tmp

#endif  // CLOISTER_SENTRY_FS_TMP_VFS_FIXTURE_H_
