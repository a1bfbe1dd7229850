#ifndef CLOISTER_SENTRY_SECCOMP_BPF_PROGRAM_H_
#define CLOISTER_SENTRY_SECCOMP_BPF_PROGRAM_H_

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/error/errno_or.h"

namespace cloister::seccomp {

// A program of classic BPF that judges one system call. Checked once, when it is made; it then always ends,
// after at most as many instructions as it has. Immutable.
class BpfProgram {
 public:
  // kInval for what Linux refuses (bpf_check.h).
  static ErrnoOr<BpfProgram> Make(std::vector<sock_filter> code);

  // SECCOMP_RET_… with its data.
  uint32_t Run(const seccomp_data& data) const;

  // The same for every call of this number and architecture, whatever its arguments and its place are;
  // nothing where it depends on them.
  std::optional<uint32_t> RunOnNumber(uint32_t arch, int number) const;

  // How long it is where Linux adds up the filters of a task.
  size_t counted_length() const { return counted_length_; }

 private:
  explicit BpfProgram(std::vector<sock_filter> code);

  std::vector<sock_filter> code_;
  size_t counted_length_;
};

}  // namespace cloister::seccomp

#endif  // CLOISTER_SENTRY_SECCOMP_BPF_PROGRAM_H_
