#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// null(4), zero(4), full(4), tty(4), /dev/shm, /dev/fd.
namespace cloister::tests {
namespace {

TEST(DevNull, SwallowsAndIsEmpty) {
  const TestFd fd = Open("/dev/null", O_RDWR);
  char byte;
  EXPECT_THAT(read(fd.get(), &byte, 1), SyscallSucceedsWithValue(0));
  EXPECT_THAT(write(fd.get(), "gone", 4), SyscallSucceedsWithValue(4));
  EXPECT_THAT(lseek(fd.get(), 1000, SEEK_SET), SyscallSucceeds());
  EXPECT_THAT(ftruncate(fd.get(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pread(fd.get(), &byte, 1, 10), SyscallSucceedsWithValue(0));
  const TestFd truncated = Open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC);
}

TEST(DevZero, GivesZeros) {
  const TestFd fd = Open("/dev/zero", O_RDWR);
  std::string text(10000, 'x');
  EXPECT_THAT(read(fd.get(), text.data(), text.size()), SyscallSucceedsWithValue(10000));
  EXPECT_EQ(text, std::string(10000, 0));
  EXPECT_THAT(write(fd.get(), "gone", 4), SyscallSucceedsWithValue(4));
  EXPECT_THAT(read(fd.get(), BadPointer(), 1), SyscallFailsWithErrno(EFAULT));
}

TEST(DevZero, MapsAsAnonymousMemory) {
  const TestFd fd = Open("/dev/zero", O_RDWR);
  const Mapping mine(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0), kPage);
  const Mapping ours(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), kPage);
  EXPECT_EQ(mine.data()[0], 0);
  EXPECT_THAT(InChild([&] { mine.data()[0] = ours.data()[0] = 1; }), ExitedWith(0));
  EXPECT_EQ(mine.data()[0], 0);
  EXPECT_EQ(ours.data()[0], 1);
}

TEST(DevFull, IsFull) {
  const TestFd fd = Open("/dev/full", O_RDWR);
  char byte = 'x';
  EXPECT_THAT(write(fd.get(), &byte, 1), SyscallFailsWithErrno(ENOSPC));
  EXPECT_THAT(read(fd.get(), &byte, 1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(byte, 0);
}

TEST(DevTty, NeedsATerminal) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(setsid() > 0);
                CHILD_CHECK(open("/dev/tty", O_RDWR) == -1 && errno == ENXIO);
              }),
              ExitedWith(0));
}

TEST(Nodes, HaveLinuxNumbers) {
  struct Node {
    const char* name;
    unsigned major, minor;
  };
  for (const Node& node : {Node{"null", 1, 3}, Node{"zero", 1, 5}, Node{"full", 1, 7}, Node{"random", 1, 8},
                           Node{"urandom", 1, 9}, Node{"tty", 5, 0}}) {
    struct stat info;
    ASSERT_THAT(stat((std::string("/dev/") + node.name).c_str(), &info), SyscallSucceeds()) << node.name;
    EXPECT_EQ(info.st_rdev, makedev(node.major, node.minor)) << node.name;
    EXPECT_EQ(info.st_mode, S_IFCHR | 0666u) << node.name;
  }
}

TEST(Shm, IsWritableMemory) {
  const std::string name = "/cloister." + std::to_string(getpid());
  const TestFd fd(shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
  ASSERT_THAT(ftruncate(fd.get(), kPage), SyscallSucceeds());
  const Mapping map(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), kPage);
  EXPECT_THAT(InChild([&] {
                const int again = shm_open(name.c_str(), O_RDWR, 0);
                CHILD_CHECK(pwrite(again, "shm", 3, 0) == 3);
              }),
              ExitedWith(0));
  EXPECT_EQ(std::string(map.data(), 3), "shm");
  EXPECT_THAT(shm_unlink(name.c_str()), SyscallSucceeds());
}

TEST(DevLinks, StandardStreams) {
  for (const auto& [name, fd] : {std::pair{"/dev/stdin", 0}, {"/dev/stdout", 1}, {"/dev/stderr", 2}}) {
    char target[64] = {};
    EXPECT_THAT(readlink(name, target, sizeof target - 1), SyscallSucceeds()) << name;
    EXPECT_EQ(std::string(target), "/proc/self/fd/" + std::to_string(fd));
  }
}

}  // namespace
}  // namespace cloister::tests
