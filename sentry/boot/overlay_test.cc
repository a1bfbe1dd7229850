#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>

#include "sentry/boot/overlay_fixture.h"
#include "sentry/vfs/special_files.h"

namespace cloister::overlay {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

TEST_F(OverlayTest, ReadsThroughAndSaysWhatItIs) {
  Put("/f", "lower");
  const uint64_t number = Ino("/f");
  Stack();
  EXPECT_EQ(Contents("/f"), "lower");
  EXPECT_EQ(Ino("/f"), number);
  EXPECT_EQ(ListedIno("/", "f"), number);
  EXPECT_EQ(mounts->root()->fs().type(), "overlay");
  const struct statx attr = Stat("/f");
  EXPECT_EQ(makedev(attr.stx_dev_major, attr.stx_dev_minor), mounts->root()->fs().device());
  EXPECT_EQ(vfs::StatFs(At("/"))->f_type, 0x794c7630);
  EXPECT_THAT(Find(root, "/g"), FailsWith(Errno::kNoEnt));
}

TEST_F(OverlayTest, LayersMustBeDirectories) {
  Put("/f", "");
  const Ref<vfs::Mount> mount = mounts->root();
  const Layer good{Ref<vfs::FileSystem>(&mount->fs()), mount->root()->inode()};
  const Layer bad{good.fs, At("/f").dentry()->inode()};
  EXPECT_THAT(Make(bad, good), FailsWith(Errno::kNotDir));
  EXPECT_THAT(Make(good, bad), FailsWith(Errno::kNotDir));
}

TEST_F(OverlayTest, WritingCopiesUp) {
  Put("/f", "lower text");
  ASSERT_THAT(Chmod("/f", 0640), Succeeds());
  ASSERT_THAT(vfs::ChangeOwner(root, At("/f"), 7, 8), Succeeds());
  const uint64_t number = Ino("/f");
  Stack();
  const auto before = Open(root, "/f", O_RDONLY);
  const auto file = Open(root, "/f", O_RDWR);
  ASSERT_THAT(file, Succeeds());
  EXPECT_THAT(Write(**file, "UPPER"), Succeeds());
  EXPECT_EQ(Contents("/f"), "UPPER text");
  EXPECT_EQ(ContentsBelow("/f"), "lower text");
  EXPECT_EQ(ReadAll(**before), "UPPER text");  // one opened before the copy follows
  const struct statx attr = Stat("/f");
  EXPECT_EQ(attr.stx_mode, S_IFREG | 0640);
  EXPECT_EQ(attr.stx_uid, 7u);
  EXPECT_EQ(attr.stx_gid, 8u);
  EXPECT_EQ(attr.stx_nlink, 1u);
  EXPECT_EQ(attr.stx_ino, number);
  EXPECT_EQ((*before)->inode(), (*file)->inode());
  EXPECT_THAT(List("/"), ElementsAre(".", "..", "f"));
}

TEST_F(OverlayTest, ChangesOutliveTheCache) {
  Put("/f", "lower");
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  Put("/d/g", "lower");
  Put("/d/h", "lower");
  Stack();
  Put("/f", "upper");
  Put("/d/g", "upper");
  ASSERT_THAT(Remove(root, "/d/h"), Succeeds());
  ForgetCache();
  EXPECT_EQ(Contents("/f"), "upper");
  EXPECT_EQ(Contents("/d/g"), "upper");
  EXPECT_THAT(Find(root, "/d/h"), FailsWith(Errno::kNoEnt));
}

TEST_F(OverlayTest, AppendAndTruncate) {
  Put("/f", "lower");
  Put("/g", "lower");
  Put("/h", "lower");
  Stack();
  EXPECT_THAT(Write(**Open(root, "/f", O_WRONLY | O_APPEND), "+more"), Succeeds());
  EXPECT_EQ(Contents("/f"), "lower+more");
  EXPECT_THAT(Open(root, "/g", O_WRONLY | O_TRUNC), Succeeds());
  EXPECT_EQ(Contents("/g"), "");
  EXPECT_THAT(vfs::Truncate(root, At("/h"), 3), Succeeds());
  EXPECT_EQ(Contents("/h"), "low");
  EXPECT_THAT(vfs::Truncate(root, At("/h"), 5), Succeeds());
  EXPECT_EQ(Contents("/h"), std::string("low\0\0", 5));
  EXPECT_EQ(ContentsBelow("/h"), "lower");
}

TEST_F(OverlayTest, AttributesAloneCopyNoData) {
  const std::string text(1 << 20, 'x');
  Put("/f", text);
  Stack({.max_bytes = 1 << 16, .mode = 0755});
  const struct statx old = Stat("/f");
  EXPECT_THAT(Chmod("/f", 04711), Succeeds());
  EXPECT_THAT(vfs::SetXattr(root, At("/f"), "user.a", "b", 0), Succeeds());
  const struct statx attr = Stat("/f");
  EXPECT_EQ(attr.stx_mode, S_IFREG | 04711);
  EXPECT_EQ(attr.stx_size, text.size());
  EXPECT_EQ(attr.stx_blocks, old.stx_blocks);
  EXPECT_EQ(attr.stx_mtime.tv_sec, old.stx_mtime.tv_sec);
  EXPECT_EQ(attr.stx_mtime.tv_nsec, old.stx_mtime.tv_nsec);
  EXPECT_EQ(Contents("/f"), text);
  EXPECT_EQ(*vfs::GetXattr(root, At("/f"), "user.a"), "b");
  // The data do not fit.
  EXPECT_THAT(Open(root, "/f", O_RDWR), FailsWith(Errno::kNoSpc));
  EXPECT_EQ(UpperPages(), 0u);
  EXPECT_EQ(Contents("/f"), text);
  EXPECT_THAT(vfs::Truncate(root, At("/f"), 10), Succeeds());
  EXPECT_EQ(Contents("/f"), text.substr(0, 10));
  EXPECT_EQ(Stat("/f").stx_mode, S_IFREG | 0711 | 04000);
}

TEST_F(OverlayTest, HolesStayHoles) {
  const auto file = Open(root, "/f", O_RDWR | O_CREAT);
  ASSERT_THAT(file, Succeeds());
  ASSERT_THAT(vfs::TruncateFile(root, **file, 64 << 20), Succeeds());
  ASSERT_THAT((*file)->Seek(32 << 20, SEEK_SET), Succeeds());
  ASSERT_THAT(Write(**file, "middle"), Succeeds());
  Stack({.max_bytes = 1 << 20, .mode = 0755});
  const auto copy = Open(root, "/f", O_RDWR);
  ASSERT_THAT(copy, Succeeds());
  EXPECT_EQ(Stat("/f").stx_size, 64u << 20);
  EXPECT_EQ(UpperPages(), 1u);
  EXPECT_EQ((*copy)->Seek(0, SEEK_DATA).value(), 32 << 20);
  EXPECT_EQ(ReadAll(**copy).substr(0, 6), "middle");
}

TEST_F(OverlayTest, TimesAreCopied) {
  Put("/f", "x");
  const timespec times[2] = {{1000, 1}, {2000, 2}};
  ASSERT_THAT(vfs::ChangeTimes(root, At("/f"), times), Succeeds());
  Stack();
  EXPECT_THAT(Open(root, "/f", O_RDWR), Succeeds());
  EXPECT_EQ(Stat("/f").stx_mtime.tv_sec, 2000);
  EXPECT_EQ(Stat("/f").stx_mtime.tv_nsec, 2u);
  const timespec later[2] = {{0, UTIME_OMIT}, {3000, 0}};
  EXPECT_THAT(vfs::ChangeTimes(root, At("/f"), later), Succeeds());
  EXPECT_EQ(Stat("/f").stx_atime.tv_sec, 1000);
  EXPECT_EQ(Stat("/f").stx_mtime.tv_sec, 3000);
}

TEST_F(OverlayTest, ReadingDoesNotTouchTheLowerLayer) {
  Put("/f", "x");
  const timespec times[2] = {{1000, 0}, {2000, 0}};
  ASSERT_THAT(vfs::ChangeTimes(root, At("/f"), times), Succeeds());
  Stack();
  EXPECT_EQ(Contents("/f"), "x");
  EXPECT_EQ(Stat("/f").stx_atime.tv_sec, 1000);
  const auto file = Open(root, "/f", O_RDWR);
  EXPECT_EQ(Stat("/f").stx_atime.tv_sec, 1000);
  EXPECT_EQ(ReadAll(**file), "x");
  EXPECT_GT(Stat("/f").stx_atime.tv_sec, 1000);  // the copy has an access time of its own
}

TEST_F(OverlayTest, UnlinkedFilesGoOn) {
  Put("/f", "lower");
  Stack();
  const auto reader = Open(root, "/f", O_RDONLY);
  const auto writer = Open(root, "/f", O_RDWR);
  EXPECT_THAT(Remove(root, "/f"), Succeeds());
  EXPECT_THAT(Write(**writer, "LO"), Succeeds());
  EXPECT_EQ(ReadAll(**reader), "LOwer");
  EXPECT_EQ((*reader)->inode()->GetAttr()->stx_nlink, 0u);
  EXPECT_THAT((*reader)->inode()->SetAttr({.mode = 0600}), Succeeds());
  EXPECT_THAT(vfs::MakeLink(root, (*reader)->path(), root.cwd, "/again"), FailsWith(Errno::kNoEnt));
}

TEST_F(OverlayTest, Xattrs) {
  Put("/f", "lower");
  ASSERT_THAT(vfs::SetXattr(root, At("/f"), "user.one", "1", 0), Succeeds());
  const std::string capabilities =
      std::string("\1\0\0\2", 4) + std::string(16, '\0');  // revision 2, effective, none
  ASSERT_THAT(vfs::SetXattr(root, At("/f"), "security.capability", capabilities, 0), Succeeds());
  Stack();
  EXPECT_THAT(vfs::RemoveXattr(root, At("/f"), "user.two"), FailsWith(Errno::kNoData));
  EXPECT_THAT(vfs::SetXattr(root, At("/f"), "user.one", "x", XATTR_CREATE), FailsWith(Errno::kExist));
  EXPECT_THAT(vfs::SetXattr(root, At("/f"), "user.two", "2", 0), Succeeds());
  EXPECT_THAT(*vfs::ListXattr(root, At("/f")),
              UnorderedElementsAre("user.one", "user.two", "security.capability"));
  EXPECT_THAT(vfs::RemoveXattr(root, At("/f"), "user.one"), Succeeds());
  EXPECT_THAT(vfs::GetXattr(root, At("/f"), "user.one"), FailsWith(Errno::kNoData));
  EXPECT_EQ(*vfs::GetXattr(root, At("/f"), "security.capability"), capabilities);
  EXPECT_EQ(Contents("/f"), "lower");
}

TEST_F(OverlayTest, SymlinksAndDirectoriesChangeTheirOwner) {
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  Put("/d/f", "lower");
  ASSERT_THAT(Symlink("d/f", "/s"), Succeeds());
  Stack();
  EXPECT_EQ(Contents("/s"), "lower");
  EXPECT_THAT(vfs::ChangeOwner(root, At("/s", false), 5, 6), Succeeds());
  EXPECT_THAT(vfs::ChangeOwner(root, At("/d"), 5, 6), Succeeds());
  ForgetCache();
  const struct statx attr = Stat("/s", false);
  EXPECT_EQ(attr.stx_mode, S_IFLNK | 0777);
  EXPECT_EQ(attr.stx_uid, 5u);
  EXPECT_EQ(attr.stx_size, 3u);
  EXPECT_EQ(Stat("/d").stx_uid, 5u);
  EXPECT_EQ(*vfs::Readlink(root, At("/s", false)), "d/f");
  EXPECT_EQ(Contents("/s"), "lower");
  EXPECT_THAT(Symlink("d", "/t"), Succeeds());
  EXPECT_EQ(Contents("/t/f"), "lower");
}

TEST_F(OverlayTest, PermissionsFollowTheCopy) {
  Put("/f", "lower");
  ASSERT_THAT(Chmod("/f", 0600), Succeeds());
  Stack();
  EXPECT_THAT(Open(user, "/f", O_RDONLY), FailsWith(Errno::kAcces));
  EXPECT_THAT(Chmod("/f", 0644), Succeeds());
  EXPECT_THAT(Open(user, "/f", O_RDONLY), Succeeds());
  EXPECT_THAT(Open(user, "/f", O_RDWR), FailsWith(Errno::kAcces));
  EXPECT_THAT(Mkdir(user, "/d"), FailsWith(Errno::kAcces));
}

TEST_F(OverlayTest, SpecialNodesKeepTheirIdentity) {
  ASSERT_THAT(vfs::MakeNode(root, root.cwd, "/fifo", S_IFIFO | 0600, 0), Succeeds());
  ASSERT_THAT(vfs::MakeNode(root, root.cwd, "/null", S_IFCHR | 0600, makedev(1, 3)), Succeeds());
  Stack();
  struct Opened {
    const vfs::Inode* inode = nullptr;
    RefCounted* shared = nullptr;
  } fifo, device;
  class Pipe : public RefCounted {};
  const auto note = [](Opened* to) {
    return [to](vfs::Inode& inode, const vfs::OpenRequest&) -> ErrnoOr<Ref<vfs::FileDescription>> {
      to->inode = &inode;
      to->shared = inode.SharedState([] { return Ref<RefCounted>(MakeRef<Pipe>()); }).get();
      return Errno::kIo;
    };
  };
  vfs::SpecialFiles::Get().SetFifoOpener(note(&fifo));
  vfs::SpecialFiles::Get().RegisterDevice(S_IFCHR, 1, 3, note(&device));
  EXPECT_THAT(Open(root, "/fifo", O_RDWR), FailsWith(Errno::kIo));
  const Opened first = fifo;
  EXPECT_THAT(Chmod("/fifo", 0666), Succeeds());
  EXPECT_THAT(Open(root, "/fifo", O_RDWR), FailsWith(Errno::kIo));
  EXPECT_EQ(first.inode, fifo.inode);
  EXPECT_EQ(first.shared, fifo.shared);
  EXPECT_THAT(Chmod("/null", 0666), Succeeds());
  EXPECT_EQ(Stat("/null").stx_rdev_minor, 3u);
  EXPECT_THAT(Open(root, "/null", O_RDWR), FailsWith(Errno::kIo));
  EXPECT_EQ(device.inode, At("/null").dentry()->inode().get());
  vfs::SpecialFiles::Get().SetFifoOpener(nullptr);
  vfs::SpecialFiles::Get().RegisterDevice(S_IFCHR, 1, 3, nullptr);
}

TEST_F(OverlayTest, MappingsHaveTheOverlaysIdentity) {
  Put("/f", "lower");
  Stack();
  const auto reader = Open(root, "/f", O_RDONLY);
  const auto before = (*reader)->AsMappable()->BackingFor(0, 4096, false, false);
  ASSERT_THAT(before, Succeeds());
  const auto writer = Open(root, "/f", O_RDWR);
  const auto after = (*writer)->AsMappable()->BackingFor(0, 4096, true, true);
  ASSERT_THAT(after, Succeeds());
  const auto one = (*reader)->AsMappable()->identity(), other = (*writer)->AsMappable()->identity();
  EXPECT_EQ(one.device, mounts->root()->fs().device());
  EXPECT_EQ(one.inode, Ino("/f"));
  EXPECT_EQ(one.inode, other.inode);
  EXPECT_EQ((*writer)->AsMappable()->MappedName(), "/f");
  char text[6] = {};
  EXPECT_EQ(pread(after->host_fd, text, 5, static_cast<off_t>(after->offset)), 5);
  EXPECT_STREQ(text, "lower");
  EXPECT_EQ(fcntl(before->host_fd, F_GETFD) >= 0, true);  // still open
}

TEST_F(OverlayTest, SpaceComesBack) {
  Put("/f", std::string(100'000, 'x'));
  Stack({.max_bytes = 1 << 20, .mode = 0755});
  EXPECT_THAT(Open(root, "/f", O_RDWR), Succeeds());
  EXPECT_GE(UpperPages(), 25u);
  EXPECT_EQ(vfs::StatFs(At("/"))->f_blocks, 256u);
  EXPECT_THAT(Remove(root, "/f"), Succeeds());
  EXPECT_EQ(UpperPages(), 0u);
}

}  // namespace
}  // namespace cloister::overlay
