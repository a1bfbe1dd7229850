#ifndef CLOISTER_SENTRY_IPC_IPC_NAMESPACE_H_
#define CLOISTER_SENTRY_IPC_IPC_NAMESPACE_H_

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"

namespace cloister::ipc {

class MessageQueues;
class MqueueLimits;
class SemaphoreSets;
class SharedSegments;

// System V objects and POSIX message queues that a set of tasks can name. Linux: struct ipc_namespace. Kept
// by its tasks; its parts never change. Thread-safe.
class IpcNamespace : public RefCounted {
 public:
  IpcNamespace();
  ~IpcNamespace() override;

  SharedSegments& segments() const { return *segments_; }
  SemaphoreSets& semaphores() const { return *semaphores_; }
  MessageQueues& messages() const { return *messages_; }
  MqueueLimits& mqueue_limits() const { return *mqueue_limits_; }

  // What sentry/fs/mqueue keeps here: its file system, made on first use. It must not hold this object.
  Ref<RefCounted> Mqueue(absl::FunctionRef<Ref<RefCounted>()> make) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const Ref<SharedSegments> segments_;
  const Ref<SemaphoreSets> semaphores_;
  const Ref<MessageQueues> messages_;
  const Ref<MqueueLimits> mqueue_limits_;
  absl::Mutex mu_;  // leaf
  Ref<RefCounted> mqueue_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::ipc

#endif  // CLOISTER_SENTRY_IPC_IPC_NAMESPACE_H_
