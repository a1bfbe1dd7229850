#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include <cstring>
#include <string>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// process_vm_readv(2), process_vm_writev(2).
namespace cloister::tests {
namespace {

iovec Piece(void* at, size_t size) { return {at, size}; }

// A child that has filled `page` with 'c' and stays.
class Target : public Child {
 public:
  explicit Target(char* page) : Target(page, Pipe()) {}

 private:
  Target(char* page, const Pipe& told)
      : Child([&] {
          memset(page, 'c', kPage);
          CHILD_CHECK(write(told.write.get(), "x", 1) == 1);
          for (;;) pause();
        }) {
    char byte;
    EXPECT_THAT(read(told.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
  }
};

TEST(ProcessVm, ReadsAndWritesAnotherProcess) {
  const Mapping page = MapAnonymous(kPage);
  Target child(page.data());
  std::string got(10, '-');
  iovec local = Piece(got.data(), got.size()), remote = Piece(page.data() + 5, 10);
  EXPECT_THAT(process_vm_readv(child.pid(), &local, 1, &remote, 1, 0), SyscallSucceedsWithValue(10));
  EXPECT_EQ(got, std::string(10, 'c'));
  EXPECT_EQ(page.data()[5], 0);
  std::string put = "0123456789";
  local = Piece(put.data(), put.size());
  EXPECT_THAT(process_vm_writev(child.pid(), &local, 1, &remote, 1, 0), SyscallSucceedsWithValue(10));
  local = Piece(got.data(), got.size());
  remote = Piece(page.data() + 4, 10);
  EXPECT_THAT(process_vm_readv(child.pid(), &local, 1, &remote, 1, 0), SyscallSucceedsWithValue(10));
  EXPECT_EQ(got, "c012345678");
}

TEST(ProcessVm, VectorsNeedNotMatch) {
  char from[] = "abcdefgh", first[3] = {}, second[8] = {};
  iovec local[] = {Piece(first, 2), Piece(nullptr, 0), Piece(second, 5)};
  iovec remote[] = {Piece(from, 1), Piece(from + 3, 2), Piece(from + 6, 2)};
  EXPECT_THAT(process_vm_readv(getpid(), local, 3, remote, 3, 0), SyscallSucceedsWithValue(5));
  EXPECT_STREQ(first, "ad");
  EXPECT_STREQ(second, "egh");
  EXPECT_THAT(process_vm_readv(getpid(), local, 1, remote, 3, 0), SyscallSucceedsWithValue(2));
}

TEST(ProcessVm, StopsAtABadPage) {
  const GuardedPage guarded;
  memset(guarded.begin(), 'x', kPage);
  char got[64];
  iovec local = Piece(got, sizeof got), remote = Piece(guarded.end() - 10, 20);
  EXPECT_THAT(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), SyscallSucceedsWithValue(10));
  remote = Piece(guarded.end(), 1);
  EXPECT_THAT(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), SyscallFailsWithErrno(EFAULT));
  iovec two[] = {Piece(guarded.begin(), 4), Piece(guarded.end(), 4)};
  EXPECT_THAT(process_vm_readv(getpid(), &local, 1, two, 2, 0), SyscallSucceedsWithValue(4));
  EXPECT_THAT(process_vm_writev(getpid(), &local, 1, two, 2, 0), SyscallSucceedsWithValue(4));
}

TEST(ProcessVm, NothingToDo) {
  char byte = 0;
  iovec one = Piece(&byte, 1), none = Piece(&byte, 0);
  EXPECT_THAT(process_vm_readv(getpid(), &one, 0, &one, 1, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1, &one, 0, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1, &none, 1, 0), SyscallSucceedsWithValue(0));
}

TEST(ProcessVm, Errors) {
  char byte = 0;
  iovec one = Piece(&byte, 1), bad = Piece(&byte, static_cast<size_t>(-1));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1, &one, 1, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1025, &one, 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1, &one, 1025, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1, &bad, 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(process_vm_readv(getpid(), BadPointer<iovec>(), 1, &one, 1, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(process_vm_readv(getpid(), &one, 1, BadPointer<iovec>(), 1, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(process_vm_readv(0x7ffffff, &one, 1, &one, 1, 0), SyscallFailsWithErrno(ESRCH));
}

TEST(ProcessVm, NeedsTheRightToTrace) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const Mapping page = MapAnonymous(kPage);
  Target child(page.data());
  EXPECT_THAT(InChild([&] {
                BecomeUser(1234, 1234);
                char byte;
                iovec local = Piece(&byte, 1), remote = Piece(page.data(), 1);
                CHILD_CHECK(process_vm_readv(child.pid(), &local, 1, &remote, 1, 0) == -1 && errno == EPERM);
                CHILD_CHECK(process_vm_writev(child.pid(), &local, 1, &remote, 1, 0) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace cloister::tests
