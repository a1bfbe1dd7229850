#include <linux/capability.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"
#include "sentry/vfs/permission.h"

// xattr(7): which names there are, and who may read and change them.

namespace cloister::vfs {
namespace {

constexpr size_t kMaxName = 255;        // XATTR_NAME_MAX
constexpr size_t kMaxValue = 64 << 10;  // XATTR_SIZE_MAX
constexpr std::string_view kCapability = "security.capability";

enum class Space { kUser, kTrusted, kSecurity, kNone };

Space SpaceOf(std::string_view name) {
  const auto in = [&](std::string_view prefix) { return name.starts_with(prefix); };
  if (in("user.")) return Space::kUser;
  if (in("trusted.")) return Space::kTrusted;
  if (in("security.")) return Space::kSecurity;
  return Space::kNone;
}

ErrnoOrVoid CheckName(std::string_view name) {
  return name.empty() || name.size() > kMaxName ? Errno::kRange : Ok();
}

// A space's name alone names nothing. Linux: xattr_resolve_name, behind the permission.
ErrnoOrVoid CheckWhole(std::string_view name) {
  return name.find('.') + 1 == name.size() ? Errno::kInval : Ok();
}

// What a file's capabilities look like, capabilities(7). Linux: validheader.
ErrnoOrVoid CheckCapabilityValue(std::string_view value) {
  uint32_t magic = 0;
  if (value.size() < sizeof(magic)) return Errno::kInval;
  memcpy(&magic, value.data(), sizeof(magic));
  const uint32_t revision = magic & VFS_CAP_REVISION_MASK;
  const bool second = revision == VFS_CAP_REVISION_2 && value.size() == XATTR_CAPS_SZ_2;
  const bool third = revision == VFS_CAP_REVISION_3 && value.size() == XATTR_CAPS_SZ_3;
  return second || third ? Ok() : Errno::kInval;
}

// Linux: xattr_permission for reading.
ErrnoOrVoid MayRead(const auth::Credentials& cred, Inode& inode, std::string_view name) {
  switch (SpaceOf(name)) {
    case Space::kUser:
      if (inode.type() != S_IFREG && !inode.is_directory()) return Errno::kNoData;
      return CheckInode(cred, inode, R_OK);
    case Space::kTrusted:
      return cred.Has(CAP_SYS_ADMIN) ? Ok() : Errno::kNoData;
    case Space::kSecurity:
      return {};
    case Space::kNone:
      break;
  }
  return Errno::kOpNotSupp;
}

// And for changing.
ErrnoOrVoid MayWrite(const auth::Credentials& cred, Inode& inode, std::string_view name) {
  switch (SpaceOf(name)) {
    case Space::kUser: {
      if (inode.type() != S_IFREG && !inode.is_directory()) return Errno::kPerm;
      const Ownership owner = TRY(inode.GetOwnership());
      if (inode.is_directory() && (owner.mode & S_ISVTX) != 0 && !IsOwnerOrCapable(cred, owner))
        return Errno::kPerm;
      return CheckPermission(cred, owner, W_OK);
    }
    case Space::kTrusted:
      return cred.Has(CAP_SYS_ADMIN) ? Ok() : Errno::kPerm;
    case Space::kSecurity:
      return cred.Has(name == kCapability ? CAP_SETFCAP : CAP_SYS_ADMIN) ? Ok() : Errno::kPerm;
    case Space::kNone:
      break;
  }
  return Errno::kOpNotSupp;
}

}  // namespace

ErrnoOr<std::string> GetXattr(const Caller& caller, const Path& path, const std::string& name) {
  TRY_VOID(CheckName(name));
  Inode& inode = *path.dentry()->inode();
  TRY_VOID(MayRead(*caller.cred, inode, name));
  TRY_VOID(CheckWhole(name));
  return inode.GetXattr(name);
}

ErrnoOrVoid SetXattr(const Caller& caller, const Path& path, const std::string& name, std::string_view value,
                     int flags) {
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) return Errno::kInval;
  TRY_VOID(CheckName(name));
  if (value.size() > kMaxValue) return Errno::k2Big;
  if (name == kCapability && !value.empty()) TRY_VOID(CheckCapabilityValue(value));
  if (path.mount()) TRY_VOID(CheckWritable(*path.mount()));
  Inode& inode = *path.dentry()->inode();
  TRY_VOID(MayWrite(*caller.cred, inode, name));
  TRY_VOID(CheckWhole(name));
  TRY_VOID(inode.SetXattr(name, value, flags));
  FileEvents::TellPath(path, IN_ATTRIB);
  return {};
}

ErrnoOrVoid RemoveXattr(const Caller& caller, const Path& path, const std::string& name) {
  TRY_VOID(CheckName(name));
  if (path.mount()) TRY_VOID(CheckWritable(*path.mount()));
  Inode& inode = *path.dentry()->inode();
  TRY_VOID(MayWrite(*caller.cred, inode, name));
  TRY_VOID(CheckWhole(name));
  TRY_VOID(inode.RemoveXattr(name));
  FileEvents::TellPath(path, IN_ATTRIB);
  return {};
}

ErrnoOr<std::vector<std::string>> ListXattr(const Caller& caller, const Path& path) {
  std::vector<std::string> names = TRY(path.dentry()->inode()->ListXattr());
  if (!caller.cred->Has(CAP_SYS_ADMIN)) {
    std::erase_if(names, [](const std::string& name) { return SpaceOf(name) == Space::kTrusted; });
  }
  return names;
}

}  // namespace cloister::vfs
