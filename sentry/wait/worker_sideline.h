#ifndef CLOISTER_SENTRY_WAIT_WORKER_SIDELINE_H_
#define CLOISTER_SENTRY_WAIT_WORKER_SIDELINE_H_

#include "platform/api/sideline.h"

namespace cloister::wait {

// A platform's worker that keeps a core does the poller's work, and decides when the tasks go on that it
// wakes. Stateless: what there is belongs to the poller and to WakeScope.
class WorkerSideline final : public platform::Sideline {
 public:
  void Begin() override;
  void Look() override;
  void RunHeld() override;
  void End() override;
};

}  // namespace cloister::wait

#endif  // CLOISTER_SENTRY_WAIT_WORKER_SIDELINE_H_
