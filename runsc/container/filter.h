#ifndef CLOISTER_RUNSC_CONTAINER_FILTER_H_
#define CLOISTER_RUNSC_CONTAINER_FILTER_H_

#include "absl/status/status.h"
#include "runsc/spec/spec.h"
#include "sentry/control/control.pb.h"

namespace cloister::container {

// The container's seccomp filter, which each of its processes begins with.
absl::Status PutFilter(const spec::Spec& spec, control::Process* process);

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_FILTER_H_
