#ifndef CLOISTER_RUNSC_SPEC_PARSE_LINUX_H_
#define CLOISTER_RUNSC_SPEC_PARSE_LINUX_H_

#include "runsc/spec/json_field.h"
#include "runsc/spec/spec.h"

namespace cloister::spec {

// The "linux" object of config.json.
absl::Status ParseLinux(const JsonField& field, Spec* spec);

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_PARSE_LINUX_H_
