#ifndef CLOISTER_PLATFORM_STUB_PATCH_H_
#define CLOISTER_PLATFORM_STUB_PATCH_H_

#include <cstdint>

#include "platform/stub/internal.h"

// Patched call sites, of two shapes. Seven bytes become `jmp *slot`, where the slot is the first word of an
// entry of the table at kPatchBase: code that loads the address to return to and goes on at stub_entry. The
// table is private memory of the process: a fork takes it along.
//
//   b8 nr nr nr nr 0f 05      mov $nr,%eax; syscall
//   ff 24 25 lo mi 06 00      jmp *0x0006milo
//
// A thread that was between the two instructions finds 06, which is none, and is mended by the handler.
//
//   0f 05 48 3d li f0 ff ff   syscall; cmp $0xfffffffffffff0li,%rax     (li: 00 or 01)
//   ff 24 e5 lo mi 06 00 ff   jmp *0x0006milo
//
// The comparison is made by the stub behind the call. A thread that comes to it in another way, because it
// trapped before or returns from a signal handler, finds `in`, which faults, and the handler compares for it.

namespace cloister::stub {

struct PatchEntry {
  uint64_t code;  // the address of the next byte
  // mov $nr,%eax; movabs $return,%rcx; jmp *PatchTable::entry. Or: mov $this,%r11d; movabs $return,%rcx;
  // jmp *PatchTable::compare_entry, and what is compared with.
  uint8_t bytes[24];
};

struct PatchTable {
  static constexpr uint32_t kEntries = (kPatchBytes - 4096) / sizeof(PatchEntry);

  uint64_t entry, compare_entry;  // stub_entry, stub_compare_entry
  uint32_t count;                 // given out; may run beyond kEntries
  uint8_t pad[4096 - 20];
  PatchEntry entries[kEntries];
};
static_assert(sizeof(PatchTable) <= kPatchBytes && sizeof(PatchEntry) == 32);

// Makes the table usable, and empty.
void InitPatchTable();

// A call trapped that returns to `rip`. The site, if it is worth patching now, else 0.
uint64_t SiteToPatch(Context* context, uint64_t rip, uint64_t nr);

// Patches a site whose pages are writable. Does nothing where the site is not what it was.
void PatchCall(uint64_t site);

// Gives every patched site back what it had, as far as its pages are still what they were.
void UnpatchCalls();

// SIGILL at rip: what a site that is being or has been patched makes of a thread that was in it.
enum class Mend {
  kNone,   // the guest's own fault
  kRetry,  // run on: the patch is complete in a moment
  kCall,   // the thread was about to run the `syscall` at rip
};
Mend MendAt(uint64_t rip);

// SIGSEGV. True: it was at the comparison of a patched site, and uc goes on.
bool SkipComparison(UContext* uc);

// The end of a call that was patched together with its comparison.
extern "C" void stub_compare(Context* context, const PatchEntry* entry);

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_PATCH_H_
