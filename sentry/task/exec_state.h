#ifndef CLOISTER_SENTRY_TASK_EXEC_STATE_H_
#define CLOISTER_SENTRY_TASK_EXEC_STATE_H_

#include <sys/types.h>

#include <cstddef>

#include "base/own/ref.h"
#include "platform/api/guest_thread.h"
#include "sentry/auth/credentials.h"
#include "sentry/loader/loader.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/task/outcome.h"

namespace cloister::task {

// An execve(2) that will not fail any more, and what is left to be put into the new memory.
struct ExecState {
  Ref<platform::GuestThread> thread;  // until it is the task's own, and its memory too
  Ref<mm::MemoryManager> mm;
  ExecControl control;
  auth::Credentials credentials;
  bool secure = false;
  loader::Image image;
  size_t ops_done = 0;
  bool in_place = false;  // in the host process of the program before
  pid_t old_tid = 0;      // of the thread that called
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_EXEC_STATE_H_
