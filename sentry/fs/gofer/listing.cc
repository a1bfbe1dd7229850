#include "sentry/fs/gofer/listing.h"

#include <dirent.h>

#include <utility>

#include "gofer/protocol/limits.h"

namespace cloister::goferfs {
namespace {

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= gofer::kMaxNameBytes && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

}  // namespace

bool Listing::Add(const gofer::Entry& entry) {
  if (!IsName(entry.name())) return false;
  if (names_.contains(entry.name())) return true;  // moved while the host was read
  const int64_t cookie = next_++;
  names_.emplace(entry.name(), cookie);
  Entry& added = entries_[cookie];
  added.name = entry.name();
  added.type = static_cast<uint8_t>(entry.type());
  added.ino = entry.ino();
  if (!entry.has_attr()) return true;
  added.node = std::make_unique<gofer::Node>();
  *added.node->mutable_attr() = entry.attr();
  added.node->set_target(entry.target());
  return true;
}

void Listing::Add(std::string_view name, uint8_t type, uint64_t ino) {
  Remove(name);
  const int64_t cookie = next_++;
  names_.emplace(name, cookie);
  entries_.emplace(cookie, Entry{std::string(name), type, ino, nullptr});
}

void Listing::Remove(std::string_view name) {
  const auto found = names_.find(name);
  if (found == names_.end()) return;
  entries_.erase(found->second);
  names_.erase(found);
}

void Listing::Clear() {
  names_.clear();
  entries_.clear();
}

Listing::Entry* Listing::Find(std::string_view name) {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &entries_.at(found->second);
}

void Listing::TakeNodes(Listing* other) {
  for (auto& [cookie, entry] : other->entries_) {
    Entry* const mine = Find(entry.name);
    if (mine != nullptr) mine->node = std::move(entry.node);
  }
}

void Listing::Emit(int64_t from, uint64_t device_bits,
                   absl::FunctionRef<bool(const vfs::DirectoryFile::Entry&)> emit) const {
  for (auto at = entries_.lower_bound(from); at != entries_.end(); ++at) {
    const Entry& entry = at->second;
    if (!emit({entry.ino ^ device_bits, entry.type, entry.name, at->first + 1})) return;
  }
}

}  // namespace cloister::goferfs
