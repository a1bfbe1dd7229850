#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// mmap(2), munmap(2), mremap(2), mprotect(2), madvise(2), mincore(2), msync(2), mlock(2), brk(2).
namespace cloister::tests {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

// Signal that ends a child which touches the byte; 0 where it survives.
int SignalOfTouch(volatile char* byte, bool write) {
  const int status = InChild([&] {
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    if (write) {
      *byte = 1;
    } else {
      [[maybe_unused]] const char seen = *byte;
    }
  });
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

bool IsMapped(const void* page) {
  unsigned char there;
  return mincore(const_cast<void*>(page), kPage, &there) == 0;
}

TEST(Anonymous, StartsAsZeroAndIsWritable) {
  const Mapping map = MapAnonymous(16 * kPage);
  for (size_t i = 0; i < map.size(); i += 511) EXPECT_EQ(map.data()[i], 0);
  memset(map.data(), 7, map.size());
  EXPECT_EQ(map.data()[map.size() - 1], 7);
}

TEST(Anonymous, PrivateIsCopiedAndSharedIsShared) {
  const Mapping mine = MapAnonymous(kPage), ours = MapAnonymous(kPage, kReadWrite, MAP_SHARED);
  EXPECT_THAT(InChild([&] { mine.data()[0] = ours.data()[0] = 5; }), ExitedWith(0));
  EXPECT_EQ(mine.data()[0], 0);
  EXPECT_EQ(ours.data()[0], 5);
}

TEST(Anonymous, SharedOutlivesGenerations) {
  const Mapping ours = MapAnonymous(4 * kPage, kReadWrite, MAP_SHARED);
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(InChild([&] { ours.data()[3 * kPage] = 9; }) == 0);
                CHILD_CHECK(ours.data()[3 * kPage] == 9);
                ours.data()[0] = 8;
              }),
              ExitedWith(0));
  EXPECT_EQ(ours.data()[0], 8);
  EXPECT_EQ(ours.data()[3 * kPage], 9);
}

