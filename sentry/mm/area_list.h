#ifndef CLOISTER_SENTRY_MM_AREA_LIST_H_
#define CLOISTER_SENTRY_MM_AREA_LIST_H_

#include <sys/mman.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "sentry/mm/mappable.h"

namespace cloister::mm {

inline constexpr uint64_t kPageSize = 4096;

// One mapping. Linux: struct vm_area_struct.
struct Area {
  uint64_t start = 0;
  uint64_t end = 0;     // exclusive
  int prot = 0;         // PROT_…
  int flags = 0;        // MAP_SHARED or MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_NORESERVE, MAP_LOCKED
  MappedFile file;      // empty for anonymous memory
  uint64_t offset = 0;  // of start in file, or in the shared anonymous memory
  uint64_t shared_id = 0;     // which shared anonymous memory this is; 0: none
  bool may_write = true;      // a shared mapping of a file that is not open for writing: false
  bool may_exec = true;       // a file on a noexec mount: false
  bool dont_fork = false;     // MADV_DONTFORK
  bool wipe_on_fork = false;  // MADV_WIPEONFORK
  bool dont_dump = false;     // MADV_DONTDUMP
  std::string name;           // "[stack]", "[heap]", "[vdso]"; empty otherwise

  uint64_t size() const { return end - start; }
  bool shared() const { return (flags & MAP_SHARED) != 0; }
  // Counts against RLIMIT_DATA: private, writable and no stack.
  bool is_data() const { return !shared() && (prot & PROT_WRITE) != 0 && (flags & MAP_GROWSDOWN) == 0; }
};

// Areas by address, never overlapping, neighbours that can be one being one. Not thread-safe.
// Ranges are page-aligned with start <= end; the caller has checked them.
class AreaList {
 public:
  using Map = std::map<uint64_t, Area>;  // by start

  // Linux keeps this much free below a mapping that grows down (stack_guard_gap).
  static constexpr uint64_t kGuardGap = 256 * kPageSize;

  AreaList() = default;
  AreaList(const AreaList&) = delete;
  AreaList& operator=(const AreaList&) = delete;
  ~AreaList();

  // The process that is named to what counts its areas (Mappable::OnAreaAdded).
  pid_t owner() const { return owner_; }
  void set_owner(pid_t owner) { owner_ = owner; }

  const Map& map() const { return map_; }
  size_t size() const { return map_.size(); }

  // The area that holds addr, or null.
  const Area* Find(uint64_t addr) const;
  bool Overlaps(uint64_t start, uint64_t end) const;
  // Whether a mapping may be put there: nothing in the range, nor what may grow down into it close above.
  bool IsFree(uint64_t start, uint64_t end) const;
  // Bytes of the range that are mapped.
  uint64_t BytesIn(uint64_t start, uint64_t end) const;
  // Whether no page of the range is missing. An empty range is covered.
  bool Covers(uint64_t start, uint64_t end) const;
  // Areas that meet the range, cut to it.
  std::vector<Area> Copy(uint64_t start, uint64_t end) const;
  // Calls visit on each area that meets the range (not cut); stops when it says false.
  void Visit(uint64_t start, uint64_t end, absl::FunctionRef<bool(const Area&)> visit) const;

  // Adds an area where nothing is, and merges it with its neighbours.
  void Insert(Area area);
  // Empties the range. Returns what was there, cut to it: the caller drops the files behind it
  // where no lock is held.
  std::vector<Area> Remove(uint64_t start, uint64_t end);
  // Changes each area within the range, split at its ends; not start, end or offset.
  void Change(uint64_t start, uint64_t end, absl::FunctionRef<void(Area&)> change);

  // The highest free range of length bytes within [low, high).
  std::optional<uint64_t> FindGap(uint64_t length, uint64_t low, uint64_t high);

  uint64_t total_bytes() const { return total_; }
  uint64_t data_bytes() const { return data_; }
  uint64_t locked_bytes() const { return locked_; }

 private:
  Map::const_iterator FirstEndingAbove(uint64_t addr) const;
  void SplitAt(uint64_t addr);
  // Merges the area with the one before it, if they are compatible; returns the one that holds it.
  Map::iterator MergeWithPrevious(Map::iterator it);
  void Count(const Area& area, bool add);
  void TellAdded(const Area& area) const;
  void TellRemoved(const Area& area) const;
  std::optional<uint64_t> Search(uint64_t length, uint64_t low, uint64_t from,
                                 uint64_t* largest_skipped) const;

  Map map_;
  pid_t owner_ = 0;
  uint64_t total_ = 0;
  uint64_t data_ = 0;
  uint64_t locked_ = 0;

  // Where the last search for a gap in [low, high) ended: every gap within [top, high) is at most
  // `skipped` long, so a larger one is looked for below.
  struct SearchCache {
    uint64_t low = 0, high = 0;
    uint64_t top = 0;
    uint64_t skipped = 0;
  };
  SearchCache cache_;
};

}  // namespace cloister::mm

#endif  // CLOISTER_SENTRY_MM_AREA_LIST_H_
