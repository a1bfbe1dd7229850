#include "gofer/tree/node_table.h"

#include <utility>

namespace cloister::gofer {

ErrnoOr<uint64_t> NodeTable::Add(Ref<HostNode> node) {
  absl::MutexLock lock(&mu_);
  if (nodes_.size() >= max_nodes_) return Errno::kNFile;
  nodes_.emplace(++last_id_, std::move(node));
  return last_id_;
}

ErrnoOr<Ref<HostNode>> NodeTable::Get(uint64_t id) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return Errno::kBadf;
  return found->second;
}

void NodeTable::Forget(uint64_t id) {
  Ref<HostNode> last;  // closed outside the lock
  absl::MutexLock lock(&mu_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return;
  last = std::move(found->second);
  nodes_.erase(found);
}

uint64_t NodeTable::size() const {
  absl::ReaderMutexLock lock(&mu_);
  return nodes_.size();
}

}  // namespace cloister::gofer
