#ifndef CLOISTER_RUNSC_SHIM_STDIO_H_
#define CLOISTER_RUNSC_SHIM_STDIO_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/host/reaper.h"
#include "base/host/unique_fd.h"

namespace cloister::shim {

// Where a process' streams go, as a request names it: a FIFO that containerd or its client has made, a plain
// file, "file:///path", "binary:///path?argument=value" (a logger that is started with the streams as its
// descriptors 3 and 4), or empty for /dev/null.
struct StdioPaths {
  std::string in, out, err;
  bool terminal = false;
};

// A process' streams. FIFOs are handed to the process itself, so that no byte passes through the shim and the
// output goes on when the shim is dead; the shim keeps their other ends, so that a reader that goes away for
// a while (containerd is restarted) neither ends nor kills the process. Only a terminal is copied, by a
// thread of its own.
class Stdio {
 public:
  // Blocks for a logger until that is ready. id, name_space: for loggers.
  static absl::StatusOr<std::unique_ptr<Stdio>> Open(const StdioPaths& paths, const std::string& id,
                                                     const std::string& name_space, Reaper* reaper);
  ~Stdio();

  // For runsc to pass on as 0, 1 and 2; valid until Started().
  std::vector<int> fds() const;

  // The process has them: closes the shim's copies. master: the terminal's, where there is one.
  absl::Status Started(UniqueFd master) ABSL_LOCKS_EXCLUDED(mu_);

  // No more input will come.
  void CloseInput() ABSL_LOCKS_EXCLUDED(mu_);

  // Failed precondition without a terminal.
  absl::Status Resize(uint32_t width, uint32_t height) ABSL_LOCKS_EXCLUDED(mu_);

  // The process has ended: copies what a terminal still holds, and stops.
  void Ended() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Copier;

  explicit Stdio(bool terminal) : terminal_(terminal) {}
  absl::Status OpenInput(const std::string& path);
  absl::Status OpenOutputs(const StdioPaths& paths);
  absl::Status StartLogger(const std::string& uri, const std::string& id, const std::string& name_space,
                           Reaper* reaper);

  const bool terminal_;
  UniqueFd in_, out_, err_;                     // the process' ends, until Started()  NOLINT
  std::vector<UniqueFd> kept_;                  // the other ends of output FIFOs  NOLINT
  absl::Mutex mu_;                              // leaf
  UniqueFd input_writer_ ABSL_GUARDED_BY(mu_);  // keeps the input FIFO from ending
  std::shared_ptr<Copier> copier_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_STDIO_H_
