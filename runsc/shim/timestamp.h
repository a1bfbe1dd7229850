#ifndef CLOISTER_RUNSC_SHIM_TIMESTAMP_H_
#define CLOISTER_RUNSC_SHIM_TIMESTAMP_H_

#include "absl/time/time.h"
#include "runsc/shim/api/common.pb.h"

namespace cloister::shim {

inline api::Timestamp ToTimestamp(absl::Time time) {
  const int64_t nanos = absl::ToUnixNanos(time);
  api::Timestamp timestamp;
  timestamp.set_seconds(nanos / 1'000'000'000);
  timestamp.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  return timestamp;
}

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_TIMESTAMP_H_
