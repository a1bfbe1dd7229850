// The names of UnixCore: unix(7), "Address format".

#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <utility>

#include "sentry/net/unix/unix_core.h"
#include "sentry/vfs/dentry.h"
#include "sentry/vfs/inode.h"
#include "sentry/vfs/mount.h"

namespace cloister::net {
namespace {

// Guards every inode's bound socket: a lookup must not meet a socket that goes.
absl::Mutex& BoundMutex() {
  static absl::Mutex* const mutex = new absl::Mutex;
  return *mutex;
}

SocketAddress AbstractAddress(const std::string& name) {
  sockaddr_un un = {};
  un.sun_family = AF_UNIX;
  memcpy(un.sun_path + 1, name.data(), std::min(name.size(), sizeof un.sun_path - 1));
  const size_t size = offsetof(sockaddr_un, sun_path) + 1 + name.size();
  return *SocketAddress::From(std::as_bytes(std::span(&un, 1)).first(std::min(size, sizeof un)));
}

bool IsAbstract(const SocketAddress& address) {
  return address.size() > offsetof(sockaddr_un, sun_path) &&
         address.bytes()[offsetof(sockaddr_un, sun_path)] == std::byte{0};
}

std::string AbstractName(const SocketAddress& address) {
  const std::span<const std::byte> name = address.bytes().subspan(offsetof(sockaddr_un, sun_path) + 1);
  return std::string(reinterpret_cast<const char*>(name.data()), name.size());
}

}  // namespace

SocketAddress UnixCore::address() const {
  absl::MutexLock lock(&mu_);
  return address_;
}

bool UnixCore::BeginNaming() {
  absl::MutexLock lock(&mu_);
  if (naming_ || !address_.empty()) return false;
  naming_ = true;
  return true;
}

void UnixCore::EndNaming(const SocketAddress* address, vfs::Path path) {
  absl::MutexLock lock(&mu_);
  naming_ = false;
  if (address == nullptr) return;
  address_ = *address;
  path_ = std::move(path);
  owns_name_ = true;
}

ErrnoOrVoid UnixCore::BindAbstract(const std::string& name) {
  if (!BeginNaming()) return Errno::kInval;
  if (!names().Bind(name, *this)) {
    EndNaming(nullptr, {});
    return Errno::kAddrInUse;
  }
  const SocketAddress address = AbstractAddress(name);
  EndNaming(&address, {});
  return {};
}

ErrnoOrVoid UnixCore::BindAny() {
  if (!BeginNaming()) return {};  // autobind of a socket that has a name does nothing
  const std::string name = names().BindAny(*this);
  if (name.empty()) {
    EndNaming(nullptr, {});
    return Errno::kNoSpc;
  }
  const SocketAddress address = AbstractAddress(name);
  EndNaming(&address, {});
  return {};
}

ErrnoOrVoid UnixCore::BindPath(const SocketAddress& address, absl::FunctionRef<ErrnoOr<vfs::Path>()> make) {
  if (!BeginNaming()) return Errno::kInval;
  ErrnoOr<vfs::Path> path = make();
  if (!path.ok()) {
    EndNaming(nullptr, {});
    return path.error() == Errno::kExist ? Errno::kAddrInUse : path.error();
  }
  {
    absl::MutexLock lock(&BoundMutex());
    path->dentry()->inode()->SetBoundSocket(this);
  }
  EndNaming(&address, *std::move(path));
  return {};
}

Ref<UnixCore> UnixCore::FindBound(vfs::Inode& inode) {
  absl::MutexLock lock(&BoundMutex());
  RefCounted* const bound = inode.bound_socket();
  if (bound == nullptr || !bound->TryIncRef()) return nullptr;
  return Ref<UnixCore>::Adopt(static_cast<UnixCore*>(bound));
}

void UnixCore::ReleaseName(const SocketAddress& address, const vfs::Path& path) {
  if (IsAbstract(address)) names().Release(AbstractName(address), *this);
  if (!path) return;
  absl::MutexLock lock(&BoundMutex());
  vfs::Inode& inode = *path.dentry()->inode();
  if (inode.bound_socket() == this) inode.SetBoundSocket(nullptr);
}

}  // namespace cloister::net
