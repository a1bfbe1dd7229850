#ifndef CLOISTER_RUNSC_SPEC_PARSE_RESOURCES_H_
#define CLOISTER_RUNSC_SPEC_PARSE_RESOURCES_H_

#include "runsc/spec/json_field.h"
#include "runsc/spec/resources.h"

namespace cloister::spec {

// The "linux.resources" object. Rules for device nodes are not kept: no process of a sandbox opens one.
absl::Status ParseResources(const JsonField& field, Resources* resources);

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_PARSE_RESOURCES_H_
