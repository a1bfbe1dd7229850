#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// memfd_create(2), seals of fcntl(2).
namespace cloister::tests {
namespace {

TestFd NewMemfd(unsigned flags = 0) { return TestFd(memfd_create("name", flags)); }

TEST(Memfd, IsAnUnlinkedFile) {
  const TestFd fd = NewMemfd(MFD_CLOEXEC);
  struct stat info;
  ASSERT_THAT(fstat(fd.get(), &info), SyscallSucceeds());
  EXPECT_TRUE(S_ISREG(info.st_mode));
  EXPECT_EQ(info.st_size, 0);
  EXPECT_EQ(info.st_nlink, 0u);
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(write(fd.get(), "bytes", 5), SyscallSucceedsWithValue(5));
  char text[8] = {};
  EXPECT_THAT(pread(fd.get(), text, 8, 1), SyscallSucceedsWithValue(4));
  EXPECT_STREQ(text, "ytes");
}

TEST(Memfd, NameIsShown) {
  const TestFd fd = NewMemfd();
  char target[64] = {};
  EXPECT_THAT(readlink(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), target, sizeof target - 1),
              SyscallSucceeds());
  EXPECT_STREQ(target, "/memfd:name (deleted)");
}

TEST(Memfd, SharedMappings) {
  const TestFd fd = NewMemfd();
  ASSERT_THAT(ftruncate(fd.get(), 2 * kPage), SyscallSucceeds());
  const Mapping a(mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), 2 * kPage);
  const Mapping b(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd.get(), kPage), kPage);
  a.data()[kPage + 1] = 'q';
  EXPECT_EQ(b.data()[1], 'q');
  EXPECT_THAT(InChild([&] { a.data()[kPage + 2] = 'c'; }), ExitedWith(0));
  EXPECT_EQ(b.data()[2], 'c');
  char byte;
  EXPECT_THAT(pread(fd.get(), &byte, 1, kPage + 1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(byte, 'q');
}

TEST(Memfd, WithoutPermissionNoSeals) {
  const TestFd fd = NewMemfd();
  EXPECT_THAT(fcntl(fd.get(), F_GET_SEALS), SyscallSucceedsWithValue(F_SEAL_SEAL));
  EXPECT_THAT(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), SyscallFailsWithErrno(EPERM));
}

TEST(Memfd, SizeSeals) {
  const TestFd fd = NewMemfd(MFD_ALLOW_SEALING);
  ASSERT_THAT(ftruncate(fd.get(), kPage), SyscallSucceeds());
  EXPECT_THAT(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), SyscallSucceeds());
  EXPECT_THAT(ftruncate(fd.get(), 2 * kPage), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(ftruncate(fd.get(), 10), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(pwrite(fd.get(), "x", 1, kPage), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(pwrite(fd.get(), "x", 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_THAT(fcntl(fd.get(), F_GET_SEALS), SyscallSucceedsWithValue(F_SEAL_GROW | F_SEAL_SHRINK));
}

TEST(Memfd, WriteSeal) {
  const TestFd fd = NewMemfd(MFD_ALLOW_SEALING);
  ASSERT_THAT(ftruncate(fd.get(), kPage), SyscallSucceeds());
  {
    const Mapping map(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), kPage);
    EXPECT_THAT(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), SyscallFailsWithErrno(EBUSY));
  }
  EXPECT_THAT(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), SyscallSucceeds());
  EXPECT_THAT(write(fd.get(), "x", 1), SyscallFailsWithErrno(EPERM));
  EXPECT_EQ(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  const Mapping copy(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0), kPage);
  EXPECT_THAT(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW), SyscallFailsWithErrno(EPERM));
}

TEST(Memfd, OpenedAgain) {
  const TestFd fd = NewMemfd();
  ASSERT_THAT(write(fd.get(), "again", 5), SyscallSucceeds());
  EXPECT_EQ(ReadFile("/proc/self/fd/" + std::to_string(fd.get())), "again");
}

TEST(Memfd, Errors) {
  EXPECT_THAT(memfd_create("x", 0x8000), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(memfd_create(std::string(250, 'x').c_str(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(memfd_create(BadPointer<char>(), 0), SyscallFailsWithErrno(EFAULT));
  const TempDir dir;
  const Pipe pipe;
  EXPECT_THAT(fcntl(pipe.read.get(), F_GET_SEALS), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace cloister::tests
