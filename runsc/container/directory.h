#ifndef CLOISTER_RUNSC_CONTAINER_DIRECTORY_H_
#define CLOISTER_RUNSC_CONTAINER_DIRECTORY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/host/unique_fd.h"
#include "runsc/spec/spec.h"
#include "runsc/spec/state.h"

namespace cloister::container {

// {root}/{id}: what outlives one call of runsc. Mode 0700.
//   state.json    who the processes are; replaced by rename, so readers need no lock
//   config.json   the bundle's as it was at create
//   control.sock  the sentry's
//   lock          flock(2): held by whoever changes the container; says who that is
class Directory {
 public:
  // Already exists if there is one, which stays as it is.
  static absl::StatusOr<Directory> Create(const std::string& root, const std::string& id);
  // Not found: "container does not exist".
  static absl::StatusOr<Directory> Open(const std::string& root, const std::string& id);

  const std::string& path() const { return path_; }

  // Held until the returned descriptor is closed. Deadline exceeded if somebody else keeps it, not
  // found if the container went away meanwhile.
  absl::StatusOr<UniqueFd> Lock(absl::Duration patience) const;
  // For one who has to have it: a holder that does not let go in time is stopped or stuck, and is killed.
  absl::StatusOr<UniqueFd> SeizeLock(absl::Duration patience) const;
  // Whether somebody holds the lock now.
  bool IsLocked() const;

  absl::StatusOr<spec::State> LoadState() const;
  absl::Status SaveState(const spec::State& state) const;
  absl::StatusOr<spec::Spec> LoadSpec() const;
  absl::Status SaveConfig(const std::string& text) const;

  // Removes the directory and all that is in it. Files of others in it are an error.
  absl::Status Remove() const;

 private:
  explicit Directory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// runc's rule for the name of a container.
absl::Status CheckId(const std::string& id);

// The ids under root, sorted.
absl::StatusOr<std::vector<std::string>> ListIds(const std::string& root);

// Writes text to path at once: a temporary file beside it (".name"), then rename(2).
absl::Status WriteFileAtomically(const std::string& path, const std::string& text, unsigned mode);

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_DIRECTORY_H_
