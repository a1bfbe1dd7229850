#ifndef CLOISTER_RUNSC_SHIM_BUNDLE_FILES_H_
#define CLOISTER_RUNSC_SHIM_BUNDLE_FILES_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace cloister::shim {

// Replaces a file of the bundle at once (temporary file, rename(2)). Mode 0600.
absl::Status WriteInBundle(const std::string& bundle, std::string_view name, std::string_view text);

// The pid that runsc has left in a file. Data loss where it is none.
absl::StatusOr<int> ReadPidFile(const std::string& path);

// The message of the last error in a log that runsc has written as JSON lines; empty where there is none.
std::string LastError(const std::string& log_path);

// What config.json says in annotations; empty where it cannot be read. Pods group their containers by it.
std::string Annotation(const std::string& bundle, std::string_view name);

// Whether a name that came with a request may become part of a file's name.
bool IsPlainName(std::string_view name);

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_BUNDLE_FILES_H_
