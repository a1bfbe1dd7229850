#ifndef CLOISTER_RUNSC_SERVE_TRACE_H_
#define CLOISTER_RUNSC_SERVE_TRACE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "runsc/serve/serve.pb.h"

namespace cloister::serve {

// One line of the debug log under --strace (sentry/syscalls/trace.cc); nothing if it tells of something else.
// Strings of the guest stand in it escaped, so that none can look like the end of an argument or line.
std::optional<Syscall> ParseTraceLine(std::string_view line);

// Cuts a stream into lines. One that is too long is dropped.
class LineSplitter {
 public:
  static constexpr size_t kMaxLine = 64 << 10;

  void Add(std::string_view bytes);
  // The next whole line, without its end; valid until the next Add().
  std::optional<std::string_view> Next();

 private:
  std::string pending_;
  size_t taken_ = 0;       // of pending_
  bool dropping_ = false;  // the rest of a line that is too long
};

// Which calls were answered, and how. Not thread-safe.
class CoverageCounter {
 public:
  void Count(const Syscall& call);
  uint64_t calls() const { return calls_; }
  // handlers: how many the kernel has.
  Coverage Sum(uint32_t handlers) const;

 private:
  uint64_t calls_ = 0;
  std::map<std::pair<std::string, std::string>, uint64_t> answers_;  // by name and error
};

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_TRACE_H_
