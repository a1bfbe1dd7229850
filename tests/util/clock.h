#ifndef CLOISTER_TESTS_UTIL_CLOCK_H_
#define CLOISTER_TESTS_UTIL_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace cloister::tests {

inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kSecond = 1'000 * kMillisecond;

inline int64_t Nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

inline timespec ToTimespec(int64_t nanoseconds) {
  return {.tv_sec = nanoseconds / kSecond, .tv_nsec = nanoseconds % kSecond};
}

inline int64_t Now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec time = {};
  clock_gettime(clock, &time);
  return Nanoseconds(time);
}

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_CLOCK_H_
