#include "sentry/task/ptrace_access.h"

#include <atomic>

#include "sentry/task/task.h"

namespace cloister::task {
namespace {

bool SameIds(uid_t uid, gid_t gid, const auth::Credentials& of) {
  return uid == of.euid && uid == of.suid && uid == of.uid && gid == of.egid && gid == of.sgid &&
         gid == of.gid;
}

}  // namespace

// The owner writes it without a lock.
bool IsDumpable(const Task& task) {
  return std::atomic_ref(const_cast<bool&>(task.dumpable)).load(std::memory_order_relaxed);
}

bool MayAccess(const auth::Credentials& by, const Task& target, AccessMode mode) {
  if (by.Has(CAP_SYS_PTRACE)) return true;
  const auth::CredRef of = target.GetCred();
  if (of == nullptr) return false;  // being made
  const bool real = mode == AccessMode::kRealCreds;
  if (!SameIds(real ? by.uid : by.fsuid, real ? by.gid : by.fsgid, *of) || !IsDumpable(target)) return false;
  // Linux: cap_ptrace_access_check.
  return of->permitted.IsSubsetOf(real ? by.permitted : by.effective);
}

bool MayAccess(const Task& by, const Task& target, AccessMode mode) {
  return &by.group() == &target.group() || MayAccess(*by.cred(), target, mode);
}

}  // namespace cloister::task
