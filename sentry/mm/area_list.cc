#include "sentry/mm/area_list.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

namespace cloister::mm {
namespace {

// Drops the part of the area before `start` or from `end` on.
void CutTo(Area& area, uint64_t start, uint64_t end) {
  if (start > area.start) {
    area.offset += start - area.start;
    area.start = start;
  }
  area.end = std::min(area.end, end);
}

bool CanMerge(const Area& a, const Area& b) {
  if (a.end != b.start || a.prot != b.prot || a.flags != b.flags || a.shared_id != b.shared_id) return false;
  if (a.file.mappable != b.file.mappable || a.file.keep != b.file.keep) return false;
  if (a.file && a.file.mappable->attached_bytes() != 0) return false;  // each is counted
  const bool has_offset = static_cast<bool>(a.file) || a.shared_id != 0;
  if (has_offset && a.offset + a.size() != b.offset) return false;
  return a.may_write == b.may_write && a.may_exec == b.may_exec && a.dont_fork == b.dont_fork &&
         a.wipe_on_fork == b.wipe_on_fork && a.dont_dump == b.dont_dump && a.name == b.name;
}

// Where the free space below an area ends.
uint64_t FreeBelow(const Area& area) {
  if ((area.flags & MAP_GROWSDOWN) == 0) return area.start;
  return area.start > AreaList::kGuardGap ? area.start - AreaList::kGuardGap : 0;
}

}  // namespace

AreaList::~AreaList() {
  for (const auto& [start, area] : map_) TellRemoved(area);
}

void AreaList::TellAdded(const Area& area) const {
  if (area.file) area.file.mappable->OnAreaAdded(owner_);
}

void AreaList::TellRemoved(const Area& area) const {
  if (area.file) area.file.mappable->OnAreaRemoved(owner_);
}

AreaList::Map::const_iterator AreaList::FirstEndingAbove(uint64_t addr) const {
  auto it = map_.upper_bound(addr);
  if (it != map_.begin() && std::prev(it)->second.end > addr) --it;
  return it;
}

const Area* AreaList::Find(uint64_t addr) const {
  const auto it = FirstEndingAbove(addr);
  return it != map_.end() && it->second.start <= addr ? &it->second : nullptr;
}

bool AreaList::Overlaps(uint64_t start, uint64_t end) const {
  const auto it = FirstEndingAbove(start);
  return start < end && it != map_.end() && it->second.start < end;
}

bool AreaList::IsFree(uint64_t start, uint64_t end) const {
  const auto it = FirstEndingAbove(start);
  return it == map_.end() || (it->second.start >= end && FreeBelow(it->second) >= end);
}

uint64_t AreaList::BytesIn(uint64_t start, uint64_t end) const {
  uint64_t bytes = 0;
  Visit(start, end, [&](const Area& area) {
    bytes += std::min(area.end, end) - std::max(area.start, start);
    return true;
  });
  return bytes;
}

bool AreaList::Covers(uint64_t start, uint64_t end) const {
  for (auto it = FirstEndingAbove(start); start < end; ++it) {
    if (it == map_.end() || it->second.start > start) return false;
    start = it->second.end;
  }
  return true;
}

std::vector<Area> AreaList::Copy(uint64_t start, uint64_t end) const {
  std::vector<Area> copies;
  Visit(start, end, [&](const Area& area) {
    CutTo(copies.emplace_back(area), start, end);
    return true;
  });
  return copies;
}

void AreaList::Visit(uint64_t start, uint64_t end, absl::FunctionRef<bool(const Area&)> visit) const {
  if (start >= end) return;
  for (auto it = FirstEndingAbove(start); it != map_.end() && it->second.start < end; ++it) {
    if (!visit(it->second)) return;
  }
}

void AreaList::Count(const Area& area, bool add) {
  const uint64_t change = add ? area.size() : -area.size();
  total_ += change;
  if (area.is_data()) data_ += change;
  if ((area.flags & MAP_LOCKED) != 0) locked_ += change;
}

AreaList::Map::iterator AreaList::MergeWithPrevious(Map::iterator it) {
  if (it == map_.begin() || it == map_.end()) return it;
  const auto previous = std::prev(it);
  if (!CanMerge(previous->second, it->second)) return it;
  previous->second.end = it->second.end;
  map_.erase(it);
  return previous;
}

void AreaList::Insert(Area area) {
  assert(area.start < area.end && !Overlaps(area.start, area.end));
  Count(area, true);
  TellAdded(area);
  const uint64_t start = area.start;
  const auto it = MergeWithPrevious(map_.emplace(start, std::move(area)).first);
  MergeWithPrevious(std::next(it));
}

void AreaList::SplitAt(uint64_t addr) {
  auto it = map_.lower_bound(addr);
  if (it == map_.begin()) return;
  Area& area = std::prev(it)->second;
  if (area.end <= addr) return;
  Area upper = area;
  CutTo(upper, addr, area.end);
  area.end = addr;
  TellAdded(upper);
  map_.emplace_hint(it, addr, std::move(upper));
}

std::vector<Area> AreaList::Remove(uint64_t start, uint64_t end) {
  std::vector<Area> removed;
  if (!Overlaps(start, end)) return removed;
  SplitAt(start);
  SplitAt(end);
  auto it = map_.lower_bound(start);
  while (it != map_.end() && it->second.start < end) {
    Count(it->second, false);
    TellRemoved(it->second);
    removed.push_back(std::move(it->second));
    it = map_.erase(it);
  }
  const uint64_t gap_end = it == map_.end() ? cache_.high : std::min(cache_.high, it->second.start);
  cache_.top = std::max(cache_.top, gap_end);
  return removed;
}

void AreaList::Change(uint64_t start, uint64_t end, absl::FunctionRef<void(Area&)> change) {
  if (!Overlaps(start, end)) return;
  SplitAt(start);
  SplitAt(end);
  auto it = map_.lower_bound(start);
  while (it != map_.end() && it->second.start < end) {
    Count(it->second, false);
    change(it->second);
    Count(it->second, true);
    it = std::next(MergeWithPrevious(it));
  }
  MergeWithPrevious(it);
}

std::optional<uint64_t> AreaList::Search(uint64_t length, uint64_t low, uint64_t from,
                                         uint64_t* largest_skipped) const {
  auto it = map_.lower_bound(from);
  uint64_t ceiling = it == map_.end() ? from : std::min(from, FreeBelow(it->second));
  while (true) {
    const bool first = it == map_.begin();
    const uint64_t floor = first ? low : std::max(low, std::prev(it)->second.end);
    if (ceiling > floor) {
      if (ceiling - floor >= length) return ceiling - length;
      *largest_skipped = std::max(*largest_skipped, ceiling - floor);
    }
    if (first || floor == low) return std::nullopt;
    --it;
    ceiling = std::min(ceiling, FreeBelow(it->second));
  }
}

std::optional<uint64_t> AreaList::FindGap(uint64_t length, uint64_t low, uint64_t high) {
  if (cache_.low != low || cache_.high != high || length <= cache_.skipped) cache_ = {low, high, high, 0};
  const std::optional<uint64_t> found = Search(length, low, cache_.top, &cache_.skipped);
  cache_.top = found.value_or(low);
  return found;
}

}  // namespace cloister::mm