TEST(Anonymous, Errors) {
  EXPECT_EQ(mmap(nullptr, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(mmap(nullptr, kPage, PROT_READ, MAP_ANONYMOUS, -1, 0), MAP_FAILED);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(mmap(reinterpret_cast<void*>(0x10001), kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                 -1, 0),
            MAP_FAILED);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(mmap(nullptr, ~size_t{0} << 13, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, -1, 0), MAP_FAILED);
  EXPECT_EQ(errno, EBADF);
}

TEST(Fixed, ReplacesWhatIsThere) {
  const Mapping map = MapAnonymous(3 * kPage);
  memset(map.data(), 1, map.size());
  void* middle = map.data() + kPage;
  EXPECT_EQ(mmap(middle, kPage, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), middle);
  EXPECT_EQ(map.data()[kPage], 0);
  EXPECT_EQ(map.data()[0], 1);
  EXPECT_EQ(map.data()[2 * kPage], 1);
}

TEST(Fixed, NoReplace) {
  const Mapping map = MapAnonymous(2 * kPage);
  EXPECT_EQ(
      mmap(map.data() + kPage, kPage, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
      MAP_FAILED);
  EXPECT_EQ(errno, EEXIST);
  ASSERT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_EQ(
      mmap(map.data() + kPage, kPage, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
      map.data() + kPage);
}

TEST(Fixed, HintIsTakenWhenFree) {
  Mapping map = MapAnonymous(2 * kPage);
  char* const hint = map.data();
  ASSERT_THAT(munmap(hint, 2 * kPage), SyscallSucceeds());
  map.Forget();
  const Mapping again(mmap(hint, kPage, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), kPage);
  EXPECT_EQ(again.data(), hint);
  const Mapping other(mmap(hint, kPage, kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), kPage);
  EXPECT_NE(other.data(), hint);
}

TEST(Unmap, PartsAndHoles) {
  const Mapping map = MapAnonymous(4 * kPage);
  EXPECT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());  // nothing there is no error
  EXPECT_EQ(SignalOfTouch(map.data() + kPage, false), SIGSEGV);
  EXPECT_EQ(SignalOfTouch(map.data() + 2 * kPage, false), 0);
  EXPECT_THAT(munmap(map.data() + 1, kPage), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(munmap(map.data(), 0), SyscallFailsWithErrno(EINVAL));
}

TEST(Unmap, UpToTheEndOfAllAddresses) {
  constexpr uint64_t kEnd = 0x7ffffffff000;
  EXPECT_THAT(syscall(SYS_munmap, kEnd - kPage, kPage), SyscallSucceeds());
  EXPECT_THAT(syscall(SYS_munmap, kEnd, kPage), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_munmap, kEnd - kPage, 2 * kPage), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(InChild([] { syscall(SYS_munmap, 0, kEnd); }), KilledBy(SIGSEGV));
}

TEST(Protect, FaultsAndBack) {
  const Mapping map = MapAnonymous(2 * kPage);
  EXPECT_THAT(mprotect(map.data(), kPage, PROT_READ), SyscallSucceeds());
  EXPECT_EQ(SignalOfTouch(map.data(), false), 0);
  EXPECT_EQ(SignalOfTouch(map.data(), true), SIGSEGV);
  EXPECT_EQ(SignalOfTouch(map.data() + kPage, true), 0);
  EXPECT_THAT(mprotect(map.data(), kPage, PROT_NONE), SyscallSucceeds());
  EXPECT_EQ(SignalOfTouch(map.data(), false), SIGSEGV);
  EXPECT_THAT(mprotect(map.data(), 2 * kPage, kReadWrite), SyscallSucceeds());
  map.data()[0] = 1;
}

TEST(Protect, KernelSeesTheProtectionToo) {
  const Mapping map = MapAnonymous(kPage);
  const Pipe pipe;
  ASSERT_THAT(write(pipe.write.get(), "abc", 3), SyscallSucceeds());
  ASSERT_THAT(mprotect(map.data(), kPage, PROT_READ), SyscallSucceeds());
  EXPECT_THAT(read(pipe.read.get(), map.data(), 3), SyscallFailsWithErrno(EFAULT));
  ASSERT_THAT(mprotect(map.data(), kPage, PROT_NONE), SyscallSucceeds());
  EXPECT_THAT(write(pipe.write.get(), map.data(), 3), SyscallFailsWithErrno(EFAULT));
}

TEST(Protect, Errors) {
  const Mapping map = MapAnonymous(3 * kPage);
  ASSERT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_THAT(mprotect(map.data(), 3 * kPage, PROT_READ), SyscallFailsWithErrno(ENOMEM));
  EXPECT_THAT(mprotect(map.data() + 1, kPage, PROT_READ), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mprotect(map.data(), 0, PROT_READ), SyscallSucceeds());
}

TEST(Protect, CodeRunsOnlyWhereItMay) {
  const Mapping map = MapAnonymous(kPage, kReadWrite);
  const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov $42, %eax; ret
  memcpy(map.data(), code, sizeof code);
  const auto function = reinterpret_cast<int (*)()>(map.data());
  EXPECT_THAT(InChild([&] {
                signal(SIGSEGV, SIG_DFL);
                function();
              }),
              KilledBy(SIGSEGV));
  ASSERT_THAT(mprotect(map.data(), kPage, PROT_READ | PROT_EXEC), SyscallSucceeds());
  EXPECT_EQ(function(), 42);
}

class FileMapTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const std::string path_ = dir_.WithFile("f", std::string(kPage, 'a') + "tail");
  const TestFd fd_ = Open(path_, O_RDWR);
  Mapping Map(size_t size, int protection, int flags, off_t offset = 0) const {
    return Mapping(mmap(nullptr, size, protection, flags, fd_.get(), offset), size);
  }
};

TEST_F(FileMapTest, PrivateWritesStayPrivate) {
  const Mapping map = Map(2 * kPage, kReadWrite, MAP_PRIVATE);
  EXPECT_EQ(std::string(map.data() + kPage, 4), "tail");
  EXPECT_EQ(map.data()[kPage + 4], 0);
  map.data()[0] = 'X';
  EXPECT_EQ(ReadFile(path_)[0], 'a');
}

// Several files in turn and at once, by several threads: each mapping has what its own file has.
TEST(FileMaps, OfManyFilesByManyThreads) {
  const TempDir dir;
  std::vector<std::string> paths;
  for (int i = 0; i < 5; ++i) {
    const auto letter = static_cast<char>('a' + i);
    paths.push_back(dir.WithFile(std::string(1, letter), std::string(3 * kPage, letter)));
  }
  std::atomic<int> wrong = 0;
  const auto map_all = [&](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      const size_t which = static_cast<size_t>(i * 7) % paths.size();
      const TestFd fd(open(paths[which].c_str(), O_RDONLY));
      char* maps[3];
      for (int part = 0; part < 3; ++part) {
        maps[part] = static_cast<char*>(mmap(nullptr, kPage, PROT_READ, part == 1 ? MAP_SHARED : MAP_PRIVATE,
                                             fd.get(), part * static_cast<off_t>(kPage)));
        if (maps[part] == MAP_FAILED || maps[part][17] != static_cast<char>('a' + which)) ++wrong;
      }
      for (char* map : maps) munmap(map, kPage);
    }
  };
  map_all(50);
  {
    std::vector<std::unique_ptr<ScopedThread>> threads;
    for (int i = 0; i < 4; ++i) threads.push_back(std::make_unique<ScopedThread>([&] { map_all(200); }));
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(FileMapTest, SharedWritesReachTheFileAndBack) {
  const Mapping map = Map(2 * kPage, kReadWrite, MAP_SHARED);
  map.data()[1] = 'X';
  EXPECT_THAT(msync(map.data(), 2 * kPage, MS_SYNC), SyscallSucceeds());
  EXPECT_EQ(ReadFile(path_).substr(0, 3), "aXa");
  ASSERT_THAT(pwrite(fd_.get(), "Y", 1, 2), SyscallSucceedsWithValue(1));
  EXPECT_EQ(map.data()[2], 'Y');
  EXPECT_THAT(InChild([&] { map.data()[3] = 'Z'; }), ExitedWith(0));
  EXPECT_EQ(map.data()[3], 'Z');
  EXPECT_EQ(ReadFile(path_).size(), kPage + 4);
}

TEST_F(FileMapTest, OffsetsAndTheDescriptorMayClose) {
  TestFd fd = Open(path_, O_RDONLY);
  const Mapping map(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, fd.get(), kPage), kPage);
  fd.reset();
  ASSERT_THAT(unlink(path_.c_str()), SyscallSucceeds());
  EXPECT_EQ(std::string(map.data(), 4), "tail");
}

TEST_F(FileMapTest, BehindTheEndIsABusError) {
  const Mapping map = Map(4 * kPage, kReadWrite, MAP_SHARED);
  EXPECT_EQ(SignalOfTouch(map.data() + 2 * kPage, false), SIGBUS);
  EXPECT_EQ(SignalOfTouch(map.data() + kPage + 100, false), 0);
  ASSERT_THAT(ftruncate(fd_.get(), 10), SyscallSucceeds());
  EXPECT_EQ(SignalOfTouch(map.data() + kPage, false), SIGBUS);
  ASSERT_THAT(ftruncate(fd_.get(), 4 * kPage), SyscallSucceeds());
  EXPECT_EQ(map.data()[3 * kPage], 0);
}

TEST_F(FileMapTest, ModesOfTheFile) {
  const TestFd reader = Open(path_, O_RDONLY), writer = Open(path_, O_WRONLY),
               directory = Open(dir_.path(), O_RDONLY);
  const auto fails = [](int fd, int protection, int flags, int error, off_t offset = 0) {
    EXPECT_EQ(mmap(nullptr, kPage, protection, flags, fd, offset), MAP_FAILED);
    EXPECT_EQ(errno, error);
  };
  fails(reader.get(), kReadWrite, MAP_SHARED, EACCES);
  fails(writer.get(), PROT_READ, MAP_PRIVATE, EACCES);
  fails(directory.get(), PROT_READ, MAP_PRIVATE, ENODEV);
  fails(reader.get(), PROT_READ, MAP_PRIVATE, EINVAL, 100);
  const Mapping map(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, reader.get(), 0), kPage);
  EXPECT_THAT(mprotect(map.data(), kPage, kReadWrite), SyscallFailsWithErrno(EACCES));
  const Mapping copy(mmap(nullptr, kPage, kReadWrite, MAP_PRIVATE, reader.get(), 0), kPage);
}

TEST_F(FileMapTest, SyscallsIntoMappedFiles) {
  const Mapping map = Map(kPage, kReadWrite, MAP_SHARED);
  const Pipe pipe;
  ASSERT_THAT(write(pipe.write.get(), "hello", 5), SyscallSucceeds());
  EXPECT_THAT(read(pipe.read.get(), map.data(), 5), SyscallSucceedsWithValue(5));
  EXPECT_EQ(ReadFile(path_).substr(0, 6), "helloa");
  EXPECT_THAT(pwrite(fd_.get(), map.data(), 5, kPage), SyscallSucceedsWithValue(5));
}

TEST_F(FileMapTest, SyncErrors) {
  const Mapping map = Map(kPage, kReadWrite, MAP_SHARED);
  EXPECT_THAT(msync(map.data(), kPage, MS_SYNC | MS_ASYNC), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(msync(map.data() + 1, kPage, MS_SYNC), SyscallFailsWithErrno(EINVAL));
  const Mapping gone = MapAnonymous(2 * kPage);
  ASSERT_THAT(munmap(gone.data(), kPage), SyscallSucceeds());
  EXPECT_THAT(msync(gone.data(), kPage, MS_SYNC), SyscallFailsWithErrno(ENOMEM));
}

TEST(Remap, GrowsAndShrinks) {
  Mapping map = MapAnonymous(2 * kPage);
  memcpy(map.data(), "keep", 4);
  char* moved = static_cast<char*>(mremap(map.data(), 2 * kPage, 64 * kPage, MREMAP_MAYMOVE));
  ASSERT_NE(moved, MAP_FAILED);
  map.Forget();
  const Mapping grown(moved, 64 * kPage);
  EXPECT_EQ(std::string(moved, 4), "keep");
  moved[63 * kPage] = 1;
  EXPECT_EQ(mremap(moved, 64 * kPage, kPage, 0), moved);
  EXPECT_FALSE(IsMapped(moved + kPage));
}

TEST(Remap, ToAFixedPlace) {
  const Mapping source = MapAnonymous(kPage), target = MapAnonymous(kPage);
  source.data()[0] = 's';
  EXPECT_EQ(mremap(source.data(), kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target.data()), target.data());
  EXPECT_EQ(target.data()[0], 's');
  EXPECT_FALSE(IsMapped(source.data()));
}

TEST(Remap, Errors) {
  const Mapping map = MapAnonymous(2 * kPage);
  const auto fails = [](void* at, size_t old_size, size_t new_size, int flags, int error) {
    EXPECT_EQ(mremap(at, old_size, new_size, flags, nullptr), MAP_FAILED);
    EXPECT_EQ(errno, error);
  };
  fails(map.data() + 1, kPage, kPage, 0, EINVAL);
  fails(map.data(), kPage, 0, 0, EINVAL);
  fails(map.data(), kPage, kPage, 0x100, EINVAL);
  fails(map.data(), kPage, 3 * kPage, MREMAP_FIXED, EINVAL);
  fails(map.data(), kPage, 2 * kPage, 0, ENOMEM);  // the next page is in use
  ASSERT_THAT(munmap(map.data(), kPage), SyscallSucceeds());
  fails(map.data(), kPage, 2 * kPage, MREMAP_MAYMOVE, EFAULT);
}

TEST(Advise, DontNeedGivesZeros) {
  const Mapping map = MapAnonymous(2 * kPage);
  memset(map.data(), 3, 2 * kPage);
  EXPECT_THAT(madvise(map.data(), kPage, MADV_DONTNEED), SyscallSucceeds());
  EXPECT_EQ(map.data()[0], 0);
  EXPECT_EQ(map.data()[kPage], 3);
  EXPECT_THAT(madvise(map.data(), kPage, MADV_WILLNEED), SyscallSucceeds());
  EXPECT_THAT(madvise(map.data(), kPage, 12345), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(madvise(map.data() + 1, kPage, MADV_DONTNEED), SyscallFailsWithErrno(EINVAL));
}

TEST(Advise, ChildrenMayBeSpared) {
  const Mapping absent = MapAnonymous(kPage), wiped = MapAnonymous(kPage);
  wiped.data()[0] = 5;
  ASSERT_THAT(madvise(absent.data(), kPage, MADV_DONTFORK), SyscallSucceeds());
  ASSERT_THAT(madvise(wiped.data(), kPage, MADV_WIPEONFORK), SyscallSucceeds());
  EXPECT_EQ(SignalOfTouch(absent.data(), false), SIGSEGV);
  EXPECT_THAT(InChild([&] { CHILD_CHECK(wiped.data()[0] == 0); }), ExitedWith(0));
  EXPECT_EQ(wiped.data()[0], 5);
}

TEST(Core, SaysWhatIsThere) {
  const Mapping map = MapAnonymous(3 * kPage);
  map.data()[kPage] = 1;
  unsigned char there[3] = {};
  EXPECT_THAT(mincore(map.data(), 3 * kPage, there), SyscallSucceeds());
  EXPECT_EQ(there[1] & 1, 1);
  EXPECT_THAT(mincore(map.data() + 1, kPage, there), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(mincore(map.data(), kPage, BadPointer<unsigned char>()), SyscallFailsWithErrno(EFAULT));
  ASSERT_THAT(munmap(map.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_THAT(mincore(map.data(), 3 * kPage, there), SyscallFailsWithErrno(ENOMEM));
}

TEST(Lock, AcceptsMappedMemory) {
  const Mapping map = MapAnonymous(kPage);
  EXPECT_THAT(mlock(map.data(), kPage), SyscallSucceeds());
  EXPECT_THAT(munlock(map.data(), kPage), SyscallSucceeds());
  EXPECT_THAT(mlock(BadPointer(), kPage), SyscallFailsWithErrno(ENOMEM));
}

TEST(Brk, GrowsAndShrinks) {
  EXPECT_THAT(InChild([] {
                const auto brk = [](uintptr_t to) { return static_cast<uintptr_t>(syscall(SYS_brk, to)); };
                const uintptr_t start = brk(0);
                CHILD_CHECK(brk(start + 10 * kPage) == start + 10 * kPage);
                volatile char* memory = reinterpret_cast<char*>(start);
                memory[10 * kPage - 1] = 1;
                CHILD_CHECK(brk(start + kPage) == start + kPage);
                CHILD_CHECK(brk(start + 10 * kPage) == start + 10 * kPage);
                CHILD_CHECK(memory[10 * kPage - 1] == 0);
                CHILD_CHECK(brk(1) == start + 10 * kPage);
              }),
              ExitedWith(0));
}

TEST(Limits, AddressSpace) {
  EXPECT_THAT(
      InChild([] {
        const rlimit limit = {.rlim_cur = 256 << 20, .rlim_max = 256 << 20};
        CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
        CHILD_CHECK(mmap(nullptr, 512 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
        CHILD_CHECK(errno == ENOMEM);
        CHILD_CHECK(mmap(nullptr, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
      }),
      ExitedWith(0));
}

TEST(Stack, GrowsDownwards) {
  EXPECT_THAT(InChild([] {
                volatile char big[1 << 20];
                for (size_t i = sizeof big; i > 0; i -= kPage) big[i - 1] = 1;
                CHILD_CHECK(big[sizeof big - 1] == 1);
              }),
              ExitedWith(0));
}

TEST(ManyMappings, ComeAndGo) {
  std::vector<char*> pages;
  for (int i = 0; i < 500; ++i) {
    // Alternating protections, so that neighbours cannot be merged.
    void* page = mmap(nullptr, kPage, i % 2 ? PROT_READ : kReadWrite, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, MAP_FAILED);
    pages.push_back(static_cast<char*>(page));
  }
  for (size_t i = 0; i < pages.size(); i += 2) pages[i][0] = static_cast<char>(i);
  for (size_t i = 0; i < pages.size(); i += 2) EXPECT_EQ(pages[i][0], static_cast<char>(i));
  for (char* page : pages) ASSERT_THAT(munmap(page, kPage), SyscallSucceeds());
}

}  // namespace
}  // namespace cloister::tests
