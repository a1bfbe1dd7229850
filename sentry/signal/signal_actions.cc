#include "sentry/signal/signal_actions.h"

#include <signal.h>

namespace cloister::signal {

Default DefaultOf(int signo) {
  switch (signo) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
      return Default::kIgnore;
    case SIGCONT:
      return Default::kContinue;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
      return Default::kStop;
    case SIGQUIT:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS:
      return Default::kCore;
    default:
      return Default::kTerminate;
  }
}

Action SignalActions::Get(int signo) const {
  absl::MutexLock lock(&mu_);
  return actions_[signo - 1];
}

Action SignalActions::Set(int signo, const Action& action) {
  absl::MutexLock lock(&mu_);
  const Action old = actions_[signo - 1];
  actions_[signo - 1] = action;
  actions_[signo - 1].mask &= ~kUnblockable.bits();
  return old;
}

Action SignalActions::TakeForDelivery(int signo) {
  absl::MutexLock lock(&mu_);
  const Action action = actions_[signo - 1];
  if (!action.is_default() && !action.is_ignore() && (action.flags & SA_RESETHAND))
    actions_[signo - 1].handler = 0;
  return action;
}

bool SignalActions::Ignores(int signo) const {
  absl::MutexLock lock(&mu_);
  const Action& action = actions_[signo - 1];
  return action.is_ignore() || (action.is_default() && DefaultOf(signo) == Default::kIgnore);
}

Ref<SignalActions> SignalActions::Copy() const {
  Ref<SignalActions> copy = MakeRef<SignalActions>();
  absl::MutexLock lock(&mu_);
  absl::MutexLock copy_lock(&copy->mu_);
  for (int i = 0; i < kMaxSignal; ++i) copy->actions_[i] = actions_[i];
  return copy;
}

void SignalActions::ResetHandlers() {
  absl::MutexLock lock(&mu_);
  for (Action& action : actions_) {
    if (!action.is_ignore()) action.handler = 0;
    action.flags = 0;
    action.mask = 0;
    action.restorer = 0;
  }
}

}  // namespace cloister::signal
