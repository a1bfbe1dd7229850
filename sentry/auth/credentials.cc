#include "sentry/auth/credentials.h"

#include <linux/securebits.h>

#include <algorithm>

namespace cloister::auth {
namespace {

// Capabilities that follow fsuid (capabilities(7)).
constexpr CapSet kFsCaps = CapSet::Of(CAP_CHOWN) | CapSet::Of(CAP_DAC_OVERRIDE) |
                           CapSet::Of(CAP_DAC_READ_SEARCH) | CapSet::Of(CAP_FOWNER) | CapSet::Of(CAP_FSETID) |
                           CapSet::Of(CAP_LINUX_IMMUTABLE) | CapSet::Of(CAP_MAC_OVERRIDE) |
                           CapSet::Of(CAP_MKNOD);

bool AnyRoot(const Credentials& c) { return c.uid == 0 || c.euid == 0 || c.suid == 0; }

}  // namespace

bool Credentials::InGroup(gid_t group) const {
  return fsgid == group || std::find(groups.begin(), groups.end(), group) != groups.end();
}

CredRef Credentials::Root() {
  static const CredRef* const root = new CredRef(std::make_shared<Credentials>());
  return *root;
}

void AdjustForUidChange(const Credentials& before, Credentials& now) {
  if (now.securebits & SECBIT_NO_SETUID_FIXUP) return;
  if (AnyRoot(before) && !AnyRoot(now)) {
    if (!(now.securebits & SECBIT_KEEP_CAPS)) {
      now.permitted = CapSet();
      now.effective = CapSet();
    }
    now.ambient = CapSet();
  }
  if (before.euid == 0 && now.euid != 0) now.effective = CapSet();
  if (before.euid != 0 && now.euid == 0) now.effective = now.permitted;
  if (before.fsuid == 0 && now.fsuid != 0) now.effective = now.effective.Without(kFsCaps);
  if (before.fsuid != 0 && now.fsuid == 0) now.effective = now.effective | (now.permitted & kFsCaps);
}

ExecResult ForExec(const Credentials& before, const ExecFile& file, bool untrusted_tracer) {
  ExecResult result{before, false};
  Credentials& c = result.credentials;
  if (file.set_uid) c.euid = file.uid;
  if (file.set_gid) c.egid = file.gid;
  const bool id_changed = c.euid != before.uid || c.egid != before.gid;

  CapSet file_permitted = file.file_permitted;
  CapSet file_inheritable = file.file_inheritable;
  bool file_effective = file.file_effective;
  const bool root_is_special = !(c.securebits & SECBIT_NOROOT);
  if (root_is_special && (c.uid == 0 || c.euid == 0) && !(file.has_file_caps && c.uid != 0)) {
    file_permitted = CapSet::All();
    file_inheritable = CapSet::All();
    file_effective = c.euid == 0;
  }
  const bool privileged_file = file.has_file_caps || file.set_uid || file.set_gid;
  c.ambient = privileged_file && (id_changed || file.has_file_caps) ? CapSet() : before.ambient;
  c.permitted = (before.inheritable & file_inheritable) | (file_permitted & before.bounding) | c.ambient;
  if (untrusted_tracer && (id_changed || !c.permitted.IsSubsetOf(before.permitted))) {
    if (!before.Has(CAP_SETUID)) {
      c.euid = c.uid;
      c.egid = c.gid;
    }
    c.permitted = c.permitted & before.permitted;
  }
  c.suid = c.fsuid = c.euid;
  c.sgid = c.fsgid = c.egid;
  c.effective = file_effective ? c.permitted : c.ambient;
  c.securebits &= ~static_cast<uint32_t>(SECBIT_KEEP_CAPS);
  const bool gained = !c.permitted.IsSubsetOf(before.permitted | c.ambient);
  result.secure = before.uid != c.euid || before.gid != c.egid || (gained && c.uid != 0);
  return result;
}

}  // namespace cloister::auth
