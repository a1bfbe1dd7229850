#ifndef CLOISTER_RUNSC_SPEC_TO_CONTROL_H_
#define CLOISTER_RUNSC_SPEC_TO_CONTROL_H_

#include "runsc/spec/spec.h"
#include "sentry/control/control.pb.h"

namespace cloister::spec {

control::Process ToControl(const Process& process);

// The parts of the container that config.json decides. What depends on the host is left to the
// caller: gofer_mount and is_file of each bind, the root's overlay and sharing.
control::Container ToControl(const Spec& spec, const std::string& id);

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_TO_CONTROL_H_
