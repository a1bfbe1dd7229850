#ifndef CLOISTER_TESTS_UTIL_SIGNALS_H_
#define CLOISTER_TESTS_UTIL_SIGNALS_H_

#include <signal.h>

#include <initializer_list>

#include "gtest/gtest.h"

namespace cloister::tests {

inline sigset_t SignalSet(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  return set;
}

// Installs an action for the scope's time.
class ScopedSigaction {
 public:
  using Handler = void (*)(int);
  using InfoHandler = void (*)(int, siginfo_t*, void*);

  ScopedSigaction(int signal, Handler handler, int flags = 0, sigset_t mask = SignalSet({}))
      : signal_(signal) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    action.sa_mask = mask;
    EXPECT_EQ(sigaction(signal, &action, &old_), 0);
  }
  ScopedSigaction(int signal, InfoHandler handler, int flags = 0, sigset_t mask = SignalSet({}))
      : signal_(signal) {
    struct sigaction action = {};
    action.sa_sigaction = handler;
    action.sa_flags = flags | SA_SIGINFO;
    action.sa_mask = mask;
    EXPECT_EQ(sigaction(signal, &action, &old_), 0);
  }
  ScopedSigaction(const ScopedSigaction&) = delete;
  ~ScopedSigaction() { sigaction(signal_, &old_, nullptr); }

 private:
  int signal_;
  struct sigaction old_ = {};
};

// Blocks (or unblocks) signals of the calling thread for the scope's time.
class ScopedSigmask {
 public:
  ScopedSigmask(int how, std::initializer_list<int> signals) {
    const sigset_t set = SignalSet(signals);
    EXPECT_EQ(pthread_sigmask(how, &set, &old_), 0);
  }
  ScopedSigmask(const ScopedSigmask&) = delete;
  ~ScopedSigmask() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

 private:
  sigset_t old_;
};

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_SIGNALS_H_
