#ifndef CLOISTER_PLATFORM_PROCESS_OWN_SIGNALS_H_
#define CLOISTER_PLATFORM_PROCESS_OWN_SIGNALS_H_

#include <signal.h>

namespace cloister::process {

// While it lives, threads that the calling one makes begin with a mask that leaves them only the signals that
// they raise themselves: one for the sentry must not be handled by these.
class OwnSignalsOnly {
 public:
  OwnSignalsOnly() {
    sigset_t others;
    sigfillset(&others);
    for (const int own : {SIGSYS, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT}) sigdelset(&others, own);
    pthread_sigmask(SIG_SETMASK, &others, &before_);
  }
  ~OwnSignalsOnly() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  OwnSignalsOnly(const OwnSignalsOnly&) = delete;
  OwnSignalsOnly& operator=(const OwnSignalsOnly&) = delete;

 private:
  sigset_t before_;
};

}  // namespace cloister::process

#endif  // CLOISTER_PLATFORM_PROCESS_OWN_SIGNALS_H_
