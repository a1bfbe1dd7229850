#ifndef CLOISTER_SENTRY_VFS_NAME_MAP_H_
#define CLOISTER_SENTRY_VFS_NAME_MAP_H_

#include <functional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

namespace cloister::vfs {

// Seeded per process, so that a guest cannot choose names that collide.
struct NameHash {
  using is_transparent = void;
  size_t operator()(std::string_view name) const {
    return absl::Hash<absl::string_view>()(absl::string_view(name.data(), name.size()));
  }
};

// From file names to T; looked up by std::string_view without a copy.
template <typename T>
using NameMap = absl::flat_hash_map<std::string, T, NameHash, std::equal_to<>>;

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_NAME_MAP_H_
