#include "gofer/tree/host_node.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>

#include "gofer/tree/name.h"
#include "gofer/tree/temp_tree.h"
#include "gtest/gtest.h"

namespace cloister::gofer {
namespace {

Ref<HostNode> AttachAt(const std::string& path, const AttachOrigin& origin = {}) {
  ErrnoOr<Ref<HostNode>> node = HostNode::Attach(UniqueFd(open(path.c_str(), O_PATH | O_CLOEXEC)), origin);
  EXPECT_TRUE(node.ok());
  return *node;
}

std::string Slurp(const UniqueFd& fd) {
  char text[64];
  const ssize_t got = pread(fd.get(), text, sizeof text, 0);
  return got < 0 ? "error" : std::string(text, static_cast<size_t>(got));
}

class HostNodeTest : public testing::Test {
 protected:
  HostNodeTest() {
    tree.Write("file", "inside");
    tree.Mkdir("dir/sub");
    tree.Symlink("/etc", "link");
    root = AttachAt(tree.path());
  }
  NewOwner Mine(mode_t mode) const { return {mode, geteuid(), getegid()}; }

  TempTree tree;
  Ref<HostNode> root;
};

TEST_F(HostNodeTest, LooksUpOneComponent) {
  auto found = root->Lookup("file");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->attr.stx_size, 6u);
  EXPECT_EQ(Slurp(*found->node->Open(O_RDONLY)), "inside");
  EXPECT_EQ(root->Lookup("none").error(), Errno::kNoEnt);
  EXPECT_EQ(found->node->Lookup("x").error(), Errno::kNotDir);
}

TEST_F(HostNodeTest, RefusesNamesThatAreNone) {
  for (const std::string name : {"", ".", "..", "dir/sub", "/", "/etc"}) {
    EXPECT_EQ(root->Lookup(name).error(), Errno::kInval) << name;
    EXPECT_EQ(root->Mkdir(name, Mine(0755)).error(), Errno::kInval) << name;
  }
  EXPECT_EQ(root->Lookup(std::string("a\0b", 3)).error(), Errno::kInval);
  EXPECT_EQ(root->Lookup(std::string(256, 'a')).error(), Errno::kNameTooLong);
}

TEST_F(HostNodeTest, NeverFollowsASymlink) {
  auto link = root->Lookup("link");
  ASSERT_TRUE(link.ok());
  EXPECT_TRUE(link->node->is_symlink());
  EXPECT_EQ(link->target, "/etc");
  EXPECT_EQ(link->node->Lookup("passwd").error(), Errno::kNotDir);
  EXPECT_EQ(link->node->ReadDir(0, 0).error(), Errno::kNotDir);
  EXPECT_EQ(link->node->Open(O_RDONLY).error(), Errno::kLoop);
  EXPECT_EQ(root->Create("link", O_WRONLY, Mine(0600)).error(), Errno::kExist);
}

TEST_F(HostNodeTest, ChangesOfASymlinkStayOnIt) {
  tree.Write("target", "x");
  tree.Symlink("target", "to");
  auto link = root->Lookup("to");
  ASSERT_TRUE(link.ok());
  const auto before = root->Lookup("target")->attr;
  AttrChange change;
  change.mtime = {5, 6};
  EXPECT_TRUE(link->node->SetAttr(change).ok());
  EXPECT_EQ(link->node->SetAttr({.mode = 0777}).error(), Errno::kOpNotSupp);
  EXPECT_FALSE(link->node->SetAttr({.size = 0}).ok());
  auto after = root->Lookup("target");
  EXPECT_EQ(after->attr.stx_size, 1u);
  EXPECT_EQ(after->attr.stx_mode, before.stx_mode);
  EXPECT_EQ(after->attr.stx_mtime.tv_sec, before.stx_mtime.tv_sec);
  EXPECT_EQ(link->node->GetAttr()->stx_mtime.tv_sec, 5);
}

TEST_F(HostNodeTest, ADirectorySwappedWithASymlinkIsNotLeft) {
  std::atomic<bool> stop = false;
  std::thread swapper([&] {
    tree.Symlink("/etc", "swap");
    while (!stop) {
      renameat2(AT_FDCWD, (tree / "swap").c_str(), AT_FDCWD, (tree / "dir").c_str(), RENAME_EXCHANGE);
    }
  });
  struct stat passwd;
  ASSERT_EQ(stat("/etc/passwd", &passwd), 0);
  int links = 0, directories = 0;
  for (int i = 0; i < 20000; ++i) {
    auto dir = root->Lookup("dir");
    ASSERT_TRUE(dir.ok()) << ErrnoName(dir.error());
    (dir->node->is_symlink() ? links : directories)++;
    auto leaf = dir->node->Lookup("passwd");
    ASSERT_FALSE(leaf.ok());
    ASSERT_TRUE(leaf.error() == Errno::kNotDir || leaf.error() == Errno::kNoEnt);
    auto list = dir->node->ReadDir(0, 8);
    if (list.ok()) {
      ASSERT_EQ(list->entries.size(), 1u);
    }
    // The name may be either one; what is made is inside or refused.
    auto made = root->Create("dir", O_WRONLY, Mine(0600));
    ASSERT_EQ(made.error(), Errno::kExist);
  }
  stop = true;
  swapper.join();
  EXPECT_GT(directories, 0);
  EXPECT_GT(links, 0);
}

TEST_F(HostNodeTest, AReplacedFileStaysTheOneThatWasFound) {
  auto found = root->Lookup("file");
  tree.Write("other", "elsewhere");
  ASSERT_EQ(rename((tree / "other").c_str(), (tree / "file").c_str()), 0);
  EXPECT_EQ(Slurp(*found->node->Open(O_RDONLY)), "inside");
  EXPECT_EQ(found->node->GetAttr()->stx_nlink, 0u);
}

TEST_F(HostNodeTest, OpensRegularFilesOnly) {
  ASSERT_EQ(mkfifo((tree / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(root->Lookup("fifo")->node->Open(O_RDONLY).error(), Errno::kNxIo);
  EXPECT_EQ(root->Open(O_RDONLY).error(), Errno::kIsDir);
  if (mknod((tree / "null").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0) {
    EXPECT_EQ(root->Lookup("null")->node->Open(O_RDONLY).error(), Errno::kNxIo);
  }
  auto file = root->Lookup("file");
  EXPECT_EQ(file->node->Open(O_RDONLY | O_CREAT).error(), Errno::kInval);
  EXPECT_EQ(file->node->Open(O_RDONLY | O_PATH).error(), Errno::kInval);
  EXPECT_EQ(file->node->Open(O_ACCMODE).error(), Errno::kInval);
}

TEST_F(HostNodeTest, ReadOnlyRefusesEveryChange) {
  const auto ro = AttachAt(tree.path(), {.readonly = true});
  auto file = ro->Lookup("file");
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->node->Open(O_RDONLY).ok());
  EXPECT_EQ(file->node->Open(O_RDWR).error(), Errno::kRofs);
  EXPECT_EQ(file->node->Open(O_RDONLY | O_TRUNC).error(), Errno::kRofs);
  EXPECT_EQ(file->node->SetAttr({.mode = 0}).error(), Errno::kRofs);
  EXPECT_EQ(file->node->SetXattr("user.a", "b", 0).error(), Errno::kRofs);
  EXPECT_EQ(file->node->RemoveXattr("user.a").error(), Errno::kRofs);
  EXPECT_EQ(ro->Create("new", O_RDWR, Mine(0600)).error(), Errno::kRofs);
  EXPECT_EQ(ro->CreateUnnamed(O_RDWR, Mine(0600)).error(), Errno::kRofs);
  EXPECT_EQ(ro->Mkdir("new", Mine(0700)).error(), Errno::kRofs);
  EXPECT_EQ(ro->Symlink("new", "x", Mine(0)).error(), Errno::kRofs);
  EXPECT_EQ(ro->Mknod("new", S_IFIFO, 0, Mine(0600)).error(), Errno::kRofs);
  EXPECT_EQ(ro->Link(*file->node, "new").error(), Errno::kRofs);
  EXPECT_EQ(ro->Unlink("file", false).error(), Errno::kRofs);
  EXPECT_EQ(ro->Rename("file", *ro, "new", 0).error(), Errno::kRofs);
  EXPECT_EQ(root->Rename("file", *ro, "new", 0).error(), Errno::kRofs);
  EXPECT_EQ(root->Link(*file->node, "new").error(), Errno::kRofs);
}

TEST_F(HostNodeTest, ANewFileHasItsOwnerAndModeAtOnce) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  // Without SECBIT_NO_SETUID_FIXUP the directory must let the owner in.
  ASSERT_EQ(chmod(tree.path().c_str(), 0777), 0);
  const mode_t mask = umask(0);
  auto made = root->Create("new", O_RDWR, {04711, 1234, 567});
  auto dir = root->Mkdir("newdir", {02755, 1234, 567});
  auto link = root->Symlink("newlink", "file", {0, 1234, 567});
  auto fifo = root->Mknod("newfifo", S_IFIFO, 0, {0622, 1234, 567});
  umask(mask);
  ASSERT_TRUE(made.ok() && dir.ok() && link.ok() && fifo.ok());
  EXPECT_EQ(made->found.attr.stx_mode, S_IFREG | 04711);
  EXPECT_EQ(dir->attr.stx_mode, S_IFDIR | 02755);
  EXPECT_EQ(fifo->attr.stx_mode, S_IFIFO | 0622);
  for (const auto& attr : {made->found.attr, dir->attr, link->attr, fifo->attr}) {
    EXPECT_EQ(attr.stx_uid, 1234u);
    EXPECT_EQ(attr.stx_gid, 567u);
  }
  EXPECT_EQ(write(made->fd.get(), "abc", 3), 3);
  EXPECT_EQ(root->Create("new", O_RDWR, Mine(0600)).error(), Errno::kExist);
}

TEST_F(HostNodeTest, LinksRenamesAndRemoves) {
  auto file = root->Lookup("file");
  auto dir = root->Lookup("dir");
  ASSERT_TRUE(file.ok() && dir.ok());
  EXPECT_EQ(dir->node->Link(*file->node, "again")->attr.stx_nlink, 2u);
  EXPECT_EQ(root->Link(*dir->node, "dirlink").error(), Errno::kPerm);
  EXPECT_EQ(root->Rename("file", *dir->node, "again", RENAME_NOREPLACE).error(), Errno::kExist);
  EXPECT_EQ(root->Rename("file", *dir->node, "x", RENAME_WHITEOUT).error(), Errno::kInval);
  EXPECT_TRUE(root->Rename("file", *dir->node, "moved", 0).ok());
  EXPECT_EQ(root->Unlink("dir", true).error(), Errno::kNotEmpty);
  EXPECT_EQ(root->Unlink("dir", false).error(), Errno::kIsDir);
  EXPECT_TRUE(dir->node->Unlink("moved", false).ok());
  EXPECT_TRUE(dir->node->Unlink("again", false).ok());
  EXPECT_EQ(Slurp(*file->node->Open(O_RDONLY)), "inside");
  EXPECT_EQ(root->Link(*file->node, "back").error(), Errno::kNoEnt);
}

TEST_F(HostNodeTest, AnUnnamedFileCanBeGivenAName) {
  auto made = root->CreateUnnamed(O_RDWR, Mine(0600));
  ASSERT_TRUE(made.ok()) << ErrnoName(made.error());
  EXPECT_EQ(write(made->fd.get(), "late", 4), 4);
  EXPECT_TRUE(root->Link(*made->found.node, "named").ok());
  EXPECT_EQ(Slurp(*root->Lookup("named")->node->Open(O_RDONLY)), "late");
}

TEST_F(HostNodeTest, SetsAttributes) {
  auto file = root->Lookup("file");
  AttrChange change{.mode = 0640, .size = 2};
  change.atime = {100, 7};
  change.mtime = {200, 8};
  ASSERT_TRUE(file->node->SetAttr(change).ok());
  const auto attr = *file->node->GetAttr();
  EXPECT_EQ(attr.stx_mode, S_IFREG | 0640);
  EXPECT_EQ(attr.stx_size, 2u);
  EXPECT_EQ(attr.stx_atime.tv_sec, 100);
  EXPECT_EQ(attr.stx_mtime.tv_nsec, 8u);
  change.mtime = {0, 1'000'000'000};
  EXPECT_EQ(file->node->SetAttr(change).error(), Errno::kInval);
  EXPECT_EQ(file->node->SetAttr({.mode = 010000}).error(), Errno::kInval);
  EXPECT_EQ(file->node->SetAttr({.size = ~uint64_t{0}}).error(), Errno::kInval);
}

TEST_F(HostNodeTest, KeepsXattrs) {
  auto file = root->Lookup("file");
  const auto set = file->node->SetXattr("user.color", "blue", XATTR_CREATE);
  if (!set.ok() && set.error() == Errno::kOpNotSupp) GTEST_SKIP() << "no user xattrs here";
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(*file->node->GetXattr("user.color"), "blue");
  EXPECT_EQ(*file->node->ListXattr(), std::string("user.color\0", 11));
  EXPECT_EQ(file->node->SetXattr("user.color", "red", XATTR_CREATE).error(), Errno::kExist);
  EXPECT_TRUE(file->node->RemoveXattr("user.color").ok());
  EXPECT_EQ(file->node->GetXattr("user.color").error(), Errno::kNoData);
}

TEST_F(HostNodeTest, ListsLargeDirectoriesInPieces) {
  tree.Mkdir("big");
  for (int i = 0; i < 5000; ++i) tree.Write("big/" + std::to_string(i), "");
  auto big = root->Lookup("big");
  std::set<std::string> seen;
  uint64_t cookie = 0;
  int pieces = 0;
  while (true) {
    auto list = big->node->ReadDir(cookie, 3);
    ASSERT_TRUE(list.ok());
    ++pieces;
    EXPECT_TRUE(list->entries.empty() || list->entries[0].attr.has_value());
    for (const DirEntry& entry : list->entries) EXPECT_TRUE(seen.insert(entry.name).second);
    if (list->end) break;
    cookie = list->next;
  }
  EXPECT_EQ(seen.size(), 5000u);
  EXPECT_EQ(pieces, 3);
}

TEST(HostNodeMounts, KernelInterfacesInsideATreeAreSealed) {
  const auto root = AttachAt("/");
  auto proc = root->Lookup("proc");
  if (!proc.ok() || access("/proc/self", F_OK) != 0) GTEST_SKIP() << "no /proc";
  EXPECT_EQ(proc->node->Lookup("sys").error(), Errno::kAcces);
  EXPECT_EQ(proc->node->ReadDir(0, 0).error(), Errno::kAcces);
  EXPECT_EQ(proc->node->SetAttr({.mode = 0755}).error(), Errno::kAcces);
  const auto attached = AttachAt("/proc");
  EXPECT_TRUE(attached->origin().readonly);
}

}  // namespace
}  // namespace cloister::gofer
