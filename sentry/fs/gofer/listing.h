#ifndef CLOISTER_SENTRY_FS_GOFER_LISTING_H_
#define CLOISTER_SENTRY_FS_GOFER_LISTING_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "gofer/protocol/gofer.pb.h"
#include "sentry/vfs/directory_file.h"
#include "sentry/vfs/name_map.h"

namespace cloister::goferfs {

// The names of a directory with cookies that count up, so that readers keep their place while
// names come and go. Not thread-safe: its owner locks.
class Listing {
 public:
  struct Entry {
    std::string name;
    uint8_t type = 0;                   // DT_…
    uint64_t ino = 0;                   // the host's
    std::unique_ptr<gofer::Node> node;  // attributes that came with the name; without id
  };

  // Takes what a reply says. False for a name that is none (a gofer gone bad).
  bool Add(const gofer::Entry& entry);
  void Add(std::string_view name, uint8_t type, uint64_t ino);
  void Remove(std::string_view name);
  void Clear();

  // Null if there is none. Valid until the next change.
  Entry* Find(std::string_view name);
  // Gives names that are known the attributes of the same names in `other`.
  void TakeNodes(Listing* other);
  size_t size() const { return names_.size(); }
  // device_bits: as Remote::device_bits.
  void Emit(int64_t from, uint64_t device_bits,
            absl::FunctionRef<bool(const vfs::DirectoryFile::Entry&)> emit) const;

 private:
  vfs::NameMap<int64_t> names_;
  std::map<int64_t, Entry> entries_;
  int64_t next_ = vfs::CookieDirectory::kFirstCookie;
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_LISTING_H_
