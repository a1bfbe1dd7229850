#ifndef CLOISTER_RUNSC_SERVE_REQUEST_H_
#define CLOISTER_RUNSC_SERVE_REQUEST_H_

#include <cstdint>

#include "absl/status/status.h"
#include "runsc/serve/serve.pb.h"

namespace cloister::serve {

// What a request may ask for at most.
struct Bounds {
  uint64_t wall_ms = 600'000;
  uint64_t memory_bytes = uint64_t{4} << 30;
};

inline constexpr int kMaxRequestBytes = 8 << 20;

// Judges a request of a stranger and puts defaults where it leaves things open; what this lets pass needs no
// further check. An invalid argument names the field.
absl::Status CheckRequest(const Bounds& bounds, RunRequest* request);

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_REQUEST_H_
