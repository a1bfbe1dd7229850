#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <set>
#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// xattr(7): setxattr(2), getxattr(2), listxattr(2), removexattr(2).
namespace cloister::tests {
namespace {

class XattrTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const std::string file_ = dir_.WithFile("file");
  const char* const path_ = file_.c_str();

  void SetUp() override {
    if (setxattr(path_, "user.probe", "", 0, 0) != 0 && errno == EOPNOTSUPP)
      GTEST_SKIP() << "no user attributes here";
    ASSERT_THAT(removexattr(path_, "user.probe"), SyscallSucceeds());
  }
};

TEST_F(XattrTest, SetAndGet) {
  char value[8] = {};
  EXPECT_THAT(setxattr(path_, "user.a", "val", 3, 0), SyscallSucceeds());
  EXPECT_THAT(getxattr(path_, "user.a", value, sizeof value), SyscallSucceedsWithValue(3));
  EXPECT_STREQ(value, "val");
  EXPECT_THAT(getxattr(path_, "user.a", nullptr, 0), SyscallSucceedsWithValue(3));
  EXPECT_THAT(getxattr(path_, "user.a", value, 2), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(getxattr(path_, "user.none", value, sizeof value), SyscallFailsWithErrno(ENODATA));
}

TEST_F(XattrTest, CreateAndReplace) {
  EXPECT_THAT(setxattr(path_, "user.a", "1", 1, XATTR_REPLACE), SyscallFailsWithErrno(ENODATA));
  EXPECT_THAT(setxattr(path_, "user.a", "1", 1, XATTR_CREATE), SyscallSucceeds());
  EXPECT_THAT(setxattr(path_, "user.a", "2", 1, XATTR_CREATE), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(setxattr(path_, "user.a", "2", 1, XATTR_REPLACE), SyscallSucceeds());
  EXPECT_THAT(setxattr(path_, "user.a", "2", 1, 8), SyscallFailsWithErrno(EINVAL));
}

TEST_F(XattrTest, ListAndRemove) {
  ASSERT_THAT(setxattr(path_, "user.a", "1", 1, 0), SyscallSucceeds());
  ASSERT_THAT(setxattr(path_, "user.bb", "", 0, 0), SyscallSucceeds());
  char names[256];
  const ssize_t size = listxattr(path_, names, sizeof names);
  ASSERT_THAT(size, SyscallSucceeds());
  const auto split = Split(std::string(names, static_cast<size_t>(size)), '\0');
  const std::set<std::string> got(split.begin(), split.end());
  EXPECT_TRUE(got.contains("user.a") && got.contains("user.bb"));
  EXPECT_THAT(listxattr(path_, nullptr, 0), SyscallSucceedsWithValue(size));
  EXPECT_THAT(listxattr(path_, names, 3), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(removexattr(path_, "user.a"), SyscallSucceeds());
  EXPECT_THAT(removexattr(path_, "user.a"), SyscallFailsWithErrno(ENODATA));
}

TEST_F(XattrTest, DescriptorsAndLinks) {
  const TestFd fd = Open(file_, O_RDONLY);
  EXPECT_THAT(fsetxattr(fd.get(), "user.f", "x", 1, 0), SyscallSucceeds());
  char value[4];
  EXPECT_THAT(fgetxattr(fd.get(), "user.f", value, sizeof value), SyscallSucceedsWithValue(1));
  ASSERT_THAT(symlink("file", dir_.File("link").c_str()), SyscallSucceeds());
  EXPECT_THAT(getxattr(dir_.File("link").c_str(), "user.f", value, sizeof value),
              SyscallSucceedsWithValue(1));
  EXPECT_THAT(lsetxattr(dir_.File("link").c_str(), "user.f", "x", 1, 0), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(fremovexattr(fd.get(), "user.f"), SyscallSucceeds());
  EXPECT_THAT(fgetxattr(-1, "user.f", value, sizeof value), SyscallFailsWithErrno(EBADF));
  const TestFd opath = Open(file_, O_PATH);
  EXPECT_THAT(fgetxattr(opath.get(), "user.f", value, sizeof value), SyscallFailsWithErrno(EBADF));
}

TEST_F(XattrTest, BadNamesAndPointers) {
  char value[4];
  EXPECT_THAT(setxattr(path_, "", "x", 1, 0), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(setxattr(path_, ("user." + std::string(251, 'n')).c_str(), "x", 1, 0),
              SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(setxattr(path_, "nonsense.a", "x", 1, 0), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(setxattr(path_, "user.", "x", 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(getxattr(path_, "user.", value, sizeof value), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(removexattr(path_, "user."), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(setxattr(path_, "user.a", BadPointer(), 1, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(setxattr(path_, BadPointer<char>(), "x", 1, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(setxattr(path_, "user.a", std::string(65537, 0).data(), 65537, 0),
              SyscallFailsWithErrno(E2BIG));
  ASSERT_THAT(setxattr(path_, "user.a", "x", 1, 0), SyscallSucceeds());
  EXPECT_THAT(getxattr(path_, "user.a", BadPointer(), 4), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(getxattr(dir_.File("none").c_str(), "user.a", value, 4), SyscallFailsWithErrno(ENOENT));
}

TEST_F(XattrTest, CapabilitiesOfAFileMustLookLikeSome) {
  if (geteuid() != 0) GTEST_SKIP() << "needs CAP_SETFCAP";
  const char* const kName = "security.capability";
  struct vfs_cap_data two = {.magic_etc = VFS_CAP_REVISION_2, .data = {}};
  EXPECT_THAT(setxattr(path_, kName, &two, sizeof two, 0), SyscallSucceeds());
  EXPECT_THAT(setxattr(path_, kName, &two, sizeof two - 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(setxattr(path_, kName, "cap", 3, 0), SyscallFailsWithErrno(EINVAL));
  two.magic_etc = VFS_CAP_REVISION_1;
  EXPECT_THAT(setxattr(path_, kName, &two, sizeof two, 0), SyscallFailsWithErrno(EINVAL));
}

TEST_F(XattrTest, PermissionsOfTheUserNamespace) {
  ASSERT_THAT(setxattr(path_, "user.a", "x", 1, 0), SyscallSucceeds());
  EXPECT_THAT(InChild([this] {
                BecomeUser(1234, 1234);
                char value[4];
                CHILD_CHECK(getxattr(path_, "user.a", value, sizeof value) == 1);
                CHILD_CHECK(setxattr(path_, "user.a", "y", 1, 0) == -1 && errno == EACCES);
                CHILD_CHECK(removexattr(path_, "user.a") == -1 && errno == EACCES);
              }),
              ExitedWith(0));
}

TEST_F(XattrTest, NoUserAttributesOnFifos) {
  ASSERT_THAT(mkfifo(dir_.File("fifo").c_str(), 0600), SyscallSucceeds());
  EXPECT_THAT(setxattr(dir_.File("fifo").c_str(), "user.a", "x", 1, 0), SyscallFailsWithErrno(EPERM));
  char value[4];
  EXPECT_THAT(getxattr(dir_.File("fifo").c_str(), "user.a", value, 4), SyscallFailsWithErrno(ENODATA));
}

TEST_F(XattrTest, AttributesStayWithARename) {
  ASSERT_THAT(setxattr(path_, "user.a", "x", 1, 0), SyscallSucceeds());
  ASSERT_THAT(rename(path_, dir_.File("moved").c_str()), SyscallSucceeds());
  EXPECT_THAT(getxattr(dir_.File("moved").c_str(), "user.a", nullptr, 0), SyscallSucceedsWithValue(1));
}

}  // namespace
}  // namespace cloister::tests
