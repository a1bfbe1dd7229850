#include "sentry/wait/worker_sideline.h"

#include "sentry/wait/parker.h"
#include "sentry/wait/poller.h"

namespace cloister::wait {

void WorkerSideline::Begin() {
  WakeScope::Hold(true);
  Poller::Get().TakeOver();
}

void WorkerSideline::Look() { Poller::Get().Look(); }

void WorkerSideline::RunHeld() { WakeScope::RunHeld(); }

void WorkerSideline::End() {
  WakeScope::Hold(false);
  Poller::Get().GiveBack();
  WakeScope::RunHeld();
}

}  // namespace cloister::wait
