#ifndef CLOISTER_TESTS_UTIL_CHILD_H_
#define CLOISTER_TESTS_UTIL_CHILD_H_

#include <sys/types.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

// Children of a test. A child may not use EXPECT_…: it says what it found with CHILD_CHECK and its exit
// status.
namespace cloister::tests {

// Prints where and why, then ends the process with status 99. Safe behind fork in a threaded program.
[[noreturn]] void ChildFailed(const char* file, int line, const char* what);

#define CHILD_CHECK(condition) \
  ((condition) ? (void)0 : ::cloister::tests::ChildFailed(__FILE__, __LINE__, #condition))

// Status of waitpid(pid); fails the test if there is no such child.
int WaitStatus(pid_t pid, int options = 0);

// A forked child that runs `body` and exits with 0. Killed and reaped, if still there, with the object.
class Child {
 public:
  Child() = default;
  template <typename Body>
  explicit Child(Body&& body) : pid_(fork()) {
    if (pid_ == 0) {
      body();
      _exit(0);
    }
  }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&&) = delete;
  ~Child();

  pid_t pid() const { return pid_; }
  // Wait status once it has ended.
  int Wait();

 private:
  pid_t pid_ = -1;
};

// Wait status of a child that ran `body`.
template <typename Body>
int InChild(Body&& body) {
  return Child(std::forward<Body>(body)).Wait();
}

// The same for a body that has dropped to this uid and gid, without supplementary groups and capabilities.
void BecomeUser(uid_t uid, gid_t gid);

// Gives up the processor until `done()` holds; false after ten seconds.
bool YieldUntil(const std::function<bool()>& done);

// State letter of /proc/<pid>/stat: R, S, T, Z…; 0 where there is no such process.
char ProcessState(pid_t pid);

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_CHILD_H_
