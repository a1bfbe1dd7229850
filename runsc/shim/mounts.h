#ifndef CLOISTER_RUNSC_SHIM_MOUNTS_H_
#define CLOISTER_RUNSC_SHIM_MOUNTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runsc/shim/api/common.pb.h"

namespace cloister::shim {

// mount(2)'s arguments out of a snapshotter's mount.
struct MountCall {
  std::string source;
  std::string type;
  unsigned long flags = 0;
  unsigned long remount = 0;  // a bind mount takes its flags in a second call; 0: none is needed
  std::string data;
};

// Invalid argument for what no mount(2) can do.
absl::StatusOr<MountCall> ToMountCall(const api::Mount& mount);

// Overlays of many layers have more to say than mount(2) takes, a page. Shortens an overlay's data by naming
// its lower directories relative to the deepest one above them all, which is returned and is where the caller
// has to be. Empty, and nothing changed, where there is nothing to gain.
std::string CompactLowerDirs(std::string* data);

// Mounts all of them on root, one over the other; after an error none is left.
absl::Status MountAll(const google::protobuf::RepeatedPtrField<api::Mount>& mounts, const std::string& root);

// Unmounts whatever is mounted on root. No error where nothing is.
absl::Status UnmountAll(const std::string& root);

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_MOUNTS_H_
