#ifndef CLOISTER_SENTRY_WAIT_POLL_H_
#define CLOISTER_SENTRY_WAIT_POLL_H_

#include <sys/epoll.h>

#include <cstdint>

namespace cloister::wait {

// A set of readiness events: poll(2)'s and epoll(7)'s bits, which are the same numbers.
class Poll {
 public:
  constexpr Poll() = default;
  constexpr explicit Poll(uint32_t bits) : bits_(bits) {}

  constexpr uint32_t bits() const { return bits_; }
  constexpr bool Any(Poll other) const { return (bits_ & other.bits_) != 0; }
  constexpr explicit operator bool() const { return bits_ != 0; }
  friend constexpr Poll operator|(Poll a, Poll b) { return Poll(a.bits_ | b.bits_); }
  friend constexpr Poll operator&(Poll a, Poll b) { return Poll(a.bits_ & b.bits_); }
  friend constexpr bool operator==(Poll a, Poll b) = default;
  Poll& operator|=(Poll other) { return *this = *this | other; }

  static const Poll kNone, kIn, kOut, kPri, kErr, kHup, kRdHup, kAll;

 private:
  uint32_t bits_ = 0;
};

inline constexpr Poll Poll::kNone{0};
inline constexpr Poll Poll::kIn{EPOLLIN | EPOLLRDNORM};
inline constexpr Poll Poll::kOut{EPOLLOUT | EPOLLWRNORM};
inline constexpr Poll Poll::kPri{EPOLLPRI};
inline constexpr Poll Poll::kErr{EPOLLERR};
inline constexpr Poll Poll::kHup{EPOLLHUP};
inline constexpr Poll Poll::kRdHup{EPOLLRDHUP};
inline constexpr Poll Poll::kAll{~0u};

}  // namespace cloister::wait

#endif  // CLOISTER_SENTRY_WAIT_POLL_H_
