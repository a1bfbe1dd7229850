#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/random.h>

#include <set>
#include <string>

#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// getrandom(2), random(4).
namespace cloister::tests {
namespace {

TEST(Getrandom, FillsTheBuffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 50; ++i) {
    std::string bytes(16, 0);
    ASSERT_THAT(getrandom(bytes.data(), bytes.size(), 0), SyscallSucceedsWithValue(16));
    EXPECT_TRUE(seen.insert(bytes).second);
  }
}

TEST(Getrandom, LargeBuffer) {
  std::string bytes(1 << 20, 0);
  EXPECT_THAT(getrandom(bytes.data(), bytes.size(), 0), SyscallSucceedsWithValue(1 << 20));
  EXPECT_EQ(bytes.substr(1 << 19, 32).find(std::string(32, 0)), std::string::npos);
}

TEST(Getrandom, FlagsAndErrors) {
  char byte;
  EXPECT_THAT(getrandom(&byte, 1, GRND_NONBLOCK), SyscallSucceedsWithValue(1));
  EXPECT_THAT(getrandom(&byte, 1, GRND_RANDOM), SyscallSucceedsWithValue(1));
  EXPECT_THAT(getrandom(&byte, 0, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(getrandom(&byte, 1, 0x100), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(getrandom(&byte, 1, GRND_RANDOM | GRND_INSECURE), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(getrandom(BadPointer(), 1, 0), SyscallFailsWithErrno(EFAULT));
}

TEST(RandomDevices, ReadWritePoll) {
  for (const char* name : {"/dev/random", "/dev/urandom"}) {
    const TestFd fd = Open(name, O_RDWR);
    std::string first(32, 0), second(32, 0);
    EXPECT_THAT(read(fd.get(), first.data(), 32), SyscallSucceedsWithValue(32));
    EXPECT_THAT(read(fd.get(), second.data(), 32), SyscallSucceedsWithValue(32));
    EXPECT_NE(first, second);
    EXPECT_THAT(write(fd.get(), "entropy", 7), SyscallSucceedsWithValue(7));
    EXPECT_THAT(read(fd.get(), BadPointer(), 8), SyscallFailsWithErrno(EFAULT));
    pollfd entry = {.fd = fd.get(), .events = POLLIN, .revents = 0};
    EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(1));
  }
}

}  // namespace
}  // namespace cloister::tests
