#ifndef CLOISTER_TESTS_UTIL_SECCOMP_H_
#define CLOISTER_TESTS_UTIL_SECCOMP_H_

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/util/files.h"

// Filters of seccomp(2) for tests.
namespace cloister::tests {

using FilterCode = std::vector<sock_filter>;

// An errno that no call gives by itself.
inline constexpr int kFiltered = 77;
inline constexpr uint32_t kDeny = SECCOMP_RET_ERRNO | kFiltered;

// Answers these calls with `verdict`, and allows the others.
inline FilterCode Answering(const std::vector<long>& numbers, uint32_t verdict = kDeny) {
  FilterCode code = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto to_verdict = static_cast<uint8_t>(numbers.size() - i);
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(numbers[i]), to_verdict, 0));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, verdict));
  return code;
}

inline long Seccomp(unsigned operation, unsigned flags, const void* argument) {
  return syscall(SYS_seccomp, operation, flags, argument);
}

// libc's own hand on what no kernel without filters gives.
inline long Getppid() { return syscall(SYS_getppid); }
inline long Getuid() { return syscall(SYS_getuid); }

inline long InstallFilter(const FilterCode& code, unsigned flags = 0) {
  const sock_fprog program = {static_cast<unsigned short>(code.size()),
                              const_cast<sock_filter*>(code.data())};
  return Seccomp(SECCOMP_SET_MODE_FILTER, flags, &program);
}

// A line's value in /proc/{task}/status, as "Seccomp".
inline std::string StatusOf(const std::string& task, const std::string& name) {
  const std::string text = ReadFile("/proc/" + task + "/status");
  const size_t at = text.find("\n" + name + ":\t");
  if (at == std::string::npos) return "";
  const size_t begin = at + name.size() + 3;
  return text.substr(begin, text.find('\n', begin) - begin);
}

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_SECCOMP_H_
