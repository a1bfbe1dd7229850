#include "sentry/boot/program.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error/status.h"
#include "sentry/seccomp/filter.h"
#include "sentry/vfs/operations.h"

namespace cloister::boot {
namespace {

constexpr std::string_view kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string Lower(Errno error) {
  std::string text = strerror(static_cast<int>(error));
  if (!text.empty()) text[0] = absl::ascii_tolower(text[0]);
  return text;
}

std::string PathOf(const control::Process& process) {
  constexpr std::string_view kPrefix = "PATH=";
  for (const std::string& variable : process.env()) {
    if (std::string_view(variable).starts_with(kPrefix)) return variable.substr(kPrefix.size());
  }
  return std::string(kDefaultPath);
}

// A regular file that caller may execute. kIsDir for a directory.
ErrnoOr<Ref<vfs::FileDescription>> OpenProgram(const vfs::Caller& caller, const std::string& path) {
  const vfs::Path found = TRY(vfs::Resolve(caller, caller.cwd, path, {}));
  const Ref<vfs::Inode> inode = found.dentry()->inode();
  if (!inode) return Errno::kNoEnt;
  if (inode->is_directory()) return Errno::kIsDir;
  if (inode->type() != S_IFREG || (found.mount()->flags() & MS_NOEXEC)) return Errno::kAcces;
  TRY_VOID(vfs::CheckPermission(*caller.cred, TRY(inode->GetOwnership()), X_OK));
  vfs::OpenRequest open;
  open.flags = O_RDONLY;
  open.path = found;
  open.cred = caller.cred;
  return inode->Open(open);
}

// argv[0] as execvp(3) finds it.
absl::StatusOr<std::pair<std::string, Ref<vfs::FileDescription>>> FindProgram(const vfs::Caller& caller,
                                                                              const control::Process& process,
                                                                              Errno* error) {
  const std::string& name = process.args(0);
  const std::string quoted = absl::StrCat("exec: \"", name, "\": ");
  if (name.find('/') != std::string::npos) {
    ErrnoOr<Ref<vfs::FileDescription>> file = OpenProgram(caller, name);
    if (file.ok()) return std::make_pair(name, *std::move(file));
    *error = file.error();
    if (file.error() == Errno::kNoEnt || file.error() == Errno::kNotDir || file.error() == Errno::kLoop) {
      return absl::NotFoundError(absl::StrCat(quoted, "stat ", name, ": ", Lower(file.error())));
    }
    // As runc says it, whose callers look for these words.
    const Errno shown = file.error() == Errno::kIsDir ? Errno::kAcces : file.error();
    return absl::PermissionDeniedError(absl::StrCat(quoted, Lower(shown)));
  }
  bool denied = false;
  for (const absl::string_view directory : absl::StrSplit(PathOf(process), ':')) {
    const std::string path =
        directory.empty() ? absl::StrCat("./", name) : absl::StrCat(std::string(directory), "/", name);
    ErrnoOr<Ref<vfs::FileDescription>> file = OpenProgram(caller, path);
    if (file.ok()) return std::make_pair(path, *std::move(file));
    denied |= file.error() == Errno::kAcces;
  }
  *error = denied ? Errno::kAcces : Errno::kNoEnt;
  if (denied) return absl::PermissionDeniedError(absl::StrCat(quoted, "permission denied"));
  return absl::NotFoundError(absl::StrCat(quoted, "executable file not found in $PATH"));
}

absl::StatusOr<vfs::Path> FindCwd(vfs::Caller caller, const std::string& cwd, Errno* error) {
  const auth::CredRef user = std::exchange(caller.cred, auth::Credentials::Root());
  vfs::WalkOptions walk;
  walk.want_directory = true;
  ErrnoOr<vfs::Path> path = vfs::Resolve(caller, caller.root, cwd, walk);
  if (!path.ok() && path.error() == Errno::kNoEnt && MakeDirectories(caller, cwd).ok()) {
    path = vfs::Resolve(caller, caller.root, cwd, walk);
  }
  if (!path.ok()) {
    *error = path.error();
    return absl::NotFoundError(
        absl::StrCat("chdir to cwd (\"", cwd, "\") set in config.json failed: ", Lower(path.error())));
  }
  return *path;
}

absl::StatusOr<Ref<const seccomp::Filter>> FilterOf(const control::Process& process) {
  const std::string& bytes = process.seccomp_filter();
  if (bytes.empty()) return Ref<const seccomp::Filter>();
  std::vector<sock_filter> code(bytes.size() / sizeof(sock_filter));
  memcpy(code.data(), bytes.data(), code.size() * sizeof(sock_filter));
  const auto make = [&]() -> ErrnoOr<Ref<const seccomp::Filter>> {
    return seccomp::Filter::Make(TRY(seccomp::BpfProgram::Make(std::move(code))), process.seccomp_flags(),
                                 nullptr);
  };
  const ErrnoOr<Ref<const seccomp::Filter>> filter = make();
  if (!filter.ok()) return ToStatus(filter.error(), "linux.seccomp: the filter");
  return *filter;
}

}  // namespace

ErrnoOrVoid MakeDirectories(const vfs::Caller& caller, std::string_view path) {
  std::string done;
  for (const absl::string_view name :
       absl::StrSplit(absl::string_view(path.data(), path.size()), '/', absl::SkipEmpty())) {
    absl::StrAppend(&done, "/", std::string(name));
    const ErrnoOrVoid made = vfs::MakeDirectory(caller, caller.root, done, 0755);
    if (!made.ok() && made.error() != Errno::kExist) return made;
  }
  return {};
}

auth::CredRef CredentialsOf(const control::Process& process) {
  auth::Credentials cred;
  cred.uid = cred.euid = cred.suid = cred.fsuid = process.uid();
  cred.gid = cred.egid = cred.sgid = cred.fsgid = process.gid();
  cred.groups.assign(process.additional_gids().begin(), process.additional_gids().end());
  cred.bounding = auth::CapSet(process.cap_bounding());
  cred.effective = auth::CapSet(process.cap_effective());
  cred.permitted = auth::CapSet(process.cap_permitted());
  cred.inheritable = auth::CapSet(process.cap_inheritable());
  cred.ambient = auth::CapSet(process.cap_ambient());
  return std::make_shared<const auth::Credentials>(std::move(cred));
}

absl::StatusOr<task::Kernel::NewProcess> PrepareProcess(const control::Process& process,
                                                        const task::FsContext& root, Errno* error) {
  if (process.args().empty()) return absl::InvalidArgumentError("process.args: must not be empty");
  const task::FsContext::View view = root.Get();
  vfs::Caller caller;
  caller.cred = CredentialsOf(process);
  caller.mounts = view.mounts;
  caller.root = view.root;
  caller.cwd = view.root;
  caller.cwd = TRY_STATUS(FindCwd(caller, process.cwd(), error));
  task::Kernel::NewProcess result;
  auto [path, file] = TRY_STATUS(FindProgram(caller, process, error));
  result.exec.file = std::move(file);
  result.exec.path = std::move(path);
  result.exec.argv.assign(process.args().begin(), process.args().end());
  result.exec.envp.assign(process.env().begin(), process.env().end());
  result.cred = caller.cred;
  result.no_new_privs = process.no_new_privileges();
  result.filter = TRY_STATUS(FilterOf(process));
  result.fs = MakeRef<task::FsContext>(caller.mounts, caller.root, caller.cwd,
                                       process.has_umask() ? process.umask() : 022);
  for (const control::Process::Rlimit& limit : process.rlimits()) {
    result.limits.push_back({static_cast<int>(limit.resource()), {limit.soft(), limit.hard()}});
  }
  result.oom_score_adj = process.oom_score_adj();
  return result;
}

}  // namespace cloister::boot
