#include "runsc/shim/bootstrap.h"

#include <fcntl.h>
#include <nettle/sha2.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "runsc/shim/api/task.pb.h"
#include "runsc/shim/bundle_files.h"
#include "runsc/shim/mounts.h"
#include "runsc/shim/runsc_command.h"
#include "runsc/shim/runtime_config.h"
#include "runsc/shim/timestamp.h"
#include "runsc/shim/ttrpc/client.h"
#include "runsc/spec/spec.h"

namespace cloister::shim {
namespace {

constexpr char kSocketDirectory[] = "/run/containerd/s";
constexpr char kScheme[] = "unix://";
constexpr uint32_t kKilled = 128 + SIGKILL;
constexpr int kMaxOomScore = 1000;

// containerd's own shim knows the same two.
std::string GroupName(const std::string& bundle, const std::string& id) {
  for (const char* name : {"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"}) {
    const std::string group = Annotation(bundle, name);
    if (!group.empty()) return group;
  }
  return id;
}

bool SomebodyListens(const std::string& path) { return ttrpc::ConnectTo(path).ok(); }

// Held while a socket is looked at and made: two containers of one pod may be started at once.
absl::StatusOr<UniqueFd> LockSockets() {
  for (const char* directory : {"/run/containerd", kSocketDirectory}) {
    if (mkdir(directory, 0711) != 0 && errno != EEXIST) return HostErrorNow(directory);
  }
  UniqueFd lock(open(kSocketDirectory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.ok() || flock(lock.get(), LOCK_EX) != 0) return HostErrorNow(kSocketDirectory);
  return lock;
}

absl::StatusOr<UniqueFd> Listen(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX};
  if (path.size() >= sizeof address.sun_path)
    return absl::InvalidArgumentError(path + ": too long for a socket");
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.ok()) return HostErrorNow("socket");
  unlink(path.c_str());
  if (fchmod(listener.get(), 0600) != 0 ||
      bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener.get(), SOMAXCONN) != 0) {
    return HostErrorNow(path);
  }
  return listener;
}

// One above the caller's, so that containerd is the last to go when memory runs out.
void RaiseOomScore() {
  constexpr char kFile[] = "/proc/self/oom_score_adj";
  int score = 0;
  if (!absl::SimpleAtoi(spec::ReadTextFile(kFile).value_or(""), &score)) return;
  const UniqueFd file(open(kFile, O_WRONLY | O_CLOEXEC));
  const std::string text = absl::StrCat(std::min(score + 1, kMaxOomScore));
  [[maybe_unused]] const ssize_t written = write(file.get(), text.data(), text.size());
}

// The daemon: this program again, so that its memory begins small, in a session of its own.
absl::StatusOr<pid_t> Daemonize(const ShimOptions& options, UniqueFd listener) {
  std::vector<std::string> args = {"containerd-shim-runsc-v1",
                                   "-namespace",
                                   options.name_space,
                                   "-id",
                                   options.id,
                                   "-address",
                                   options.address,
                                   "-publish-binary",
                                   options.publish_binary};
  if (options.debug) args.push_back("-debug");
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return HostErrorNow("fork");
  if (pid > 0) return pid;
  setsid();
  RaiseOomScore();
  const int null = open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) dup2(null, fd);
  const int high = fcntl(listener.get(), F_DUPFD_CLOEXEC, kListenerFd + 1);
  dup2(high, kListenerFd);
  execv("/proc/self/exe", argv.data());
  _exit(127);
}

}  // namespace

void RemoveSocket(const std::string& address) {
  const absl::StatusOr<UniqueFd> lock = LockSockets();
  if (lock.ok() && !address.empty()) unlink(SocketPath(address).c_str());
}

std::string SocketPath(const std::string& address) {
  return std::string(absl::StripPrefix(absl::StripAsciiWhitespace(address), kScheme));
}

std::string SocketAddress(const std::string& containerd_address, const std::string& name_space,
                          const std::string& group) {
  const std::string path = spec::CleanPath(absl::StrCat(containerd_address, "/", name_space, "/", group));
  sha256_ctx context;
  sha256_init(&context);
  sha256_update(&context, path.size(), reinterpret_cast<const uint8_t*>(path.data()));
  std::string digest(SHA256_DIGEST_SIZE, '\0');
  sha256_digest(&context, digest.size(), reinterpret_cast<uint8_t*>(digest.data()));
  return absl::StrCat(kScheme, kSocketDirectory, "/", absl::BytesToHexString(digest));
}

absl::StatusOr<std::string> StartDaemon(const ShimOptions& options) {
  const std::string address = SocketAddress(options.address, options.name_space, GroupName(".", options.id));
  const std::string path = SocketPath(address);
  const UniqueFd lock = TRY_STATUS(LockSockets());
  if (SomebodyListens(path)) {
    RETURN_IF_ERROR(WriteInBundle(".", "address", address));
    return address;
  }
  UniqueFd listener = TRY_STATUS(Listen(path));
  const auto begin = [&]() -> absl::Status {
    RETURN_IF_ERROR(WriteInBundle(".", "address", address));
    const pid_t pid = TRY_STATUS(Daemonize(options, std::move(listener)));
    return WriteInBundle(".", "shim.pid", absl::StrCat(pid));
  };
  const absl::Status begun = begin();
  if (begun.ok()) return address;
  unlink(path.c_str());
  return begun;
}

absl::StatusOr<std::string> DeleteContainer(const ShimOptions& options) {
  const std::string& bundle = options.bundle;
  Reaper* reaper = new Reaper();
  const absl::StatusOr<RuntimeConfig> runtime = LoadRuntime(bundle);
  absl::Status deleted = runtime.status();
  if (runtime.ok()) {
    const RunscCommand runsc(*runtime, options.name_space, bundle, reaper);
    deleted = runsc.Run("OCI runtime delete failed", {"delete", "--force", options.id});
  }
  const absl::Status unmounted = UnmountAll(bundle + "/rootfs");
  const std::string address = spec::ReadTextFile(bundle + "/address").value_or("");
  if (!address.empty()) {
    const absl::StatusOr<UniqueFd> lock = LockSockets();
    if (lock.ok() && !SomebodyListens(SocketPath(address))) unlink(SocketPath(address).c_str());
  }
  RETURN_IF_ERROR(deleted);
  RETURN_IF_ERROR(unmounted);
  api::DeleteResponse response;
  response.set_pid(static_cast<uint32_t>(ReadPidFile(bundle + "/init.pid").value_or(0)));
  response.set_exit_status(kKilled);
  *response.mutable_exited_at() = ToTimestamp(absl::Now());
  return response.SerializeAsString();
}

}  // namespace cloister::shim
