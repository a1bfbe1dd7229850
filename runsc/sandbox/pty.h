#ifndef CLOISTER_RUNSC_SANDBOX_PTY_H_
#define CLOISTER_RUNSC_SANDBOX_PTY_H_

#include <termios.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"

namespace cloister::sandbox {

// A pseudoterminal of the host, pty(7). The container's side is slave.
struct Pty {
  UniqueFd master;
  UniqueFd slave;
  std::string name;  // "/dev/pts/3"
};

// rows and columns 0: the size stays 0x0, as a new pty has it.
absl::StatusOr<Pty> OpenPty(uint32_t rows, uint32_t columns);

// Hands the master to whoever listens on the console socket: one message with the name and one
// descriptor, as runc does it.
absl::Status SendConsole(const std::string& socket_path, const Pty& pty);

// The caller's terminal in raw mode for the life of this object. Nothing where fd is no terminal.
class RawTerminal {
 public:
  explicit RawTerminal(int fd);
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();

 private:
  const int fd_;
  bool changed_ = false;
  termios before_ = {};
};

// Gives `to` the window size of `from`; nothing where from has none.
void CopyWindowSize(int from, int to);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_PTY_H_
