#ifndef CLOISTER_SENTRY_BOOT_OVERLAY_FIXTURE_H_
#define CLOISTER_SENTRY_BOOT_OVERLAY_FIXTURE_H_

#include <string>
#include <string_view>
#include <utility>

#include "sentry/fs/overlay/overlay_fs.h"
#include "sentry/fs/tmp/vfs_fixture.h"

namespace cloister::overlay {

using tmp::FailsWith;
using tmp::Succeeds;
using tmp::TmpOptions;

// Begins on a tmpfs that a test fills; Stack puts the overlay over it and goes on there.
class OverlayTest : public tmp::VfsTest {
 protected:
  void Stack(const TmpOptions& upper_options = {.mode = 0755}) {
    below = mounts;
    upper = tmp::MountTmp(upper_options, 0);
    const Ref<vfs::Mount> lower = mounts->root();
    const ErrnoOr<Layer> made = Make({Ref<vfs::FileSystem>(&lower->fs()), lower->root()->inode()},
                                     {Ref<vfs::FileSystem>(&upper->fs()), upper->root()->inode()});
    ASSERT_THAT(made, Succeeds());
    Enter(MakeRef<vfs::MountNamespace>(
        MakeRef<vfs::Mount>(made->fs, vfs::Dentry::MakeRoot(made->root), 0, "overlay")));
    above = mounts;
  }
  // Which tree the helpers work on.
  void Enter(Ref<vfs::MountNamespace> tree) {
    mounts = std::move(tree);
    for (vfs::Caller* caller : {&root, &user}) {
      caller->mounts = mounts;
      caller->root = caller->cwd = mounts->RootPath();
    }
  }
  std::string ContentsBelow(std::string_view path) {
    Enter(below);
    std::string text = Contents(path);
    Enter(above);
    return text;
  }
  ErrnoOrVoid Rmdir(std::string_view path) { return vfs::RemoveDirectory(root, root.cwd, path); }
  ErrnoOrVoid Chmod(std::string_view path, mode_t mode) { return vfs::ChangeMode(root, At(path), mode); }
  uint64_t Ino(std::string_view path) { return Stat(path, false).stx_ino; }
  // As the directory's listing has it.
  uint64_t ListedIno(std::string_view directory, std::string_view name) {
    const auto file = Open(root, directory, O_RDONLY | O_DIRECTORY);
    uint64_t number = 0;
    EXPECT_THAT((*file)->AsDirectory()->ReadDir([&](const vfs::DirectoryFile::Entry& entry) {
      if (entry.name == name) number = entry.inode;
      return true;
    }),
                Succeeds());
    return number;
  }
  // What the dentry cache holds and nobody uses goes, as under memory pressure.
  void ForgetCache() { mounts->RootPath().dentry()->ForgetTree(); }
  uint64_t UpperPages() { return upper->fs().StatFs()->f_blocks - upper->fs().StatFs()->f_bfree; }

  Ref<vfs::MountNamespace> below, above;
  Ref<vfs::Mount> upper;
};

}  // namespace cloister::overlay

#endif  // CLOISTER_SENTRY_BOOT_OVERLAY_FIXTURE_H_
