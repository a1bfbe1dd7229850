#ifndef CLOISTER_RUNSC_INSTALL_CONFIG_FILE_H_
#define CLOISTER_RUNSC_INSTALL_CONFIG_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace cloister::install {

// A file's text; empty where there is no file.
absl::StatusOr<std::string> ReadConfig(const std::string& path);

// Puts text into a file at once: a temporary file beside it, flushed, with the mode and owner of the old one,
// then rename(2). The old file stays as PATH.before-runsc. An empty text removes the file instead. A symbolic
// link is followed. After an error the file is as it was.
absl::Status ReplaceConfig(const std::string& path, const std::string& text);

}  // namespace cloister::install

#endif  // CLOISTER_RUNSC_INSTALL_CONFIG_FILE_H_
