// HostNode::ReadDir: getdents64(2) of a whole directory, in pieces.

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "gofer/protocol/limits.h"
#include "gofer/tree/host_calls.h"
#include "gofer/tree/host_node.h"

namespace cloister::gofer {
namespace {

constexpr size_t kBatchBytes = 32 << 10;
// A reply fits its window: what an entry takes there at most is counted, and half is left to the rest.
constexpr size_t kListingBytes = kWindowBytes / 2;
constexpr size_t kEntryBytes = 48;
constexpr size_t kAttrBytes = 192;

bool IsDots(const char* name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

// Attributes of one entry; left out if it has gone meanwhile.
void AddAttr(int dir, DirEntry* entry) {
  ErrnoOr<struct statx> attr = StatAt(dir, entry->name.c_str());
  if (!attr.ok()) return;
  if (S_ISLNK(attr->stx_mode)) {
    ErrnoOr<std::string> target = ReadlinkAt(dir, entry->name.c_str());
    if (!target.ok()) return;
    entry->target = *std::move(target);
  }
  entry->attr = *attr;
}

size_t CostOf(const DirEntry& entry) {
  return kEntryBytes + entry.name.size() + entry.target.size() + (entry.attr ? kAttrBytes : 0);
}

}  // namespace

ErrnoOr<DirListing> HostNode::ReadDir(uint64_t cookie, uint32_t attr_limit, size_t max_entries) const {
  TRY_VOID(CheckDirectory());
  if (cookie > INT64_MAX || attr_limit > kMaxListEntries) return Errno::kInval;
  const UniqueFd dir = TRY(OpenBeneath(fd_.get(), ".", O_RDONLY | O_DIRECTORY));
  if (cookie != 0 && lseek(dir.get(), static_cast<off_t>(cookie), SEEK_SET) < 0) return HostErrno();
  DirListing listing;
  listing.next = cookie;
  size_t bytes = 0;
  const auto batch = std::make_unique_for_overwrite<char[]>(kBatchBytes);
  while (true) {
    const ssize_t got = getdents64(dir.get(), batch.get(), kBatchBytes);
    if (got < 0) return HostErrno();
    if (got == 0) {
      listing.end = true;
      return listing;
    }
    for (ssize_t at = 0; at < got;) {
      const auto* host = reinterpret_cast<const dirent64*>(batch.get() + at);
      at += host->d_reclen;
      if (IsDots(host->d_name)) continue;
      if (listing.entries.size() >= max_entries || bytes >= kListingBytes) return listing;
      DirEntry entry{.name = host->d_name, .type = host->d_type, .ino = host->d_ino};
      if (listing.entries.size() < attr_limit) AddAttr(dir.get(), &entry);
      bytes += CostOf(entry);
      listing.next = static_cast<uint64_t>(host->d_off);
      listing.entries.push_back(std::move(entry));
    }
  }
}

}  // namespace cloister::gofer
