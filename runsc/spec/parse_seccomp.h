#ifndef CLOISTER_RUNSC_SPEC_PARSE_SECCOMP_H_
#define CLOISTER_RUNSC_SPEC_PARSE_SECCOMP_H_

#include <optional>

#include "runsc/spec/json_field.h"
#include "runsc/spec/seccomp.h"

namespace cloister::spec {

// linux.seccomp. Nothing where the field is absent or says nothing.
absl::Status ParseSeccomp(const JsonField& field, std::optional<Seccomp>* seccomp);

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_PARSE_SECCOMP_H_
