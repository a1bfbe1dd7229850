#ifndef CLOISTER_PLATFORM_SYSTRAP_CROWD_H_
#define CLOISTER_PLATFORM_SYSTRAP_CROWD_H_

#include <atomic>
#include <cstdint>

#include "platform/api/sideline.h"
#include "platform/systrap/call_rate.h"

namespace cloister::systrap {

// Guests that want all cores and do little but call, as two ends of a pipe do: one worker takes a core from
// them and serves them all from there (a call by the doorbell costs some 12 us of a core, one that is watched
// 1). It decides, too, when a task that was woken goes on: as soon as no guest runs, since then the other
// core is free for it, or a little later. So two that talk to each other do not change places for each word.
class Crowd {
 public:
  // sideline: may be null.
  explicit Crowd(platform::Sideline* sideline) : sideline_(sideline) {}

  CallRate& rate() { return rate_; }

  // The core that the guests are to keep off; -1: there is no crowd.
  int core() const { return core_.load(std::memory_order_relaxed); }

  // Whether one pays at the moment, as far as can be told. running: guest threads.
  bool MayBegin(int running, int64_t now) {
    return now >= not_before_.load(std::memory_order_relaxed) && rate_.LeavesCore(running, now);
  }
  // The calling worker is its server from here on, on the core where it is. False: another one is.
  bool Begin(int64_t now);
  void End(int64_t now);

  // The server, between two calls.
  void BetweenCalls(int running, int64_t now);

 private:
  platform::Sideline* const sideline_;
  CallRate rate_;
  std::atomic<int> core_{-1};
  std::atomic<int64_t> not_before_{0};
  int64_t began_ = 0, pause_ = 0;  // the server's; how long there is none after a short one
  int64_t looked_ = 0, ran_ = 0;   // the server's
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_CROWD_H_
