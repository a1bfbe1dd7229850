#ifndef CLOISTER_GOFER_TREE_NODE_TABLE_H_
#define CLOISTER_GOFER_TREE_NODE_TABLE_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "gofer/tree/host_node.h"

namespace cloister::gofer {

// The nodes that the sentry holds, by the id it knows them under. Each id holds one reference; a
// request under way holds its own, so Forget on another connection is harmless. Bounded: every
// node is a host descriptor. Thread-safe.
class NodeTable {
 public:
  explicit NodeTable(uint64_t max_nodes) : max_nodes_(max_nodes) {}

  // kNFile when the table is full.
  ErrnoOr<uint64_t> Add(Ref<HostNode> node) ABSL_LOCKS_EXCLUDED(mu_);
  // kBadf for an id that is not held.
  ErrnoOr<Ref<HostNode>> Get(uint64_t id) const ABSL_LOCKS_EXCLUDED(mu_);
  // Unknown ids are skipped.
  void Forget(uint64_t id) ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t max_nodes() const { return max_nodes_; }
  uint64_t size() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const uint64_t max_nodes_;
  mutable absl::Mutex mu_;  // leaf
  absl::flat_hash_map<uint64_t, Ref<HostNode>> nodes_ ABSL_GUARDED_BY(mu_);
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_TREE_NODE_TABLE_H_
