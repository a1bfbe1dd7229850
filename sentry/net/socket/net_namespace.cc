#include "sentry/net/socket/net_namespace.h"

#include "absl/strings/str_format.h"

namespace cloister::net {
namespace {

constexpr uint32_t kAutobindNames = 1 << 20;

Ref<NetNamespace>& Installed() {
  static Ref<NetNamespace>* const installed = new Ref<NetNamespace>;
  return *installed;
}

}  // namespace

const Ref<NetNamespace>& NetNamespace::OfSandbox() { return Installed(); }

void NetNamespace::Install(Ref<NetNamespace> net) { Installed() = std::move(net); }

bool AbstractNames::Bind(const std::string& name, RefCounted& owner) {
  absl::MutexLock lock(&mu_);
  return owners_.try_emplace(name, &owner).second;
}

void AbstractNames::Release(const std::string& name, const RefCounted& owner) {
  absl::MutexLock lock(&mu_);
  const auto it = owners_.find(name);
  if (it != owners_.end() && it->second == &owner) owners_.erase(it);
}

Ref<RefCounted> AbstractNames::Find(const std::string& name) {
  absl::MutexLock lock(&mu_);
  const auto it = owners_.find(name);
  if (it == owners_.end() || !it->second->TryIncRef()) return nullptr;
  return Ref<RefCounted>::Adopt(it->second);
}

std::string AbstractNames::BindAny(RefCounted& owner) {
  absl::MutexLock lock(&mu_);
  for (uint32_t tries = 0; tries < kAutobindNames; ++tries) {
    std::string name = absl::StrFormat("%05x", next_++ % kAutobindNames);
    if (owners_.try_emplace(name, &owner).second) return name;
  }
  return "";
}

}  // namespace cloister::net
