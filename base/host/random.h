#ifndef CLOISTER_BASE_HOST_RANDOM_H_
#define CLOISTER_BASE_HOST_RANDOM_H_

#include <cstdint>

namespace cloister {

// 64 bits that nobody can guess, getrandom(2). Ends the process where there are none: without them nothing
// may run. Thread-safe.
uint64_t RandomWord();

}  // namespace cloister

#endif  // CLOISTER_BASE_HOST_RANDOM_H_
