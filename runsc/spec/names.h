#ifndef CLOISTER_RUNSC_SPEC_NAMES_H_
#define CLOISTER_RUNSC_SPEC_NAMES_H_

#include <string>
#include <vector>

namespace cloister::spec {

// The options of mounts[] that are known, sorted.
std::vector<std::string> MountOptionNames();

// "CAP_CHOWN" …, in the order of their numbers.
std::vector<std::string> CapabilityNames();

// Of linux.seccomp, each list sorted.
std::vector<std::string> SeccompActionNames();
std::vector<std::string> SeccompOperatorNames();
std::vector<std::string> SeccompArchitectureNames();
std::vector<std::string> SeccompFlagNames();

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_NAMES_H_
