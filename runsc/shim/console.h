#ifndef CLOISTER_RUNSC_SHIM_CONSOLE_H_
#define CLOISTER_RUNSC_SHIM_CONSOLE_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"

namespace cloister::shim {

// The socket in the bundle to which runsc sends a terminal's master side (--console-socket). Its file goes
// with the object.
class ConsoleSocket {
 public:
  // name: of the file; plain.
  static absl::StatusOr<ConsoleSocket> Listen(const std::string& bundle, const std::string& name);
  ConsoleSocket(ConsoleSocket&&) = default;
  ~ConsoleSocket();

  // Relative to the bundle, which is runsc's working directory: a bundle's own path is often too long for a
  // socket's address.
  const std::string& name() const { return name_; }

  // After the command has succeeded: it has sent the master by then.
  absl::StatusOr<UniqueFd> Receive();

 private:
  ConsoleSocket(UniqueFd directory, std::string name, UniqueFd listener)
      : directory_(std::move(directory)), name_(std::move(name)), listener_(std::move(listener)) {}

  UniqueFd directory_;
  std::string name_;
  UniqueFd listener_;
};

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_CONSOLE_H_
