#ifndef CLOISTER_SENTRY_MM_RANDOM_H_
#define CLOISTER_SENTRY_MM_RANDOM_H_

#include <sys/random.h>

#include <cstdint>
#include <cstdlib>

namespace cloister::mm {

// For the places of mappings: a number below bound (not 0). Without randomness nothing may run.
inline uint64_t RandomBelow(uint64_t bound) {
  uint64_t number = 0;
  if (getrandom(&number, sizeof(number), 0) != static_cast<ssize_t>(sizeof(number))) abort();
  return number % bound;
}

}  // namespace cloister::mm

#endif  // CLOISTER_SENTRY_MM_RANDOM_H_
