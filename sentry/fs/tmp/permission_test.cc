#include <sys/xattr.h>
#include <unistd.h>

#include "sentry/fs/tmp/vfs_fixture.h"

namespace cloister::tmp {
namespace {

using ::testing::ElementsAre;

class PermissionTest : public VfsTest {
 protected:
  mode_t ModeOf(std::string_view path) { return Stat(path).stx_mode & 07777; }
};

TEST_F(PermissionTest, ModeBitsDecideForUsers) {
  ASSERT_THAT(Mkdir(root, "/closed", 0700), Succeeds());
  Put("/closed/f", "");
  Put("/f", "");
  EXPECT_THAT(Find(user, "/closed/f"), FailsWith(Errno::kAcces));
  EXPECT_THAT(Find(user, "/closed/.."), FailsWith(Errno::kAcces));
  EXPECT_THAT(Open(user, "/f", O_RDONLY), Succeeds());
  EXPECT_THAT(Open(user, "/f", O_WRONLY), FailsWith(Errno::kAcces));
  EXPECT_THAT(Open(user, "/f", O_RDONLY | O_TRUNC), FailsWith(Errno::kAcces));
  EXPECT_THAT(Open(user, "/new", O_WRONLY | O_CREAT), FailsWith(Errno::kAcces));
  EXPECT_THAT(Remove(user, "/f"), FailsWith(Errno::kAcces));
  EXPECT_THAT(vfs::Access(user, At("/f"), R_OK), Succeeds());
  EXPECT_THAT(vfs::Access(user, At("/f"), W_OK), FailsWith(Errno::kAcces));
  EXPECT_THAT(vfs::Access(root, At("/f"), W_OK), Succeeds());
  EXPECT_THAT(vfs::Access(root, At("/f"), X_OK), FailsWith(Errno::kAcces));
}

TEST_F(PermissionTest, ANewFileMayBeWrittenWhateverItsMode) {
  ASSERT_THAT(vfs::ChangeMode(root, At("/"), 0777), Succeeds());
  EXPECT_THAT(Open(user, "/f", O_RDWR | O_CREAT, 0400), Succeeds());
  EXPECT_EQ(Stat("/f").stx_uid, 1000u);
  EXPECT_THAT(Open(user, "/f", O_RDWR | O_CREAT, 0400), FailsWith(Errno::kAcces));
}

TEST_F(PermissionTest, StickyDirectories) {
  ASSERT_THAT(Mkdir(root, "/tmp"), Succeeds());
  ASSERT_THAT(vfs::ChangeMode(root, At("/tmp"), 01777), Succeeds());
  Put("/tmp/roots", "");
  EXPECT_THAT(Remove(user, "/tmp/roots"), FailsWith(Errno::kPerm));
  EXPECT_THAT(Rename(user, "/tmp/roots", "/tmp/x"), FailsWith(Errno::kPerm));
  EXPECT_THAT(Open(user, "/tmp/own", O_CREAT | O_WRONLY), Succeeds());
  EXPECT_THAT(Rename(user, "/tmp/own", "/tmp/roots"), FailsWith(Errno::kPerm));
  EXPECT_THAT(Remove(user, "/tmp/own"), Succeeds());
}

TEST_F(PermissionTest, UmaskAndSetGidDirectories) {
  root.umask = 027;
  ASSERT_THAT(Mkdir(root, "/d", 07777), Succeeds());
  EXPECT_EQ(ModeOf("/d"), 01750u);
  ASSERT_THAT(vfs::ChangeOwner(root, At("/d"), -1, 77), Succeeds());
  ASSERT_THAT(vfs::ChangeMode(root, At("/d"), 02755), Succeeds());
  ASSERT_THAT(Mkdir(root, "/d/e"), Succeeds());
  EXPECT_EQ(ModeOf("/d/e"), 02750u);
  EXPECT_EQ(Stat("/d/e").stx_gid, 77u);
  Put("/d/f", "");
  EXPECT_EQ(Stat("/d/f").stx_gid, 77u);
}

TEST_F(PermissionTest, SetIdBitsGoWithOwnersAndWrites) {
  Put("/f", "x");
  ASSERT_THAT(vfs::ChangeMode(root, At("/f"), 06777), Succeeds());
  ASSERT_THAT(vfs::ChangeOwner(root, At("/f"), 1000, 1000), Succeeds());
  EXPECT_EQ(ModeOf("/f"), 0777u);
  ASSERT_THAT(vfs::ChangeMode(root, At("/f"), 06777), Succeeds());
  const auto file = Open(user, "/f", O_WRONLY);
  ASSERT_THAT(vfs::ClearSetIdForWrite(root, **file), Succeeds());
  EXPECT_EQ(ModeOf("/f"), 06777u);
  ASSERT_THAT(vfs::ClearSetIdForWrite(user, **file), Succeeds());
  EXPECT_EQ(ModeOf("/f"), 0777u);
  ASSERT_THAT(vfs::ChangeMode(root, At("/f"), 04777), Succeeds());
  ASSERT_THAT(vfs::Truncate(user, At("/f"), 0), Succeeds());
  EXPECT_EQ(ModeOf("/f"), 0777u);
}

TEST_F(PermissionTest, OwnersAlone) {
  Put("/f", "");
  EXPECT_THAT(vfs::ChangeMode(user, At("/f"), 0777), FailsWith(Errno::kPerm));
  EXPECT_THAT(vfs::ChangeOwner(user, At("/f"), 1000, -1), FailsWith(Errno::kPerm));
  const timespec times[2] = {{1, 2}, {0, UTIME_OMIT}};
  EXPECT_THAT(vfs::ChangeTimes(user, At("/f"), times), FailsWith(Errno::kPerm));
  EXPECT_THAT(vfs::ChangeTimes(user, At("/f"), nullptr), FailsWith(Errno::kAcces));
  EXPECT_THAT(vfs::ChangeTimes(root, At("/f"), times), Succeeds());
  EXPECT_EQ(Stat("/f").stx_atime.tv_sec, 1);
  EXPECT_EQ(Stat("/f").stx_atime.tv_nsec, 2u);
  ASSERT_THAT(vfs::ChangeOwner(root, At("/f"), 1000, 0), Succeeds());
  ASSERT_THAT(vfs::ChangeMode(user, At("/f"), 02770), Succeeds());
  EXPECT_EQ(ModeOf("/f"), 0770u);  // not in the file's group
  EXPECT_THAT(vfs::ChangeOwner(user, At("/f"), -1, 1000), Succeeds());
  EXPECT_THAT(vfs::ChangeOwner(user, At("/f"), -1, 5), FailsWith(Errno::kPerm));
  EXPECT_THAT(vfs::ChangeOwner(user, At("/f"), 0, -1), FailsWith(Errno::kPerm));
  EXPECT_THAT(Open(user, "/f", O_RDONLY | O_NOATIME), Succeeds());
}

TEST_F(PermissionTest, Devices) {
  EXPECT_THAT(vfs::MakeNode(user, user.cwd, "/dev", S_IFCHR | 0666, 0x103), FailsWith(Errno::kPerm));
  ASSERT_THAT(vfs::MakeNode(root, root.cwd, "/dev", S_IFCHR | 0666, 0x103), Succeeds());
  EXPECT_THAT(Open(root, "/dev", O_RDWR), FailsWith(Errno::kNxIo));
  At("/dev").mount()->set_flags(MS_NODEV);
  EXPECT_THAT(Open(root, "/dev", O_RDWR), FailsWith(Errno::kAcces));
  EXPECT_THAT(Open(root, "/dev", O_PATH), Succeeds());
  ASSERT_THAT(vfs::MakeNode(root, root.cwd, "/sock", S_IFSOCK | 0666, 0), Succeeds());
  EXPECT_THAT(Open(root, "/sock", O_RDWR), FailsWith(Errno::kNxIo));
}

TEST_F(PermissionTest, ExtendedAttributes) {
  Put("/f", "");
  const vfs::Path f = At("/f");
  EXPECT_THAT(vfs::SetXattr(root, f, "user.a", "1", 0), Succeeds());
  EXPECT_THAT(vfs::SetXattr(root, f, "user.a", "1", XATTR_CREATE), FailsWith(Errno::kExist));
  EXPECT_THAT(vfs::SetXattr(root, f, "user.b", "1", XATTR_REPLACE), FailsWith(Errno::kNoData));
  EXPECT_THAT(vfs::SetXattr(root, f, "bad", "1", 0), FailsWith(Errno::kOpNotSupp));
  EXPECT_THAT(vfs::SetXattr(root, f, "user.", "1", 0), FailsWith(Errno::kInval));
  EXPECT_THAT(vfs::SetXattr(user, f, "user.a", "2", 0), FailsWith(Errno::kAcces));
  EXPECT_THAT(vfs::SetXattr(user, f, "trusted.a", "2", 0), FailsWith(Errno::kPerm));
  EXPECT_THAT(vfs::SetXattr(root, f, "trusted.a", "2", 0), Succeeds());
  EXPECT_THAT(vfs::GetXattr(user, f, "trusted.a"), FailsWith(Errno::kNoData));
  EXPECT_EQ(vfs::GetXattr(user, f, "user.a").value(), "1");
  EXPECT_THAT(vfs::ListXattr(user, f).value(), ElementsAre("user.a"));
  EXPECT_THAT(vfs::ListXattr(root, f).value(), ElementsAre("trusted.a", "user.a"));
  EXPECT_THAT(vfs::RemoveXattr(root, f, "user.a"), Succeeds());
  EXPECT_THAT(vfs::RemoveXattr(root, f, "user.a"), FailsWith(Errno::kNoData));
  ASSERT_THAT(Symlink("f", "/s"), Succeeds());
  EXPECT_THAT(vfs::SetXattr(root, At("/s", false), "user.a", "1", 0), FailsWith(Errno::kPerm));
}

}  // namespace
}  // namespace cloister::tmp
