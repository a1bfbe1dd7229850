#ifndef CLOISTER_PLATFORM_PROCESS_WAIT_STATUS_H_
#define CLOISTER_PLATFORM_PROCESS_WAIT_STATUS_H_

#include <signal.h>

namespace cloister::process {

// wait(2)'s status for what waitid(2) tells of an end.
inline int WaitStatus(const siginfo_t& info) {
  constexpr int kDumped = 0x80;
  if (info.si_code == CLD_EXITED) return (info.si_status & 0xff) << 8;
  return (info.si_status & 0x7f) | (info.si_code == CLD_DUMPED ? kDumped : 0);
}

}  // namespace cloister::process

#endif  // CLOISTER_PLATFORM_PROCESS_WAIT_STATUS_H_
