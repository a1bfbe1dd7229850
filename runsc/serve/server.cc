#include "runsc/serve/server.h"

#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "runsc/serve/call.h"
#include "runsc/serve/queue.h"
#include "runsc/serve/request.h"
#include "runsc/serve/serve.grpc.pb.h"

namespace cloister::serve {
namespace {

constexpr mode_t kAllButOwner = 0177;
constexpr std::chrono::seconds kGoodbye(5);  // for clients to read what was sent

class Service final : public Sandboxes::CallbackService {
 public:
  Service(const Bounds& bounds, Queue* queue) : bounds_(bounds), queue_(queue) {}

  grpc::ServerWriteReactor<RunEvent>* Run(grpc::CallbackServerContext*, const RunRequest* request) override {
    const std::shared_ptr<Call> call = Call::Make(*request);
    const absl::Status checked = call->wake_fd() < 0 ? absl::InternalError("no descriptors are left")
                                                     : CheckRequest(bounds_, &call->request());
    if (checked.ok()) {
      queue_->Add(call);
    } else {
      call->Close(checked);
    }
    return call.get();
  }

 private:
  const Bounds bounds_;
  Queue* const queue_;
};

// gRPC would take the place of whatever is there.
absl::Status CheckSocket(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return absl::InvalidArgumentError(
        absl::StrCat("--socket: longer than ", sizeof address.sun_path - 1, " bytes"));
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT && access(path.substr(0, path.rfind('/') + 1).c_str(), W_OK) == 0)
      return absl::OkStatus();
    return HostErrorNow(absl::StrCat("--socket: ", path));
  }
  if (!S_ISSOCK(info.st_mode))
    return absl::AlreadyExistsError(absl::StrCat("--socket: ", path, " is there and no socket"));
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return absl::AlreadyExistsError(absl::StrCat("--socket: ", path, " is served already"));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<grpc::Server>> Listen(const std::string& path, Service* service) {
  RETURN_IF_ERROR(CheckSocket(path));
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.RegisterService(service);
  const mode_t mask = umask(kAllButOwner);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  umask(mask);
  if (!server) return absl::InternalError(absl::StrCat("--socket: cannot listen on ", path));
  return server;
}

}  // namespace

absl::Status Serve(const ServerOptions& options) {
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ends, signal);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  static Reaper* const reaper = new Reaper;
  const Host host = TRY_STATUS(Host::Make(options.host, reaper));
  Queue queue(host, options.parallel, options.most_waiting);
  Service service(options.host.bounds, &queue);
  const std::unique_ptr<grpc::Server> server = TRY_STATUS(Listen(options.socket, &service));
  printf("serving on %s\n", options.socket.c_str());
  fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  queue.Stop();
  server->Shutdown(std::chrono::system_clock::now() + kGoodbye);
  server->Wait();
  unlink(options.socket.c_str());
  return absl::OkStatus();
}

}  // namespace cloister::serve
