#ifndef CLOISTER_RUNSC_PROGRAM_CALL_LOG_H_
#define CLOISTER_RUNSC_PROGRAM_CALL_LOG_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "runsc/program/program.h"

namespace cloister::program {

// What came of a program's calls. In memory that is shared with the process that makes them, which may end,
// or write anything, at any time: whoever reads it checks what it reads.
struct CallLog {
  enum State : uint32_t { kMade, kDone, kWaits };
  struct Entry {
    uint32_t index;  // the call's in the program
    std::atomic<State> state;
    std::atomic<int64_t> result;  // of kDone
  };

  std::atomic<uint32_t> begun;  // entries whose index is set
  std::array<Entry, kMostCalls> entries;
};

}  // namespace cloister::program

#endif  // CLOISTER_RUNSC_PROGRAM_CALL_LOG_H_
