#include "sentry/ipc/ipc_namespace.h"

#include "sentry/ipc/message_queues.h"
#include "sentry/ipc/mqueue_limits.h"
#include "sentry/ipc/semaphore_sets.h"
#include "sentry/ipc/shared_segments.h"

namespace cloister::ipc {

IpcNamespace::IpcNamespace()
    : segments_(MakeRef<SharedSegments>()),
      semaphores_(MakeRef<SemaphoreSets>()),
      messages_(MakeRef<MessageQueues>()),
      mqueue_limits_(MakeRef<MqueueLimits>()) {}

IpcNamespace::~IpcNamespace() = default;

Ref<RefCounted> IpcNamespace::Mqueue(absl::FunctionRef<Ref<RefCounted>()> make) {
  absl::MutexLock lock(&mu_);
  if (!mqueue_) mqueue_ = make();
  return mqueue_;
}

}  // namespace cloister::ipc
