#ifndef CLOISTER_SENTRY_WAIT_PARKER_H_
#define CLOISTER_SENTRY_WAIT_PARKER_H_

#include <atomic>
#include <cstdint>

#include "sentry/wait/block.h"
#include "sentry/wait/poller.h"

namespace cloister::wait {

// What one task parks on, and how it is woken. Owned by the task; one block at a time.
//
// The owner follows: Arm(block); run Step once more; if it still blocks Park(), else Disarm().
// From Park on, the first wake of any kind schedules OnWake() exactly once; until then nothing
// else may touch the task's parked call.
//
// Where OnWake runs: on the thread that woke it, but after that thread has left its own handler
// and locks (WakeScope), so a writer's worker completes the blocked reader's call.
class Parker : private Waiter, private TimerClient {
 public:
  Parker() = default;
  virtual ~Parker() = default;

  // Adds the task to block's queues and its deadline to the timers. Keeps references.
  void Arm(const Block& block);
  // Leaves all queues and drops the deadline. Safe when not armed.
  void Disarm();

  // Parks. False if a wake came since Arm: then still unparked; ask Step again (stay armed).
  bool Park();

  // Wakes the parked task from outside its block: a signal, a stop, a kill. Remembered if it is
  // armed and not parked yet; nothing at all when not armed. Any thread, any lock but a queue's.
  void Interrupt();

  // Whether the block's deadline has passed. For the owner, after a wake.
  bool expired() const { return expired_.load(std::memory_order_acquire); }

 protected:
  // The task was parked and is woken: still armed. Runs at the end of some WakeScope.
  virtual void OnWake() = 0;

 private:
  friend class WakeScope;
  enum class State : uint32_t { kIdle, kArmed, kWoken, kParked };

  struct Link {
    WaitOn on;
    WaitEntry entry;
  };

  void OnEvent(Poll events) override;
  void OnTimer() override;
  void Wake();

  static constexpr size_t kInlineLinks = 2;
  Link inline_links_[kInlineLinks];
  Link* links_ = inline_links_;
  size_t link_count_ = 0;
  std::atomic<State> state_{State::kIdle};
  std::atomic<bool> expired_{false};
  Parker* next_woken_ = nullptr;
};

// Every thread that may notify a queue has one around whatever it does: at its end, the parked
// tasks that were woken meanwhile run their OnWake, until there are none. Nests: the outermost
// one works. A thread without one hands its wake-ups to the poller.
class WakeScope {
 public:
  WakeScope();
  ~WakeScope();
  WakeScope(const WakeScope&) = delete;
  WakeScope& operator=(const WakeScope&) = delete;

  // Notifies queue at the end of the current scope, for callers that hold a lock which a waiter's
  // readiness check takes. keep holds the queue's owner until then.
  static void NotifyLater(Ref<RefCounted> keep, WaitQueue& queue, Poll events);

  // While `holds`, the ends of scopes on the calling thread leave woken tasks to the next RunHeld.
  static void Hold(bool holds);
  // Runs those that were left, by any thread; it holds those that they wake if it holds.
  static void RunHeld();

 private:
  friend class Parker;
  static void Schedule(Parker& parker);
  static void RunNotifies();
  static void RunOne();
  static void LeaveAll();
  bool outermost_;
};

}  // namespace cloister::wait

#endif  // CLOISTER_SENTRY_WAIT_PARKER_H_
