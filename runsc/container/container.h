#ifndef CLOISTER_RUNSC_CONTAINER_CONTAINER_H_
#define CLOISTER_RUNSC_CONTAINER_CONTAINER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runsc/cgroup/group.h"
#include "runsc/container/directory.h"
#include "runsc/sandbox/control_client.h"
#include "runsc/spec/state.h"
#include "sentry/control/control.pb.h"

namespace cloister::container {

// An existing container, seen from one call of runsc. Nothing is cached: every question is answered
// by the processes themselves. Error texts are those that engines look for in runc's.
class Container {
 public:
  // Not found: "container does not exist".
  static absl::StatusOr<Container> Open(const std::string& root, const std::string& id);

  const spec::State& state() const { return state_; }

  // From the processes that live and what the sentry says. A sentry that does not answer in time
  // counts as running.
  spec::Status Status() const;

  absl::Status Start();
  // signal 0 asks. With all, a stopped container is no error. SIGKILL never fails on a sentry that
  // does not answer: the sentry itself is killed then.
  absl::Status Signal(int signal, bool all);
  absl::Status Pause();
  absl::Status Resume();
  // Blocks until the container's init has ended; its wait status.
  absl::StatusOr<int> Wait();

  // Removes it. Without force a container that runs is an error; with force, or one that was never
  // started, it is killed first. Poststop hooks run at the end; their failure is only logged.
  absl::Status Delete(bool force);

  // OK once the container's init has ended; deadline exceeded where it lives on.
  absl::Status AwaitEnd(absl::Duration patience) const;

  // Changes limits; what is 0 or absent stays.
  absl::Status Update(const spec::Resources& resources);
  // Empty where the container has none of its own.
  cgroup::Group Groups() const { return cgroup::Group(state_.cgroups); }

  absl::StatusOr<control::PsReply> Processes();
  // Host pids that stand for the container's processes: init's monitor, then those of execs.
  std::vector<pid_t> MonitorPids() const;
  absl::StatusOr<control::DebugReply> Debug(control::DebugRequest::What what);

  // One request to the sentry, with the usual deadline. fds are borrowed.
  absl::StatusOr<control::Reply> Call(const control::Request& request, std::span<const int> fds = {}) const;

  absl::StatusOr<spec::Spec> LoadSpec() const { return directory_.LoadSpec(); }
  // Notes an exec'd process in state.json.
  absl::Status AddExec(const spec::ExecId& exec);

 private:
  Container(Directory directory, spec::State state)
      : directory_(std::move(directory)), state_(std::move(state)) {}

  spec::Status StatusFromSentry() const;
  absl::StatusOr<UniqueFd> LockToDelete(bool force);
  absl::Status EndProcesses();
  absl::Status ChangePause(bool pause);
  // What they run is the container's own and must not run on the host. A failure ends the container.
  absl::Status RunStartHooks(const spec::Spec& spec);

  Directory directory_;
  spec::State state_;
};

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_CONTAINER_H_
