#ifndef CLOISTER_GOFER_SERVER_FILTER_H_
#define CLOISTER_GOFER_SERVER_FILTER_H_

#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "gofer/protocol/config.pb.h"

namespace cloister::gofer {

// One host syscall that the gofer may make while it serves, and why.
struct AllowedSyscall {
  int number;
  std::string_view name;
  std::string_view reason;
  enum class Arguments {
    kAny,
    kNoExec,    // third argument without PROT_EXEC
    kLogOnly,   // first argument is the log's descriptor
    kListener,  // second argument is a seccomp listener's command
  } arguments = Arguments::kAny;
};

// The whole list, by theme: what "runsc debug filters" prints and a test holds to at most 45.
std::span<const AllowedSyscall> GoferSyscalls();

// Confines every thread of this process to GoferSyscalls() for good. Needs no_new_privs.
absl::Status LoadGoferFilter(FilterMode mode, int log_fd);

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_SERVER_FILTER_H_
