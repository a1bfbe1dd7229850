#ifndef CLOISTER_PLATFORM_SYSTRAP_DISPATCHER_H_
#define CLOISTER_PLATFORM_SYSTRAP_DISPATCHER_H_

#include <linux/seccomp.h>

#include "platform/systrap/core.h"

namespace cloister::systrap {

// Takes notifications from the listener to the threads they concern.
class Dispatcher {
 public:
  explicit Dispatcher(Core* core) : core_(core) {}

  // Body of a worker thread; returns after Turns::Stop, or when no stub is left.
  void Work();
  // Waits for one notification and handles it: what boots the zygote before there are workers.
  // False if there is no stub any more.
  bool ServeOne();
  // Body of the reaper's thread: waits for any child of the sentry, all of which are stubs. Returns
  // when there is none left, or when `done` is set and no stub is left.
  void Reap(const std::atomic<bool>& done);

  // Whether the calling thread is one that runs Work.
  static bool IsWorker();
  // The calling worker watches (Core::watch) before it listens again.
  static void SpinNext();

 private:
  void Handle(const seccomp_notif& notif);
  void Hello(const seccomp_notif& notif, uint64_t token);
  Ref<Thread> FirstRing(const seccomp_notif& notif);
  bool IsWhatItSays(Thread& child, const seccomp_notif& notif);

  Core* const core_;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_DISPATCHER_H_
