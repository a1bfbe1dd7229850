#include "base/error/status.h"

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace cloister {
namespace {

absl::StatusCode CodeOf(int host_errno) { return absl::ErrnoToStatusCode(host_errno); }

}  // namespace

absl::Status HostError(int host_errno, std::string_view what) {
  char text[128];
  return absl::Status(CodeOf(host_errno),
                      absl::StrCat(std::string(what), ": ", strerror_r(host_errno, text, sizeof text)));
}

absl::Status HostErrorNow(std::string_view what) { return HostError(errno, what); }

absl::Status ToStatus(Errno error, std::string_view what) { return HostError(static_cast<int>(error), what); }

Errno ToErrno(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kDoNotUseReservedForFutureExpansionUseDefaultInSwitchInstead_:
      return Errno::kIo;
    case absl::StatusCode::kCancelled:
      return Errno::kCanceled;
    case absl::StatusCode::kInvalidArgument:
      return Errno::kInval;
    case absl::StatusCode::kDeadlineExceeded:
      return Errno::kTimedOut;
    case absl::StatusCode::kNotFound:
      return Errno::kNoEnt;
    case absl::StatusCode::kAlreadyExists:
      return Errno::kExist;
    case absl::StatusCode::kPermissionDenied:
      return Errno::kAcces;
    case absl::StatusCode::kUnauthenticated:
      return Errno::kPerm;
    case absl::StatusCode::kResourceExhausted:
      return Errno::kNoMem;
    case absl::StatusCode::kFailedPrecondition:
      return Errno::kBusy;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kUnavailable:
      return Errno::kAgain;
    case absl::StatusCode::kOutOfRange:
      return Errno::kRange;
    case absl::StatusCode::kUnimplemented:
      return Errno::kNoSys;
  }
  return Errno::kIo;
}

std::string FirstLine(const absl::Status& status) {
  std::string_view message(status.message().data(), status.message().size());
  return std::string(message.substr(0, message.find('\n')));
}

}  // namespace cloister
