#ifndef CLOISTER_PLATFORM_SYSTRAP_CORE_H_
#define CLOISTER_PLATFORM_SYSTRAP_CORE_H_

#include <sys/types.h>

#include <functional>
#include <memory>

#include "platform/systrap/arena.h"
#include "platform/systrap/births.h"
#include "platform/systrap/host_process.h"
#include "platform/systrap/housekeeper.h"
#include "platform/systrap/listener.h"
#include "platform/systrap/rests.h"
#include "platform/systrap/thread_table.h"
#include "platform/systrap/turns.h"
#include "platform/systrap/watch.h"

namespace cloister::systrap {

// What the threads, workers and reaper of one platform share. Lives as long as the platform.
struct Core {
  Core(std::unique_ptr<Arena> arena_in, uint32_t slot_limit_in, int cores, bool spin,
       platform::Sideline* sideline)
      : arena(std::move(arena_in)),
        slot_limit(slot_limit_in),
        turns(cores, &threads),
        housekeeper(&births),
        watch(&turns, cores, spin, sideline) {}

  const std::unique_ptr<Arena> arena;
  const uint32_t slot_limit;                     // threads of one address space
  std::unique_ptr<Listener> listener;            // set once, before anything runs
  std::function<void(pid_t)> on_killed_outside;  // SystrapOptions'; may be empty
  std::function<void(pid_t)> on_zygote_dead;     // likewise
  bool suggests_patches = true;                  // SystrapOptions'
  bool native_futexes = true;                    // likewise
  bool native_reads = true;                      // likewise
  ThreadTable threads;
  Turns turns;
  Rests rests{&threads};
  Processes processes;
  Births births;
  Housekeeper housekeeper;
  Watch watch;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_CORE_H_
