#ifndef CLOISTER_BASE_ERROR_STATUS_H_
#define CLOISTER_BASE_ERROR_STATUS_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/error/errno.h"

// The host's world of errors (absl::Status) and its two crossings to the guest's (Errno).

namespace cloister {

// "what: No such file or directory", with the canonical code that fits errno.
absl::Status HostError(int host_errno, std::string_view what);

// The same for the calling thread's errno.
absl::Status HostErrorNow(std::string_view what);

// The guest's errno for a failed host step; exhaustive over the canonical codes.
Errno ToErrno(const absl::Status& status);

// A status for an errno that the guest's side gave.
absl::Status ToStatus(Errno error, std::string_view what);

// The first line of a status' message: what a person reads on stderr.
std::string FirstLine(const absl::Status& status);

}  // namespace cloister

// Returns the status from the function around, if it is not OK.
#define RETURN_IF_ERROR(...)                         \
  do {                                               \
    absl::Status status_of_try_ = (__VA_ARGS__);     \
    if (!status_of_try_.ok()) return status_of_try_; \
  } while (false)

// Value of an absl::StatusOr<T>; on an error the function around returns its status.
#define TRY_STATUS(...)                                           \
  ({                                                              \
    auto&& statusor_of_try_ = (__VA_ARGS__);                      \
    if (!statusor_of_try_.ok()) return statusor_of_try_.status(); \
    std::move(statusor_of_try_).value();                          \
  })

#endif  // CLOISTER_BASE_ERROR_STATUS_H_
