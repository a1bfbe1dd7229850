#ifndef CLOISTER_SENTRY_TASK_EXEC_STATE_H_
#define CLOISTER_SENTRY_TASK_EXEC_STATE_H_

#include <sys/types.h>

#include <cstddef>

#include "sentry/loader/loader.h"

namespace cloister::task {

// An execve(2) past the point of no return: what is left to be put into the new memory.
struct ExecState {
  loader::Image image;
  size_t ops_done = 0;
  pid_t old_tid = 0;  // of the thread that called
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_EXEC_STATE_H_
