#ifndef CLOISTER_SENTRY_AUTH_CREDENTIALS_H_
#define CLOISTER_SENTRY_AUTH_CREDENTIALS_H_

#include <linux/capability.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace cloister::auth {

// A set of capabilities: bit n is capability n of capabilities(7).
class CapSet {
 public:
  constexpr CapSet() = default;
  constexpr explicit CapSet(uint64_t bits) : bits_(bits & kAllBits) {}
  static constexpr CapSet All() { return CapSet(kAllBits); }
  static constexpr CapSet Of(int cap) { return CapSet(uint64_t{1} << cap); }

  constexpr uint64_t bits() const { return bits_; }
  constexpr bool Has(int cap) const { return (bits_ >> cap & 1) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool IsSubsetOf(CapSet other) const { return (bits_ & ~other.bits_) == 0; }
  constexpr CapSet Without(CapSet other) const { return CapSet(bits_ & ~other.bits_); }
  friend constexpr CapSet operator&(CapSet a, CapSet b) { return CapSet(a.bits_ & b.bits_); }
  friend constexpr CapSet operator|(CapSet a, CapSet b) { return CapSet(a.bits_ | b.bits_); }
  friend constexpr bool operator==(CapSet, CapSet) = default;

  static constexpr uint64_t kAllBits = (uint64_t{1} << (CAP_LAST_CAP + 1)) - 1;

 private:
  uint64_t bits_ = 0;
};

// securebits(7)'s SECBIT_… bits are kept as the number prctl(2) uses.
//
// Who a task is. Linux: struct cred. Immutable: a change makes a new one; shared by tasks and open
// files through CredRef, so reading it takes no lock.
struct Credentials {
  uid_t uid = 0, euid = 0, suid = 0, fsuid = 0;
  gid_t gid = 0, egid = 0, sgid = 0, fsgid = 0;
  std::vector<gid_t> groups;
  CapSet permitted = CapSet::All();
  CapSet effective = CapSet::All();
  CapSet inheritable;
  CapSet bounding = CapSet::All();
  CapSet ambient;
  uint32_t securebits = 0;

  bool Has(int cap) const { return effective.Has(cap); }
  // Member of gid by fsgid or a supplementary group.
  bool InGroup(gid_t group) const;

  // Root with every capability: the sentry's own acts, and tests.
  static std::shared_ptr<const Credentials> Root();
};

using CredRef = std::shared_ptr<const Credentials>;

// The capability effects of going from one set of uids to another (capabilities(7), "Effect of
// user ID changes on capabilities"). `now` already holds the new ids.
void AdjustForUidChange(const Credentials& before, Credentials& now);

// What execve(2) makes of credentials for a file with these attributes (capabilities(7)).
struct ExecFile {
  bool set_uid = false, set_gid = false;  // already false where nosuid or no_new_privs forbids
  uid_t uid = 0;
  gid_t gid = 0;
  CapSet file_permitted, file_inheritable;
  bool file_effective = false;
  bool has_file_caps = false;
};
struct ExecResult {
  Credentials credentials;
  bool secure = false;  // AT_SECURE
};
// untrusted_tracer: the task is traced by someone without CAP_SYS_PTRACE, so it gains nothing (ptrace(2)).
ExecResult ForExec(const Credentials& before, const ExecFile& file, bool untrusted_tracer = false);

}  // namespace cloister::auth

#endif  // CLOISTER_SENTRY_AUTH_CREDENTIALS_H_
