#include "sentry/ipc/ipc_object.h"

#include <time.h>

namespace cloister::ipc {

ErrnoOrVoid IpcObject::CheckAccess(const auth::Credentials& cred, int flags) const {
  const unsigned bits = static_cast<unsigned>(flags);
  const unsigned wanted = bits >> 6 | bits >> 3 | bits;
  mode_t granted = mode;
  if (cred.euid == cuid || cred.euid == uid) {
    granted >>= 6;
  } else if (cred.InGroup(cgid) || cred.InGroup(gid)) {
    granted >>= 3;
  }
  if ((wanted & ~granted & 07) == 0 || cred.Has(CAP_IPC_OWNER)) return {};
  return Errno::kAcces;
}

ErrnoOrVoid IpcObject::CheckControl(const auth::Credentials& cred) const {
  if (cred.euid == cuid || cred.euid == uid || cred.Has(CAP_SYS_ADMIN)) return {};
  return Errno::kPerm;
}

ErrnoOrVoid IpcObject::SetOwner(const ipc64_perm& wanted) {
  constexpr uint32_t kNobody = ~uint32_t{0};
  if (wanted.uid == kNobody || wanted.gid == kNobody) return Errno::kInval;
  uid = wanted.uid;
  gid = wanted.gid;
  mode = (mode & ~mode_t{0777}) | (wanted.mode & 0777);
  return {};
}

ipc64_perm IpcObject::Describe() const {
  ipc64_perm perm = {};
  perm.key = key;
  perm.uid = uid;
  perm.gid = gid;
  perm.cuid = cuid;
  perm.cgid = cgid;
  perm.mode = static_cast<decltype(perm.mode)>(mode);
  perm.seq = static_cast<unsigned short>(id / 32768);
  return perm;
}

int64_t NowSeconds() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec;
}

}  // namespace cloister::ipc
