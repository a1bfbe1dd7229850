#ifndef CLOISTER_SENTRY_TASK_SESSION_H_
#define CLOISTER_SENTRY_TASK_SESSION_H_

#include <sys/types.h>

#include <string>

#include "base/own/ref.h"

namespace cloister::task {

class Session;

// What job control needs of a terminal; implemented by sentry/fs/tty.
class ControllingTerminal : public RefCounted {
 public:
  // st_rdev as /proc/PID/stat shows it, and "pts/0".
  virtual dev_t device() const = 0;
  virtual std::string name() const = 0;
  // Foreground process group, 0: none.
  virtual pid_t foreground_group() const = 0;
  // The session's leader has ended: the terminal is free, its foreground group gets SIGHUP and SIGCONT
  // (returned group; the task layer sends).
  virtual pid_t Disassociate() = 0;
};

// Process groups between which a terminal moves. Ids are guest pids; guarded by Kernel::tree_mu().
class Session : public RefCounted {
 public:
  explicit Session(pid_t id) : id_(id) {}
  pid_t id() const { return id_; }

  // Guarded by Kernel::tree_mu().
  Ref<ControllingTerminal> terminal;

 private:
  const pid_t id_;
};

class ProcessGroup : public RefCounted {
 public:
  ProcessGroup(pid_t id, Ref<Session> session) : id_(id), session_(std::move(session)) {}
  pid_t id() const { return id_; }
  const Ref<Session>& session() const { return session_; }

 private:
  const pid_t id_;
  const Ref<Session> session_;
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_SESSION_H_
