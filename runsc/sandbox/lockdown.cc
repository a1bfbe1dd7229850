#include "runsc/sandbox/lockdown.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"

namespace cloister::sandbox {
namespace {

absl::Status WriteProc(pid_t pid, std::string_view name, const std::string& text) {
  const std::string path = absl::StrCat("/proc/", pid, "/", absl::string_view(name.data(), name.size()));
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.ok()) return HostErrorNow(absl::StrCat("open ", path));
  if (write(file.get(), text.data(), text.size()) < 0) return HostErrorNow(absl::StrCat("write ", path));
  return absl::OkStatus();
}

absl::Status MapId(pid_t child, std::string_view map, unsigned own_id) {
  if (own_id == 0) {
    const absl::Status status =
        WriteProc(child, map, absl::StrCat(kUnprivilegedId, " ", kUnprivilegedId, " 1\n"));
    if (status.ok()) return status;
  }
  // The one line that user_namespaces(7) lets everybody write.
  return WriteProc(child, map, absl::StrCat(kUnprivilegedId, " ", own_id, " 1\n"));
}

}  // namespace

absl::Status WriteIdMaps(pid_t child) {
  const bool root = geteuid() == 0;
  if (!root) RETURN_IF_ERROR(WriteProc(child, "setgroups", "deny"));
  RETURN_IF_ERROR(MapId(child, "uid_map", geteuid()));
  return MapId(child, "gid_map", root ? 0 : getegid());
}

absl::Status EnterEmptyRoot() {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return HostErrorNow("mount --make-rprivate /");
  // Any directory that every host has will do; the mount is this process' alone.
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (mount("none", "/proc", "tmpfs", kFlags, "size=0,nr_inodes=1,mode=555") != 0) {
    return HostErrorNow("mount an empty root");
  }
  if (chdir("/proc") != 0) return HostErrorNow("chdir to the empty root");
  if (syscall(SYS_pivot_root, ".", ".") != 0) return HostErrorNow("pivot_root");
  if (umount2(".", MNT_DETACH) != 0) return HostErrorNow("detach the host's root");
  if (mount("none", "/", nullptr, MS_REMOUNT | MS_RDONLY | kFlags, nullptr) != 0) {
    return HostErrorNow("remount the empty root");
  }
  if (chdir("/") != 0) return HostErrorNow("chdir /");
  return absl::OkStatus();
}

absl::Status BecomeUnprivileged() {
  // EPERM: /proc/PID/setgroups says deny; then the caller's groups stay, as they must.
  if (setgroups(0, nullptr) != 0 && errno != EPERM) return HostErrorNow("setgroups");
  if (setresgid(kUnprivilegedId, kUnprivilegedId, kUnprivilegedId) != 0) return HostErrorNow("setresgid");
  if (setresuid(kUnprivilegedId, kUnprivilegedId, kUnprivilegedId) != 0) return HostErrorNow("setresuid");
  return absl::OkStatus();
}

absl::Status DropAllCapabilities() {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return HostErrorNow("PR_CAPBSET_DROP");
  }
  constexpr unsigned long kLocked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (prctl(PR_SET_SECUREBITS, kLocked, 0, 0, 0) != 0) return HostErrorNow("PR_SET_SECUREBITS");
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capset, &header, none) != 0) return HostErrorNow("capset");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return HostErrorNow("PR_SET_NO_NEW_PRIVS");
  return absl::OkStatus();
}

}  // namespace cloister::sandbox
