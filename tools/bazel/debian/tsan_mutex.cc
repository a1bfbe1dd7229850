// Tells ThreadSanitizer what absl's locks do. Debian's libabsl is not instrumented: without this a
// field under an absl::Mutex looks unguarded. The linker (--wrap, see BUILD.bazel) sends every call of
// these functions here; absl built with the sanitizer says the same by itself.
//
// Between a _pre_ and its _post_ call the sanitizer ignores this thread's accesses: absl evaluates
// other threads' conditions inside Unlock.

#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

using absl::BlockingCounter;
using absl::Condition;
using absl::CondVar;
using absl::Duration;
using absl::Mutex;
using absl::Notification;
using absl::Time;

namespace {

constexpr unsigned kRead = __tsan_mutex_read_lock;

template <typename Call>
void Locking(Mutex* mu, unsigned flags, Call call) {
  __tsan_mutex_pre_lock(mu, flags);
  call();
  __tsan_mutex_post_lock(mu, flags, 0);
}

template <typename Call>
bool Trying(Mutex* mu, unsigned flags, Call call) {
  flags |= __tsan_mutex_try_lock;
  __tsan_mutex_pre_lock(mu, flags);
  const bool locked = call();
  __tsan_mutex_post_lock(mu, locked ? flags : flags | __tsan_mutex_try_lock_failed, 0);
  return locked;
}

template <typename Call>
void Unlocking(Mutex* mu, unsigned flags, Call call) {
  __tsan_mutex_pre_unlock(mu, flags);
  call();
  __tsan_mutex_post_unlock(mu, flags);
}

// Lets go of the lock and has it again afterwards.
template <typename Call>
auto Waiting(Mutex* mu, Call call) {
  __tsan_mutex_pre_unlock(mu, 0);
  const auto result = call();
  __tsan_mutex_post_unlock(mu, 0);
  __tsan_mutex_pre_lock(mu, 0);
  __tsan_mutex_post_lock(mu, 0, 0);
  return result;
}

}  // namespace

// The names are the members' mangled ones; `this` is their first argument.
#define CLOISTER_WRAP(result, name, ...)        \
  extern "C" result __real_##name(__VA_ARGS__); \
  extern "C" result __wrap_##name(__VA_ARGS__)

// Mutex: ~Mutex, Lock, Unlock, TryLock, ReaderLock, ReaderUnlock, ReaderTryLock.
CLOISTER_WRAP(void, _ZN4absl7debian35MutexD1Ev, Mutex* mu) {
  __tsan_mutex_destroy(mu, __tsan_mutex_not_static);
  __real__ZN4absl7debian35MutexD1Ev(mu);
}
CLOISTER_WRAP(void, _ZN4absl7debian35Mutex4LockEv, Mutex* mu) {
  Locking(mu, 0, [=] { __real__ZN4absl7debian35Mutex4LockEv(mu); });
}
CLOISTER_WRAP(void, _ZN4absl7debian35Mutex6UnlockEv, Mutex* mu) {
  Unlocking(mu, 0, [=] { __real__ZN4absl7debian35Mutex6UnlockEv(mu); });
}
CLOISTER_WRAP(bool, _ZN4absl7debian35Mutex7TryLockEv, Mutex* mu) {
  return Trying(mu, 0, [=] { return __real__ZN4absl7debian35Mutex7TryLockEv(mu); });
}
CLOISTER_WRAP(void, _ZN4absl7debian35Mutex10ReaderLockEv, Mutex* mu) {
  Locking(mu, kRead, [=] { __real__ZN4absl7debian35Mutex10ReaderLockEv(mu); });
}
CLOISTER_WRAP(void, _ZN4absl7debian35Mutex12ReaderUnlockEv, Mutex* mu) {
  Unlocking(mu, kRead, [=] { __real__ZN4absl7debian35Mutex12ReaderUnlockEv(mu); });
}
CLOISTER_WRAP(bool, _ZN4absl7debian35Mutex13ReaderTryLockEv, Mutex* mu) {
  return Trying(mu, kRead, [=] { return __real__ZN4absl7debian35Mutex13ReaderTryLockEv(mu); });
}

