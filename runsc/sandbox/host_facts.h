#ifndef CLOISTER_RUNSC_SANDBOX_HOST_FACTS_H_
#define CLOISTER_RUNSC_SANDBOX_HOST_FACTS_H_

#include "sentry/control/control.pb.h"

namespace cloister::sandbox {

// Fills what the sentry shows of the machine and cannot find out itself: memory, CPUs, the fields of
// /proc/cpuinfo, a random boot id. What the host does not tell stays 0 or empty.
void FillHostFacts(control::BootConfig* config);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_HOST_FACTS_H_
