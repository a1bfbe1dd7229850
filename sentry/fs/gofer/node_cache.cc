#include "sentry/fs/gofer/node_cache.h"

#include "sentry/fs/gofer/client.h"
#include "sentry/fs/gofer/remote.h"

namespace cloister::goferfs {
namespace {

constexpr size_t kEvictAtOnce = 64;

}  // namespace

void NodeCache::UnlinkLocked(Remote& remote) {
  (remote.older_ != nullptr ? remote.older_->newer_ : oldest_) = remote.newer_;
  (remote.newer_ != nullptr ? remote.newer_->older_ : newest_) = remote.older_;
  remote.older_ = remote.newer_ = nullptr;
  remote.cached_ = false;
  --size_;
}

void NodeCache::AppendLocked(Remote& remote) {
  remote.older_ = newest_;
  (newest_ != nullptr ? newest_->newer_ : oldest_) = &remote;
  newest_ = &remote;
  remote.cached_ = true;
  ++size_;
}

std::vector<uint64_t> NodeCache::EvictLocked() {
  std::vector<uint64_t> nodes;
  for (size_t i = 0; i < kEvictAtOnce && oldest_ != nullptr; ++i) {
    Remote& remote = *oldest_;
    UnlinkLocked(remote);
    if (const uint64_t node = remote.Evict(); node != 0) {
      nodes.push_back(node);
    } else {
      AppendLocked(remote);  // in use
    }
  }
  return nodes;
}

void NodeCache::Used(Remote& remote) {
  std::vector<uint64_t> nodes;
  {
    absl::MutexLock lock(&mu_);
    if (newest_ == &remote) return;
    if (remote.cached_) UnlinkLocked(remote);
    AppendLocked(remote);
    if (size_ > capacity_) nodes = EvictLocked();
  }
  for (const uint64_t node : nodes) client_.Forget(node);
}

void NodeCache::Remove(Remote& remote) {
  absl::MutexLock lock(&mu_);
  if (remote.cached_) UnlinkLocked(remote);
}

}  // namespace cloister::goferfs
