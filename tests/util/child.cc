#include "tests/util/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <cstdio>

#include "gtest/gtest.h"

namespace cloister::tests {

void ChildFailed(const char* file, int line, const char* what) {
  const int error = errno;
  char text[512];
  const int length = snprintf(text, sizeof text, "%s:%d: in a child: %s (errno %d %s)\n", file, line, what,
                              error, strerrorname_np(error));
  if (length > 0 && write(STDERR_FILENO, text, strlen(text)) < 0) _exit(98);
  _exit(99);
}

int WaitStatus(pid_t pid, int options) {
  int status = -1;
  pid_t got;
  do {
    got = waitpid(pid, &status, options);
  } while (got < 0 && errno == EINTR);
  EXPECT_EQ(got, pid) << "waitpid, errno " << errno;
  return status;
}

Child::~Child() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
}

int Child::Wait() { return WaitStatus(std::exchange(pid_, -1)); }

void BecomeUser(uid_t uid, gid_t gid) {
  CHILD_CHECK(setgroups(0, nullptr) == 0);
  CHILD_CHECK(setresgid(gid, gid, gid) == 0);
  CHILD_CHECK(setresuid(uid, uid, uid) == 0);
}

bool YieldUntil(const std::function<bool()>& done) {
  timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  while (!done()) {
    sched_yield();
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - start.tv_sec > 10) return false;
  }
  return true;
}

char ProcessState(pid_t pid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  if (got <= 0) return 0;
  text[got] = 0;
  const char* end = strrchr(text, ')');
  return end != nullptr && end[1] == ' ' ? end[2] : 0;
}

}  // namespace cloister::tests
