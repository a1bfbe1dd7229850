#ifndef CLOISTER_SENTRY_FS_PROC_PROCESS_STATE_H_
#define CLOISTER_SENTRY_FS_PROC_PROCESS_STATE_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "sentry/fs/proc/subject.h"
#include "sentry/signal/signal_set.h"

namespace cloister::proc {

// What stat and status have in common, read at one moment.
struct ProcessState {
  std::string name;
  char letter = 'Z';
  pid_t parent = 0;
  pid_t tracer = 0;
  pid_t process_group = 0;
  pid_t session = 0;
  uint64_t terminal = 0;  // as /proc/PID/stat encodes it
  pid_t foreground = -1;
  size_t threads = 0;
  int exit_signal = 0;
  bool has_execed = false;
  int nice = 0;
  uint64_t cpu_ns = 0;
  uint64_t children_cpu_ns = 0;
  uint64_t start_ns = 0;  // since boot
  signal::SignalSet pending, group_pending, blocked, ignored, caught;
  size_t queued = 0;
  bool no_new_privs = false;
  int seccomp_mode = 0;
  uint32_t seccomp_filters = 0;
};

// kSrch where it is gone.
ErrnoOr<ProcessState> ReadState(const Subject& subject);

// "R (running)" of a letter.
std::string_view StateName(char letter);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_PROCESS_STATE_H_
