#ifndef CLOISTER_SENTRY_MM_RANDOM_H_
#define CLOISTER_SENTRY_MM_RANDOM_H_

#include <cstdint>

#include "base/host/random.h"

namespace cloister::mm {

// For the places of mappings: a number below bound (not 0).
inline uint64_t RandomBelow(uint64_t bound) { return RandomWord() % bound; }

}  // namespace cloister::mm

#endif  // CLOISTER_SENTRY_MM_RANDOM_H_
