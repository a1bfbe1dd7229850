#include "sentry/fs/proc/memory_use.h"

#include <sys/mman.h>

#include <algorithm>

namespace cloister::proc {

uint64_t ResidentOf(const mm::Area& area) {
  return area.prot == PROT_NONE || (area.flags & MAP_NORESERVE) != 0 ? 0 : area.size();
}

MemoryUse MeasureMemory(const mm::MemoryManager* memory) {
  MemoryUse use;
  if (memory == nullptr) return use;
  uint64_t executable = 0;
  for (const mm::Area& area : memory->Areas()) {
    const uint64_t size = area.size();
    use.total += size;
    if (area.shared_id != 0) {
      use.shared += ResidentOf(area);
    } else if (area.file) {
      use.file += ResidentOf(area);
    } else {
      use.anonymous += ResidentOf(area);
    }
    const bool stack = area.name == "[stack]" || (area.flags & MAP_GROWSDOWN) != 0;
    if (stack) {
      use.stack += size;
    } else if (area.is_data()) {
      use.data += size;
    } else if (area.file && (area.prot & PROT_EXEC) != 0) {
      executable += size;
    }
    if ((area.flags & MAP_LOCKED) != 0) use.locked += size;
  }
  const mm::MemoryManager::Layout layout = memory->layout();
  use.code = std::min(executable, layout.end_code - std::min(layout.start_code, layout.end_code));
  use.library = executable - use.code;
  return use;
}

}  // namespace cloister::proc
