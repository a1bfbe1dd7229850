#ifndef CLOISTER_SENTRY_NET_SOCKET_NET_NAMESPACE_H_
#define CLOISTER_SENTRY_NET_SOCKET_NET_NAMESPACE_H_

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "sentry/net/socket/stack.h"

namespace cloister::net {

// Abstract names of unix sockets, without the leading NUL: unix(7). Holds no references. Thread-safe.
class AbstractNames {
 public:
  // False if the name is taken. The owner calls Release before it goes.
  bool Bind(const std::string& name, RefCounted& owner) ABSL_LOCKS_EXCLUDED(mu_);
  void Release(const std::string& name, const RefCounted& owner) ABSL_LOCKS_EXCLUDED(mu_);
  // Null if there is none or it goes just now.
  Ref<RefCounted> Find(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  // Binds a free name of five hexadecimal digits; empty if all are taken.
  std::string BindAny(RefCounted& owner) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Mutex mu_;  // leaf
  absl::flat_hash_map<std::string, RefCounted*> owners_ ABSL_GUARDED_BY(mu_);
  uint32_t next_ ABSL_GUARDED_BY(mu_) = 0;
};

// What sockets of one network namespace share. Linux: struct net. A sandbox has one.
class NetNamespace : public RefCounted {
 public:
  // The sandbox's; null before boot has installed it. Installed once, before the first guest runs.
  static const Ref<NetNamespace>& OfSandbox();
  static void Install(Ref<NetNamespace> net);

  // stack: null where there is no internet at all (tests).
  explicit NetNamespace(Ref<Stack> stack) : stack_(std::move(stack)) {}

  Stack* stack() const { return stack_.get(); }
  AbstractNames& abstract_names() { return abstract_names_; }

 private:
  const Ref<Stack> stack_;
  AbstractNames abstract_names_;
};

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_SOCKET_NET_NAMESPACE_H_
