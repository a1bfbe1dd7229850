#ifndef CLOISTER_PLATFORM_API_SIDELINE_H_
#define CLOISTER_PLATFORM_API_SIDELINE_H_

namespace cloister::platform {

// What a worker that keeps a core for itself does for the sentry between two calls, so that no other thread
// is woken for it: it looks for the host's events, and decides when tasks that were woken go on. Implemented
// by sentry/wait. One worker at a time; Look, RunHeld and End are called by the one that called Begin.
class Sideline {
 public:
  // From here on the tasks that the calling worker wakes are held back.
  virtual void Begin() = 0;
  // Tells of what the host has to tell by now, and of timers that are due. Never waits.
  virtual void Look() = 0;
  // Lets those who are held back go on; whom they wake in turn is held.
  virtual void RunHeld() = 0;
  // Lets all go on, and no further are held.
  virtual void End() = 0;

 protected:
  ~Sideline() = default;
};

}  // namespace cloister::platform

#endif  // CLOISTER_PLATFORM_API_SIDELINE_H_
