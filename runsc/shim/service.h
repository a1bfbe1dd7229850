#ifndef CLOISTER_RUNSC_SHIM_SERVICE_H_
#define CLOISTER_RUNSC_SHIM_SERVICE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "runsc/shim/task.h"
#include "runsc/shim/ttrpc/server.h"

namespace cloister::shim {

// containerd.task.v2.Task: decodes requests, finds the task, encodes answers. The containers of one pod are
// tasks of one service.
class Service {
 public:
  // shut_down is called once, when containerd has asked for it and no task is left.
  Service(TaskContext context, std::function<void()> shut_down)
      : context_(std::move(context)), shut_down_(std::move(shut_down)) {}

  void Register(ttrpc::Server* server);

 private:
  using TaskRef = std::shared_ptr<Task>;
  template <typename Request>
  using Method = std::function<absl::StatusOr<std::string>(const Request&)>;

  template <typename Request>
  void Add(ttrpc::Server* server, const std::string& name, Method<Request> method);
  // A method on the task that the request names.
  template <typename Request>
  void AddForTask(ttrpc::Server* server, const std::string& name,
                  std::function<absl::StatusOr<std::string>(Task&, const Request&)> method);

  absl::StatusOr<TaskRef> Find(const std::string& id) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<std::string> Create(const api::CreateTaskRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<std::string> Delete(const api::DeleteRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<std::string> Connect(const api::ConnectRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  void Wait(const std::string& payload, const ttrpc::Responder& responder) ABSL_LOCKS_EXCLUDED(mu_);
  void Shutdown(const ttrpc::Responder& responder) ABSL_LOCKS_EXCLUDED(mu_);

  const TaskContext context_;
  const std::function<void()> shut_down_;

  absl::Mutex mu_;                                             // leaf
  std::map<std::string, TaskRef> tasks_ ABSL_GUARDED_BY(mu_);  // null while one is being made
};

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_SERVICE_H_
