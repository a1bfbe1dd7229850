#ifndef CLOISTER_TESTS_UTIL_TEST_FD_H_
#define CLOISTER_TESTS_UTIL_TEST_FD_H_

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace cloister::tests {

// Owns a descriptor of the test, or none. The constructor fails the test if it is handed -1.
class TestFd {
 public:
  TestFd() = default;
  explicit TestFd(int fd) : fd_(fd) { EXPECT_GE(fd, 0) << "no descriptor, errno " << errno; }
  TestFd(TestFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  TestFd& operator=(TestFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~TestFd() { reset(); }

  int get() const { return fd_; }
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// Both ends of a pipe2(2).
struct Pipe {
  explicit Pipe(int flags = 0) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(pipe2(ends, flags), 0);
    read = TestFd(ends[0]);
    write = TestFd(ends[1]);
  }
  TestFd read;
  TestFd write;
};

// Fails the test if the file cannot be opened.
inline TestFd Open(const std::string& path, int flags, mode_t mode = 0644) {
  return TestFd(open(path.c_str(), flags, mode));
}

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_TEST_FD_H_
