#ifndef CLOISTER_RUNSC_SPEC_SECCOMP_H_
#define CLOISTER_RUNSC_SPEC_SECCOMP_H_

#include <seccomp.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cloister::spec {

// linux.seccomp of config.json, in libseccomp's terms.
struct SeccompRule {
  std::string name;                // of a system call; may be one that nobody knows
  uint32_t action = 0;             // SCMP_ACT_…
  std::vector<scmp_arg_cmp> args;  // all of them have to hold
};

struct Seccomp {
  uint32_t default_action = 0;          // SCMP_ACT_…
  std::vector<uint32_t> architectures;  // SCMP_ARCH_…, besides the native one
  uint32_t flags = 0;                   // SECCOMP_FILTER_FLAG_…
  std::vector<SeccompRule> rules;
};

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_SECCOMP_H_
