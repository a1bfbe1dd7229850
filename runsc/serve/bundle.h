#ifndef CLOISTER_RUNSC_SERVE_BUNDLE_H_
#define CLOISTER_RUNSC_SERVE_BUNDLE_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "runsc/serve/serve.pb.h"

namespace cloister::serve {

// What config.json says besides the request.
struct BundlePlan {
  std::string directory;  // to be made
  std::string group;      // linux.cgroupsPath
  bool limit_swap = false;
  std::string runner;  // the file that makes a program's calls
};

// The bundle of one sandbox on the host's disk: config.json and the request's files. Removed with the object.
class Bundle {
 public:
  // request: checked.
  static absl::StatusOr<Bundle> Make(const BundlePlan& plan, const RunRequest& request);
  Bundle(Bundle&& other) noexcept : directory_(std::move(other.directory_)), input_(std::move(other.input_)) {
    other.directory_.clear();
  }
  Bundle& operator=(Bundle&&) = delete;
  ~Bundle();

  const std::string& directory() const { return directory_; }
  // Standard input, read-only, at its beginning.
  const UniqueFd& input() const { return input_; }

 private:
  explicit Bundle(std::string directory) : directory_(std::move(directory)) {}

  std::string directory_;
  UniqueFd input_;
};

// A file of text or bytes that was not there.
absl::Status WriteNewFile(const std::string& path, const std::string& content, unsigned mode);

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_BUNDLE_H_
