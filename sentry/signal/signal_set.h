#ifndef CLOISTER_SENTRY_SIGNAL_SIGNAL_SET_H_
#define CLOISTER_SENTRY_SIGNAL_SIGNAL_SET_H_

#include <signal.h>

#include <cstdint>

namespace cloister::signal {

inline constexpr int kMaxSignal = 64;      // _NSIG
inline constexpr int kFirstRealTime = 32;  // the kernel's SIGRTMIN

constexpr bool IsValid(int signo) { return signo >= 1 && signo <= kMaxSignal; }

// The kernel's sigset_t on x86-64: bit n-1 is signal n.
class SignalSet {
 public:
  constexpr SignalSet() = default;
  constexpr explicit SignalSet(uint64_t bits) : bits_(bits) {}
  static constexpr SignalSet Of(int signo) { return SignalSet(uint64_t{1} << (signo - 1)); }

  constexpr uint64_t bits() const { return bits_; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool Has(int signo) const { return (bits_ >> (signo - 1) & 1) != 0; }
  constexpr void Add(int signo) { bits_ |= uint64_t{1} << (signo - 1); }
  constexpr void Remove(int signo) { bits_ &= ~(uint64_t{1} << (signo - 1)); }
  constexpr SignalSet Without(SignalSet other) const { return SignalSet(bits_ & ~other.bits_); }
  friend constexpr SignalSet operator|(SignalSet a, SignalSet b) { return SignalSet(a.bits_ | b.bits_); }
  friend constexpr SignalSet operator&(SignalSet a, SignalSet b) { return SignalSet(a.bits_ & b.bits_); }
  friend constexpr SignalSet operator~(SignalSet a) { return SignalSet(~a.bits_); }
  friend constexpr bool operator==(SignalSet, SignalSet) = default;

 private:
  uint64_t bits_ = 0;
};

// Signals that can be neither caught, blocked nor ignored.
inline constexpr SignalSet kUnblockable = SignalSet::Of(SIGKILL) | SignalSet::Of(SIGSTOP);
// Signals whose default is to stop the process.
inline constexpr SignalSet kStopSignals =
    SignalSet::Of(SIGSTOP) | SignalSet::Of(SIGTSTP) | SignalSet::Of(SIGTTIN) | SignalSet::Of(SIGTTOU);
// Signals that a fault of the thread itself raises; delivered first.
inline constexpr SignalSet kSynchronous = SignalSet::Of(SIGSEGV) | SignalSet::Of(SIGBUS) |
                                          SignalSet::Of(SIGILL) | SignalSet::Of(SIGTRAP) |
                                          SignalSet::Of(SIGFPE) | SignalSet::Of(SIGSYS);

}  // namespace cloister::signal

#endif  // CLOISTER_SENTRY_SIGNAL_SIGNAL_SET_H_
