#ifndef CLOISTER_SENTRY_SECCOMP_BPF_CHECK_H_
#define CLOISTER_SENTRY_SECCOMP_BPF_CHECK_H_

#include <linux/filter.h>

#include <cstddef>
#include <span>

namespace cloister::seccomp {

// Whether Linux takes the program as one of classic BPF: every instruction known, every jump forward and
// inside, no cell of memory read before it is written, the last instruction a return. Linux:
// bpf_check_classic. At most BPF_MAXINSNS instructions.
bool IsClassicBpf(std::span<const sock_filter> code);

// Whether a filter of seccomp(2) may be made of it: a few more instructions are refused, and it loads from
// struct seccomp_data alone. Linux: seccomp_check_filter.
bool IsSeccompFilter(std::span<const sock_filter> code);

// How many instructions Linux makes of it for its own machine, by which it limits the sum of all filters of a
// task. Linux: bpf_convert_filter. The program must be a seccomp filter.
size_t ConvertedLength(std::span<const sock_filter> code);

}  // namespace cloister::seccomp

#endif  // CLOISTER_SENTRY_SECCOMP_BPF_CHECK_H_
