#ifndef CLOISTER_RUNSC_SERVE_HOST_H_
#define CLOISTER_RUNSC_SERVE_HOST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/host/reaper.h"
#include "runsc/serve/request.h"

namespace cloister::serve {

// What all sandboxes of one server share. Immutable once made; the directory is removed with it.
class Host {
 public:
  struct Options {
    std::string runsc;     // its path
    std::string platform;  // where a request names none; empty: what the host allows
    std::string temporary = "/tmp";
    Bounds bounds;
  };

  // Makes a directory of the server's own, and asks runsc what it can do.
  static absl::StatusOr<Host> Make(Options options, Reaper* reaper);
  Host(Host&& other) noexcept;
  Host& operator=(Host&&) = delete;
  ~Host();

  const Options& options() const { return options_; }
  Reaper& reaper() const { return *reaper_; }
  const std::string& directory() const { return directory_; }
  std::string StateRoot() const { return directory_ + "/state"; }  // runsc's --root
  std::string Runner() const { return directory_ + "/runner"; }
  uint32_t handlers() const { return handlers_; }  // system calls that the sandbox's kernel serves

 private:
  Host(Options options, Reaper* reaper, std::string directory);
  absl::Status CountHandlers();

  const Options options_;
  Reaper* const reaper_;
  std::string directory_;
  uint32_t handlers_ = 0;
};

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_HOST_H_
