#ifndef CLOISTER_RUNSC_SPEC_PARSE_PROCESS_H_
#define CLOISTER_RUNSC_SPEC_PARSE_PROCESS_H_

#include "runsc/spec/json_field.h"
#include "runsc/spec/spec.h"

namespace cloister::spec {

// The "process" object; what must be there is checked.
absl::StatusOr<Process> ParseProcess(const JsonField& field);

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_PARSE_PROCESS_H_
