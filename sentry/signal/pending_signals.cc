#include "sentry/signal/pending_signals.h"

#include <bit>

namespace cloister::signal {

bool PendingSignals::Add(const siginfo_t& info, size_t max_queued) {
  const int signo = info.si_signo;
  if (signo < kFirstRealTime && set_.Has(signo)) return false;
  if (signo >= kFirstRealTime && queue_.size() >= max_queued) return false;
  queue_.push_back(info);
  set_.Add(signo);
  return true;
}

std::optional<siginfo_t> PendingSignals::Take(SignalSet wanted) {
  SignalSet candidates = set_ & wanted;
  if (candidates.empty()) return std::nullopt;
  if (!(candidates & kSynchronous).empty()) candidates = candidates & kSynchronous;
  const int signo = std::countr_zero(candidates.bits()) + 1;
  std::optional<siginfo_t> taken;
  bool more = false;
  for (auto it = queue_.begin(); it != queue_.end();) {
    if (it->si_signo != signo) {
      ++it;
    } else if (!taken.has_value()) {
      taken = *it;
      it = queue_.erase(it);
    } else {
      more = true;
      break;
    }
  }
  if (!more) set_.Remove(signo);
  return taken;
}

std::vector<siginfo_t> PendingSignals::Peek(uint64_t skip, size_t count) const {
  std::vector<siginfo_t> infos;
  for (size_t i = skip; i < queue_.size() && infos.size() < count; ++i) infos.push_back(queue_[i]);
  return infos;
}

void PendingSignals::Discard(SignalSet signals) {
  std::erase_if(queue_, [&](const siginfo_t& info) { return signals.Has(info.si_signo); });
  set_ = set_.Without(signals);
}

void PendingSignals::DiscardTimer(int timer_id) {
  std::erase_if(queue_, [timer_id](const siginfo_t& info) {
    return info.si_code == SI_TIMER && info.si_timerid == timer_id;
  });
  set_ = {};
  for (const siginfo_t& info : queue_) set_.Add(info.si_signo);
}

}  // namespace cloister::signal