// Mutex: LockWhen, ReaderLockWhen, Await, AwaitWithTimeout, AwaitWithDeadline.
CLOISTER_WRAP(void, _ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE, Mutex* mu, const Condition& when) {
  Locking(mu, 0, [&] { __real__ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE(mu, when); });
}
CLOISTER_WRAP(void, _ZN4absl7debian35Mutex14ReaderLockWhenERKNS0_9ConditionE, Mutex* mu,
              const Condition& when) {
  Locking(mu, kRead, [&] { __real__ZN4absl7debian35Mutex14ReaderLockWhenERKNS0_9ConditionE(mu, when); });
}
CLOISTER_WRAP(void, _ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE, Mutex* mu, const Condition& when) {
  Waiting(mu, [&] { return __real__ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE(mu, when), true; });
}
CLOISTER_WRAP(bool, _ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE, Mutex* mu,
              const Condition& when, Duration patience) {
  return Waiting(mu, [&] {
    return __real__ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE(mu, when,
                                                                                           patience);
  });
}
CLOISTER_WRAP(bool, _ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE, Mutex* mu,
              const Condition& when, Time until) {
  return Waiting(mu, [&] {
    return __real__ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE(mu, when, until);
  });
}

// CondVar: Wait, WaitWithTimeout, WaitWithDeadline.
CLOISTER_WRAP(void, _ZN4absl7debian37CondVar4WaitEPNS0_5MutexE, CondVar* cv, Mutex* mu) {
  Waiting(mu, [=] { return __real__ZN4absl7debian37CondVar4WaitEPNS0_5MutexE(cv, mu), true; });
}
CLOISTER_WRAP(bool, _ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE, CondVar* cv,
              Mutex* mu, Duration patience) {
  return Waiting(mu, [=] {
    return __real__ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE(cv, mu, patience);
  });
}
CLOISTER_WRAP(bool, _ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE, CondVar* cv, Mutex* mu,
              Time until) {
  return Waiting(mu, [=] {
    return __real__ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE(cv, mu, until);
  });
}

// Notification: Notify, WaitForNotification, …WithTimeout, …WithDeadline.
CLOISTER_WRAP(void, _ZN4absl7debian312Notification6NotifyEv, Notification* told) {
  __tsan_release(told);
  __real__ZN4absl7debian312Notification6NotifyEv(told);
}
CLOISTER_WRAP(void, _ZNK4absl7debian312Notification19WaitForNotificationEv, Notification* told) {
  __real__ZNK4absl7debian312Notification19WaitForNotificationEv(told);
  __tsan_acquire(told);
}
CLOISTER_WRAP(bool, _ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE,
              Notification* told, Duration patience) {
  const bool in_time =
      __real__ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE(told, patience);
  if (in_time) __tsan_acquire(told);
  return in_time;
}

CLOISTER_WRAP(bool, _ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE,
              Notification* told, Time until) {
  const bool in_time =
      __real__ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE(told, until);
  if (in_time) __tsan_acquire(told);
  return in_time;
}

// BlockingCounter: DecrementCount, Wait.
CLOISTER_WRAP(bool, _ZN4absl7debian315BlockingCounter14DecrementCountEv, BlockingCounter* counter) {
  __tsan_release(counter);
  return __real__ZN4absl7debian315BlockingCounter14DecrementCountEv(counter);
}
CLOISTER_WRAP(void, _ZN4absl7debian315BlockingCounter4WaitEv, BlockingCounter* counter) {
  __real__ZN4absl7debian315BlockingCounter4WaitEv(counter);
  __tsan_acquire(counter);
}

// What absl keeps of the order of locks lies behind a spin lock that the sanitizer does not see either.
extern "C" const char* __tsan_default_suppressions() {
  return "race:synchronization_internal::GraphCycles\n";
}
