#include "runsc/shim/service.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "runsc/shim/timestamp.h"

namespace cloister::shim {
namespace {

constexpr char kName[] = "containerd.task.v2.Task";
constexpr char kVersion[] = "2";

// Empty answers are google.protobuf.Empty, which has no bytes.
absl::StatusOr<std::string> Bytes(const absl::Status& status) {
  if (!status.ok()) return status;
  return std::string();
}

template <typename Message>
absl::StatusOr<std::string> Bytes(const absl::StatusOr<Message>& message) {
  if (!message.ok()) return message.status();
  return message->SerializeAsString();
}

template <typename Request>
absl::StatusOr<Request> Decode(const std::string& payload) {
  Request request;
  if (!request.ParseFromString(payload)) return absl::InvalidArgumentError("the request is malformed");
  return request;
}

}  // namespace

template <typename Request>
void Service::Add(ttrpc::Server* server, const std::string& name, Method<Request> method) {
  server->Register(kName, name,
                   [name, method](const std::string& payload, const ttrpc::Responder& responder) {
                     const absl::StatusOr<Request> request = Decode<Request>(payload);
                     const absl::StatusOr<std::string> answer =
                         request.ok() ? method(*request) : absl::StatusOr<std::string>(request.status());
                     if (!answer.ok()) LOG(kInfo, "%s: %s", name, answer.status().message());
                     responder.Send(answer);
                   });
}

template <typename Request>
void Service::AddForTask(ttrpc::Server* server, const std::string& name,
                         std::function<absl::StatusOr<std::string>(Task&, const Request&)> method) {
  Add<Request>(server, name, [this, method](const Request& request) -> absl::StatusOr<std::string> {
    const TaskRef task = TRY_STATUS(Find(request.id()));
    return method(*task, request);
  });
}

void Service::Register(ttrpc::Server* server) {
  Add<api::CreateTaskRequest>(server, "Create", [this](const auto& request) { return Create(request); });
  Add<api::DeleteRequest>(server, "Delete", [this](const auto& request) { return Delete(request); });
  Add<api::ConnectRequest>(server, "Connect", [this](const auto& request) { return Connect(request); });
  AddForTask<api::StateRequest>(
      server, "State", [](Task& task, const auto& request) { return Bytes(task.State(request.exec_id())); });
  AddForTask<api::StartRequest>(
      server, "Start", [](Task& task, const auto& request) -> absl::StatusOr<std::string> {
        api::StartResponse response;
        response.set_pid(static_cast<uint32_t>(TRY_STATUS(task.Start(request.exec_id()))));
        return response.SerializeAsString();
      });
  AddForTask<api::ExecProcessRequest>(
      server, "Exec", [](Task& task, const auto& request) { return Bytes(task.Exec(request)); });
  AddForTask<api::KillRequest>(server, "Kill",
                               [](Task& task, const auto& request) { return Bytes(task.Kill(request)); });
  AddForTask<api::PauseRequest>(server, "Pause", [](Task& task, const auto&) { return Bytes(task.Pause()); });
  AddForTask<api::ResumeRequest>(server, "Resume",
                                 [](Task& task, const auto&) { return Bytes(task.Resume()); });
  AddForTask<api::PidsRequest>(server, "Pids", [](Task& task, const auto&) { return Bytes(task.Pids()); });
  AddForTask<api::UpdateTaskRequest>(server, "Update", [](Task& task, const auto& request) {
    return Bytes(task.Update(request.resources().value()));
  });
  AddForTask<api::StatsRequest>(server, "Stats", [](Task& task, const auto&) -> absl::StatusOr<std::string> {
    api::StatsResponse response;
    *response.mutable_stats() = TRY_STATUS(task.Stats());
    return response.SerializeAsString();
  });
  AddForTask<api::ResizePtyRequest>(
      server, "ResizePty", [](Task& task, const auto& request) { return Bytes(task.ResizePty(request)); });
  AddForTask<api::CloseIORequest>(
      server, "CloseIO", [](Task& task, const auto& request) { return Bytes(task.CloseIo(request)); });
  server->Register(kName, "Checkpoint", [](const std::string&, const ttrpc::Responder& responder) {
    responder.Send(absl::UnimplementedError("checkpoints are not supported"));
  });
  server->Register(kName, "Wait", [this](const std::string& payload, const ttrpc::Responder& responder) {
    Wait(payload, responder);
  });
  server->Register(kName, "Shutdown",
                   [this](const std::string&, const ttrpc::Responder& responder) { Shutdown(responder); });
}

absl::StatusOr<Service::TaskRef> Service::Find(const std::string& id) {
  absl::MutexLock lock(&mu_);
  const auto found = tasks_.find(id);
  if (found != tasks_.end() && found->second != nullptr) return found->second;
  return absl::NotFoundError(absl::StrCat("container ", id, " not created"));
}

absl::StatusOr<std::string> Service::Create(const api::CreateTaskRequest& request) {
  {
    absl::MutexLock lock(&mu_);
    if (!tasks_.emplace(request.id(), nullptr).second) {
      return absl::AlreadyExistsError(absl::StrCat("container ", request.id()));
    }
  }
  const absl::StatusOr<TaskRef> task = Task::Create(context_, request);
  absl::MutexLock lock(&mu_);
  if (!task.ok()) {
    tasks_.erase(request.id());
    return task.status();
  }
  tasks_[request.id()] = *task;
  api::CreateTaskResponse response;
  response.set_pid(static_cast<uint32_t>((*task)->pid()));
  return response.SerializeAsString();
}

absl::StatusOr<std::string> Service::Delete(const api::DeleteRequest& request) {
  const TaskRef task = TRY_STATUS(Find(request.id()));
  const api::DeleteResponse response = TRY_STATUS(task->Delete(request.exec_id()));
  if (request.exec_id().empty()) {
    absl::MutexLock lock(&mu_);
    tasks_.erase(request.id());
  }
  return response.SerializeAsString();
}

absl::StatusOr<std::string> Service::Connect(const api::ConnectRequest& request) {
  api::ConnectResponse response;
  response.set_shim_pid(static_cast<uint32_t>(getpid()));
  response.set_version(kVersion);
  const absl::StatusOr<TaskRef> task = Find(request.id());
  if (task.ok()) response.set_task_pid(static_cast<uint32_t>((*task)->pid()));
  return response.SerializeAsString();
}

// Answered when the process ends: no thread waits.
void Service::Wait(const std::string& payload, const ttrpc::Responder& responder) {
  const auto begin = [&]() -> absl::Status {
    const api::WaitRequest request = TRY_STATUS(Decode<api::WaitRequest>(payload));
    const TaskRef task = TRY_STATUS(Find(request.id()));
    return task->Wait(request.exec_id(), [responder](const Exit& exit) {
      api::WaitResponse response;
      response.set_exit_status(exit.status);
      *response.mutable_exited_at() = ToTimestamp(exit.at);
      responder.Send(response.SerializeAsString());
    });
  };
  const absl::Status begun = begin();
  if (!begun.ok()) responder.Send(begun);
}

void Service::Shutdown(const ttrpc::Responder& responder) {
  bool last;
  {
    absl::MutexLock lock(&mu_);
    last = tasks_.empty();
  }
  responder.Send(std::string());
  if (last) shut_down_();
}

}  // namespace cloister::shim
