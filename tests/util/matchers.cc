#include "tests/util/matchers.h"

namespace cloister::tests {

std::string DescribeErrno(int error) {
  const char* name = strerrorname_np(error);
  return (name != nullptr ? std::string(name) : std::to_string(error)) + " (" + strerrordesc_np(error) + ")";
}

std::string DescribeStatus(int status) {
  if (WIFEXITED(status)) return "exited with " + std::to_string(WEXITSTATUS(status));
  if (WIFSIGNALED(status)) {
    return "killed by signal " + std::to_string(WTERMSIG(status)) + (WCOREDUMP(status) ? " (core)" : "");
  }
  if (WIFSTOPPED(status)) return "stopped by signal " + std::to_string(WSTOPSIG(status));
  if (WIFCONTINUED(status)) return "continued";
  return "status " + std::to_string(status);
}

}  // namespace cloister::tests
