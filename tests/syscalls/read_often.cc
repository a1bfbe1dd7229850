#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
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

// read(2) and pread(2) again and again of one file: of one that nobody writes (this program) and of new ones.
namespace cloister::tests {
namespace {

constexpr int kTimes = 12;
constexpr size_t kPage = 4096;

std::string Numbers(size_t bytes, uint32_t first = 0) {
  std::string text;
  for (uint32_t i = first; text.size() < bytes; ++i) text.append(reinterpret_cast<const char*>(&i), sizeof i);
  text.resize(bytes);
  return text;
}

// What this program's file holds, as a mapping shows it.
class Self {
 public:
  Self() : fd_(open("/proc/self/exe", O_RDONLY | O_CLOEXEC)) {
    struct stat file = {};
    EXPECT_THAT(fstat(fd_.get(), &file), SyscallSucceeds());
    size_ = static_cast<size_t>(file.st_size);
    map_ = static_cast<const char*>(mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd_.get(), 0));
    EXPECT_NE(map_, MAP_FAILED);
  }
  ~Self() { munmap(const_cast<char*>(map_), size_); }

  int fd() const { return fd_.get(); }
  size_t size() const { return size_; }
  std::string_view At(size_t offset, size_t size) const { return {map_ + offset, size}; }

 private:
  TestFd fd_;
  size_t size_ = 0;
  const char* map_ = nullptr;
};

// `size` bytes by one call, or what there was.
std::string ReadOnce(int fd, size_t size) {
  std::string text(size, '?');
  const ssize_t got = read(fd, text.data(), size);
  EXPECT_GE(got, 0) << strerror(errno);
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

std::string ReadOnceAt(int fd, size_t size, size_t offset) {
  std::string text(size, '?');
  const ssize_t got = pread(fd, text.data(), size, static_cast<off_t>(offset));
  EXPECT_GE(got, 0) << strerror(errno);
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

TEST(ReadOften, GoesThroughAFileInOrder) {
  const Self self;
  for (const size_t size : {size_t{1000}, kPage, size_t{10000}, size_t{65536}}) {
    ASSERT_THAT(lseek(self.fd(), 0, SEEK_SET), SyscallSucceedsWithValue(0));
    size_t at = 0;
    while (at < self.size()) {
      const size_t left = std::min(size, self.size() - at);
      ASSERT_EQ(ReadOnce(self.fd(), size), self.At(at, left)) << at;
      at += left;
      ASSERT_THAT(lseek(self.fd(), 0, SEEK_CUR), SyscallSucceedsWithValue(static_cast<int64_t>(at)));
    }
    EXPECT_EQ(ReadOnce(self.fd(), size), "");
    EXPECT_THAT(lseek(self.fd(), 0, SEEK_CUR), SyscallSucceedsWithValue(static_cast<int64_t>(self.size())));
  }
}

TEST(ReadOften, AtOffsetsLeavesThePosition) {
  const Self self;
  ASSERT_THAT(lseek(self.fd(), 77, SEEK_SET), SyscallSucceeds());
  for (int i = 0; i < kTimes; ++i) {
    const size_t at = static_cast<size_t>(i) * 12345 % (self.size() - kPage);
    EXPECT_EQ(ReadOnceAt(self.fd(), kPage, at), self.At(at, kPage));
  }
  EXPECT_EQ(ReadOnceAt(self.fd(), kPage, self.size() - 10), self.At(self.size() - 10, 10));
  EXPECT_EQ(ReadOnceAt(self.fd(), kPage, self.size()), "");
  EXPECT_EQ(ReadOnceAt(self.fd(), kPage, self.size() + 1), "");
  EXPECT_THAT(lseek(self.fd(), 0, SEEK_CUR), SyscallSucceedsWithValue(77));
}

TEST(ReadOften, ByVectors) {
  const Self self;
  std::string one(100, '?'), two(kPage, '?');
  for (int i = 0; i < kTimes; ++i) {
    const iovec vector[] = {{one.data(), one.size()}, {two.data(), two.size()}};
    const auto at = static_cast<off_t>(i * 1000);
    EXPECT_THAT(preadv(self.fd(), vector, 2, at),
                SyscallSucceedsWithValue(100 + static_cast<int64_t>(kPage)));
    EXPECT_EQ(one + two, self.At(static_cast<size_t>(at), 100 + kPage));
    EXPECT_THAT(preadv(self.fd(), vector + 1, 1, at), SyscallSucceedsWithValue(static_cast<int64_t>(kPage)));
    EXPECT_EQ(two, self.At(static_cast<size_t>(at), kPage));
  }
}

TEST(ReadOften, BadMemory) {
  const Self self;
  const Mapping two = MapAnonymous(2 * kPage, PROT_READ | PROT_WRITE);
  const Mapping readonly = MapAnonymous(kPage, PROT_READ);
  auto* const first = static_cast<char*>(two.data());
  ASSERT_THAT(munmap(first + kPage, kPage), SyscallSucceeds());
  for (int i = 0; i < kTimes; ++i) ReadOnceAt(self.fd(), kPage, 0);
  for (int i = 0; i < kTimes; ++i) {
    EXPECT_THAT(pread(self.fd(), first + kPage, 100, 0), SyscallFailsWithErrno(EFAULT));
    EXPECT_THAT(pread(self.fd(), readonly.data(), 100, 0), SyscallFailsWithErrno(EFAULT));
    EXPECT_THAT(pread(self.fd(), reinterpret_cast<void*>(~0ul - 50), 100, 0), SyscallFailsWithErrno(EFAULT));
    EXPECT_THAT(lseek(self.fd(), 5, SEEK_SET), SyscallSucceeds());
    EXPECT_THAT(read(self.fd(), first + kPage, 100), SyscallFailsWithErrno(EFAULT));
    EXPECT_THAT(lseek(self.fd(), 0, SEEK_CUR), SyscallSucceedsWithValue(5));
    EXPECT_EQ(ReadOnce(self.fd(), 100), self.At(5, 100));
  }
}

// What fits before the bad page.
TEST(ReadOften, PartlyBadMemory) {
  const Self self;
  const Mapping two = MapAnonymous(2 * kPage, PROT_READ | PROT_WRITE);
  auto* const end = static_cast<char*>(two.data()) + kPage;
  ASSERT_THAT(munmap(end, kPage), SyscallSucceeds());
  for (int i = 0; i < kTimes; ++i) {
    ASSERT_THAT(lseek(self.fd(), 100 * i, SEEK_SET), SyscallSucceeds());
    const ssize_t got = read(self.fd(), end - 300, 600);
    ASSERT_THAT(got, SyscallSucceeds());
    EXPECT_GT(got, 0);
    EXPECT_LE(got, 300);
    EXPECT_EQ(std::string_view(end - 300, static_cast<size_t>(got)),
              self.At(100 * static_cast<size_t>(i), static_cast<size_t>(got)));
    EXPECT_THAT(lseek(self.fd(), 0, SEEK_CUR), SyscallSucceedsWithValue(100 * i + got));
  }
}

// Each piece goes to one reader, whoever shares the position.
TEST(ReadOften, ThreadsShareThePosition) {
  const Self self;
  constexpr size_t kPiece = 512;
  std::atomic<size_t> pieces = 0, rest = 0;
  const auto reader = [&] {
    std::string piece(kPiece, '?');
    ssize_t got;
    while ((got = read(self.fd(), piece.data(), kPiece)) == static_cast<ssize_t>(kPiece)) ++pieces;
    EXPECT_GE(got, 0);
    rest += static_cast<size_t>(got);
  };
  {
    ScopedThread one(reader), two(reader);
    reader();
  }
  EXPECT_EQ(pieces, self.size() / kPiece);
  EXPECT_EQ(rest, self.size() % kPiece);
  EXPECT_THAT(lseek(self.fd(), 0, SEEK_CUR), SyscallSucceedsWithValue(static_cast<int64_t>(self.size())));
}

TEST(ReadOften, ProcessesShareThePosition) {
  const Self self;
  for (int i = 0; i < kTimes; ++i) ReadOnce(self.fd(), 100);
  Child child([&] {
    std::string text(100, '?');
    for (size_t i = 0; i < kTimes; ++i) {
      CHILD_CHECK(read(self.fd(), text.data(), 100) == 100);
      CHILD_CHECK(text == self.At((kTimes + i) * 100, 100));
    }
  });
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(ReadOnce(self.fd(), 100), self.At(2 * kTimes * 100, 100));
}

TEST(ReadOften, ADescriptorThatBecomesAnotherFile) {
  const Self self;
  const TempDir dir;
  const std::string text = Numbers(2 * kPage);
  const TestFd other(open(dir.WithFile("other", text).c_str(), O_RDONLY | O_CLOEXEC));
  const int fd = dup(self.fd());
  for (int i = 0; i < kTimes; ++i) EXPECT_EQ(ReadOnceAt(fd, kPage, 0), self.At(0, kPage));
  ASSERT_THAT(dup2(other.get(), fd), SyscallSucceeds());
  for (int i = 0; i < kTimes; ++i) EXPECT_EQ(ReadOnceAt(fd, kPage, 0), text.substr(0, kPage));
  ASSERT_THAT(close(fd), SyscallSucceeds());
  char byte;
  EXPECT_THAT(pread(fd, &byte, 1, 0), SyscallFailsWithErrno(EBADF));
}

TEST(ReadOften, ManyFilesInTurn) {
  const TempDir dir;
  std::vector<TestFd> files;
  for (uint32_t i = 0; i < 5; ++i) {
    const std::string name = std::to_string(i);
    files.emplace_back(open(dir.WithFile(name, Numbers(kPage, i * 1000)).c_str(), O_RDONLY | O_CLOEXEC));
  }
  for (int i = 0; i < 100; ++i) {
    const auto n = static_cast<uint32_t>(i / 7 % 5);
    ASSERT_EQ(ReadOnceAt(files[n].get(), kPage, 0), Numbers(kPage, n * 1000));
  }
}

TEST(ReadOften, WhatIsWrittenIsRead) {
  const TempDir dir;
  const TestFd fd(open(dir.File("f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  std::string all;
  for (uint32_t i = 0; i < kTimes; ++i) {
    const std::string more = Numbers(1000, i * 500);
    ASSERT_THAT(pwrite(fd.get(), more.data(), more.size(), static_cast<off_t>(all.size())),
                SyscallSucceedsWithValue(1000));
    all += more;
    EXPECT_EQ(ReadOnceAt(fd.get(), 100000, 0), all);
    EXPECT_EQ(ReadOnce(fd.get(), 100000), more);
    EXPECT_EQ(ReadOnce(fd.get(), 100000), "");
  }
  ASSERT_THAT(pwrite(fd.get(), "over", 4, 10), SyscallSucceeds());
  EXPECT_EQ(ReadOnceAt(fd.get(), 4, 10), "over");
}

TEST(ReadOften, WhatIsCutOffIsNotRead) {
  const TempDir dir;
  const std::string text = Numbers(3 * kPage);
  const std::string path = dir.WithFile("f", text);
  const TestFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  for (int i = 0; i < kTimes; ++i) EXPECT_EQ(ReadOnceAt(fd.get(), text.size(), 0), text);
  ASSERT_THAT(ftruncate(fd.get(), 5000), SyscallSucceeds());
  EXPECT_EQ(ReadOnceAt(fd.get(), text.size(), 0), text.substr(0, 5000));
  EXPECT_EQ(ReadOnceAt(fd.get(), 100, 5000), "");
  ASSERT_THAT(truncate(path.c_str(), 100), SyscallSucceeds());
  EXPECT_EQ(ReadOnce(fd.get(), 4096), text.substr(0, 100));
  EXPECT_EQ(ReadOnce(fd.get(), 4096), "");
  ASSERT_THAT(ftruncate(fd.get(), 200), SyscallSucceeds());
  EXPECT_EQ(ReadOnce(fd.get(), 4096), std::string(100, '\0'));
  {
    const TestFd again(open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  }
  EXPECT_EQ(ReadOnceAt(fd.get(), 4096, 0), "");
}

TEST(ReadOften, ARemovedFile) {
  const TempDir dir;
  const std::string text = Numbers(kPage);
  const std::string path = dir.WithFile("f", text);
  const TestFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  for (int i = 0; i < kTimes; ++i) EXPECT_EQ(ReadOnceAt(fd.get(), kPage, 0), text);
  ASSERT_THAT(unlink(path.c_str()), SyscallSucceeds());
  for (int i = 0; i < kTimes; ++i) EXPECT_EQ(ReadOnceAt(fd.get(), kPage, 0), text);
}

TEST(ReadOften, WhileAnotherThreadWritesAndCuts) {
  const TempDir dir;
  const TestFd fd(open(dir.File("f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const std::string text = Numbers(4 * kPage);
  std::atomic<bool> done = false;
  ScopedThread writer([&] {
    for (int i = 0; i < 300; ++i) {
      EXPECT_THAT(pwrite(fd.get(), text.data(), text.size(), 0),
                  SyscallSucceedsWithValue(static_cast<int64_t>(text.size())));
      EXPECT_THAT(ftruncate(fd.get(), i % 7 * 1000), SyscallSucceeds());
    }
    done = true;
  });
  while (!done) {
    const std::string got = ReadOnceAt(fd.get(), text.size(), 0);
    // A cut that comes between leaves zeroes of the pages that are let go.
    for (size_t i = 0; i < got.size(); ++i) ASSERT_TRUE(got[i] == text[i] || got[i] == 0) << i;
  }
}

}  // namespace
}  // namespace cloister::tests
