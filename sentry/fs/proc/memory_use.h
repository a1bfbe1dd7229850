#ifndef CLOISTER_SENTRY_FS_PROC_MEMORY_USE_H_
#define CLOISTER_SENTRY_FS_PROC_MEMORY_USE_H_

#include <cstdint>
#include <vector>

#include "sentry/mm/memory_manager.h"

namespace cloister::proc {

// What a process' mappings amount to, in bytes. The host keeps the pages and does not say which are
// there: what could be resident counts as resident.
struct MemoryUse {
  uint64_t total = 0;
  uint64_t anonymous = 0;  // could be resident: neither PROT_NONE nor MAP_NORESERVE
  uint64_t file = 0;
  uint64_t shared = 0;  // shared anonymous memory
  uint64_t data = 0;    // private and writable
  uint64_t stack = 0;
  uint64_t code = 0;     // of the program
  uint64_t library = 0;  // other executable mappings
  uint64_t locked = 0;

  uint64_t resident() const { return anonymous + file + shared; }
};

// Bytes of the area that may be resident.
uint64_t ResidentOf(const mm::Area& area);
// memory may be null: nothing is in use.
MemoryUse MeasureMemory(const mm::MemoryManager* memory);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_MEMORY_USE_H_
