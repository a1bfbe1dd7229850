#ifndef CLOISTER_TESTS_UTIL_MATCHERS_H_
#define CLOISTER_TESTS_UTIL_MATCHERS_H_

#include <errno.h>
#include <sys/wait.h>

#include <cstring>
#include <ostream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

// Matchers for what a system call or a waited child gave. The matcher reads errno straight behind the call,
// so the call itself must stand in the EXPECT_THAT.
namespace cloister::tests {

std::string DescribeErrno(int error);
// "exited with 3", "killed by signal 9 (core)": a status of wait(2) in words.
std::string DescribeStatus(int status);

// The call returned anything but -1.
class SyscallSuccess {
 public:
  using is_gtest_matcher = void;
  template <typename T>
  bool MatchAndExplain(const T& result, ::testing::MatchResultListener* listener) const {
    const int error = errno;
    if (result != T(-1)) return true;
    *listener << "failed with " << DescribeErrno(error);
    return false;
  }
  void DescribeTo(std::ostream* out) const { *out << "succeeds"; }
  void DescribeNegationTo(std::ostream* out) const { *out << "fails"; }
};

// The call returned -1 and left this errno.
class SyscallFailure {
 public:
  using is_gtest_matcher = void;
  explicit SyscallFailure(int error) : error_(error) {}
  template <typename T>
  bool MatchAndExplain(const T& result, ::testing::MatchResultListener* listener) const {
    const int error = errno;
    if (result == T(-1) && error == error_) return true;
    if (result == T(-1)) *listener << "failed with " << DescribeErrno(error);
    return false;
  }
  void DescribeTo(std::ostream* out) const { *out << "fails with " << DescribeErrno(error_); }
  void DescribeNegationTo(std::ostream* out) const { *out << "does not fail with " << DescribeErrno(error_); }

 private:
  int error_;
};

inline SyscallSuccess SyscallSucceeds() { return SyscallSuccess(); }
inline SyscallFailure SyscallFailsWithErrno(int error) { return SyscallFailure(error); }

// The call returned a value other than -1 that matches `inner` (a value or a matcher).
MATCHER_P(SyscallSucceedsWithValue, inner, "succeeds with a value that matches") {
  const int error = errno;
  if (arg == decltype(arg)(-1)) {
    *result_listener << "failed with " << DescribeErrno(error);
    return false;
  }
  return ::testing::ExplainMatchResult(inner, arg, result_listener);
}

// Of a wait status: the child ended by exit(code).
MATCHER_P(ExitedWith, code, "") {
  *result_listener << DescribeStatus(arg);
  return WIFEXITED(arg) && WEXITSTATUS(arg) == code;
}

// Of a wait status: the child was ended by this signal.
MATCHER_P(KilledBy, signal, "") {
  *result_listener << DescribeStatus(arg);
  return WIFSIGNALED(arg) && WTERMSIG(arg) == signal;
}

// Of a wait status: the child was stopped by this signal.
MATCHER_P(StoppedBy, signal, "") {
  *result_listener << DescribeStatus(arg);
  return WIFSTOPPED(arg) && WSTOPSIG(arg) == signal;
}

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_MATCHERS_H_
