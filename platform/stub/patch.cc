#include "platform/stub/patch.h"

#include <asm/unistd.h>

namespace cloister::stub {
namespace {

constexpr uint64_t kSiteBytes = 7, kMovBytes = 5;
constexpr uint8_t kInvalid = 0x06;  // push %es: no instruction in 64-bit mode
constexpr uint8_t kHot = 24;        // traps at about one place, after which it is patched
constexpr uint8_t kMovEax = 0xb8;

PatchTable* Table() { return reinterpret_cast<PatchTable*>(kPatchBase); }

template <typename T>
T LoadUnaligned(const uint8_t* at) {
  T value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}

uint8_t* Put(uint8_t* at, const void* bytes, uint64_t count) {
  __builtin_memcpy(at, bytes, count);
  return at + count;
}

bool ReadSite(uint64_t site, uint8_t (&bytes)[kSiteBytes]) {
  return stub_copy(bytes, reinterpret_cast<const void*>(site), kSiteBytes) == 0;
}

bool IsPlainCall(const uint8_t (&site)[kSiteBytes]) {
  return site[0] == kMovEax && site[5] == 0x0f && site[6] == 0x05;
}

// With REX.B before it, the mov is one to another register.
bool HasRexB(uint64_t site) {
  uint8_t before;
  if (stub_copy(&before, reinterpret_cast<const void*>(site - 1), 1) != 0) return true;
  return (before & 0xf1) == 0x41;
}

void WriteEntry(PatchEntry* entry, uint32_t nr, uint64_t site) {
  const uint64_t back = site + kSiteBytes;
  uint8_t* at = entry->bytes;
  at = Put(at, "\xb8", 1);
  at = Put(at, &nr, sizeof nr);
  at = Put(at, "\x48\xb9", 2);
  at = Put(at, &back, sizeof back);
  const auto jump = static_cast<int32_t>(reinterpret_cast<uint64_t>(&Table()->entry) -
                                         (reinterpret_cast<uint64_t>(at) + 6));
  at = Put(at, "\xff\x25", 2);
  Put(at, &jump, sizeof jump);
  entry->code = reinterpret_cast<uint64_t>(entry->bytes);
}

uint32_t Given() {
  const uint32_t count = __atomic_load_n(&Table()->count, __ATOMIC_ACQUIRE);
  return count < PatchTable::kEntries ? count : PatchTable::kEntries;
}

uint64_t ReturnOf(const PatchEntry& entry) { return LoadUnaligned<uint64_t>(entry.bytes + kMovBytes + 2); }
uint32_t NumberOf(const PatchEntry& entry) { return LoadUnaligned<uint32_t>(entry.bytes + 1); }

// An entry for the site: the one that it had before, else a fresh one; null where the table is full.
PatchEntry* EntryFor(uint32_t nr, uint64_t site) {
  PatchEntry* entries = Table()->entries;
  for (uint32_t i = 0; i < Given(); ++i) {
    if (ReturnOf(entries[i]) == site + kSiteBytes && NumberOf(entries[i]) == nr) return &entries[i];
  }
  if (Given() == PatchTable::kEntries) return nullptr;
  const uint32_t index = __atomic_fetch_add(&Table()->count, 1, __ATOMIC_ACQ_REL);
  if (index >= PatchTable::kEntries) return nullptr;
  WriteEntry(&entries[index], nr, site);
  return &entries[index];
}

bool Poke(uint64_t at, const uint8_t* bytes, uint64_t count) {
  const bool done = stub_copy(reinterpret_cast<void*>(at), bytes, count) == 0;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return done;
}

// Whether rip is in the middle of a site that a thread is just patching.
bool IsBeingPatched(uint64_t rip) {
  for (uint32_t i = 0; i < Given(); ++i) {
    if (ReturnOf(Table()->entries[i]) == rip + kSiteBytes) return true;
  }
  return false;
}

}  // namespace

void InitPatchTable() {
  Table()->entry = reinterpret_cast<uint64_t>(stub_entry);
  Table()->count = 0;
}

uint64_t SiteToPatch(Context* context, uint64_t rip, uint64_t nr) {
  if (nr == __NR_exit) return 0;  // the frame is worth more: Answer::kAdopt
  uint8_t* heat = &context->heat[(rip ^ rip >> 8 ^ rip >> 16) % sizeof context->heat];
  if (++*heat < kHot) return 0;
  *heat = 0;
  uint8_t bytes[kSiteBytes];
  const uint64_t site = rip - kSiteBytes;
  if (!ReadSite(site, bytes) || !IsPlainCall(bytes) || LoadUnaligned<uint32_t>(bytes + 1) != nr) return 0;
  return HasRexB(site) ? 0 : site;
}

// Other threads may be running the site. Its first byte is made invalid, the rest is written, then the first
// byte: whoever comes along meanwhile traps, and tries again.
void PatchCall(uint64_t site) {
  uint8_t bytes[kSiteBytes];
  if (!ReadSite(site, bytes) || !IsPlainCall(bytes)) return;
  const PatchEntry* entry = EntryFor(LoadUnaligned<uint32_t>(bytes + 1), site);
  if (entry == nullptr) return;
  const auto slot = static_cast<uint32_t>(reinterpret_cast<uint64_t>(entry));
  const uint8_t jump[kSiteBytes] = {0xff,
                                    0x24,
                                    0x25,
                                    static_cast<uint8_t>(slot),
                                    static_cast<uint8_t>(slot >> 8),
                                    static_cast<uint8_t>(slot >> 16),
                                    static_cast<uint8_t>(slot >> 24)};
  if (!Poke(site, &kInvalid, 1)) return;
  Poke(site + kMovBytes, jump + kMovBytes, 1);  // before its second byte: 06 05 is no instruction either
  Poke(site + 1, jump + 1, kSiteBytes - 1);
  Poke(site, jump, 1);
}

void UnpatchCalls() {
  constexpr uint64_t kPage = 4096, kReadExecute = 5, kAll = 7;
  for (uint32_t i = 0; i < Given(); ++i) {
    const PatchEntry& entry = Table()->entries[i];
    const uint64_t site = ReturnOf(entry) - kSiteBytes;
    uint8_t bytes[kSiteBytes];
    const bool ours = ReadSite(site, bytes) && bytes[0] == 0xff && bytes[1] == 0x24 && bytes[2] == 0x25 &&
                      LoadUnaligned<uint32_t>(bytes + 3) == reinterpret_cast<uint64_t>(&entry);
    if (!ours) continue;
    const uint64_t page = site / kPage * kPage;
    const uint64_t length = (site + kSiteBytes - 1) / kPage * kPage + kPage - page;
    if (stub_call(__NR_mprotect, page, length, kAll) != 0) continue;
    const uint32_t nr = NumberOf(entry);
    uint8_t call[kSiteBytes] = {kMovEax, 0, 0, 0, 0, 0x0f, 0x05};
    __builtin_memcpy(call + 1, &nr, sizeof nr);
    Poke(site, &kInvalid, 1);
    Poke(site + kMovBytes + 1, call + kMovBytes + 1, 1);  // 06 05 is no instruction either
    Poke(site + 1, call + 1, kMovBytes);
    Poke(site, call, 1);
    stub_call(__NR_mprotect, page, length, kReadExecute);
  }
}

Mend MendAt(uint64_t rip) {
  uint8_t here;
  if (stub_copy(&here, reinterpret_cast<const void*>(rip), 1) != 0) return Mend::kNone;
  uint8_t bytes[kSiteBytes];
  if (here == kInvalid && ReadSite(rip - kMovBytes, bytes)) {
    const auto slot = LoadUnaligned<uint32_t>(bytes + 3);
    const uint64_t first = reinterpret_cast<uint64_t>(Table()->entries);
    const bool jumps = bytes[0] == 0xff && bytes[1] == 0x24 && bytes[2] == 0x25;
    if (jumps && slot >= first && slot < first + sizeof Table()->entries && (slot - first) % 32 == 0) {
      return Mend::kCall;
    }
    // Between the mov and a `syscall` that is half overwritten.
    if (IsBeingPatched(rip - kMovBytes)) return Mend::kRetry;
  }
  // It may be complete by now.
  const bool first_byte = here == kInvalid || here == 0xff || here == kMovEax;
  const bool retry = (first_byte && IsBeingPatched(rip)) || (here == 0x0f && IsBeingPatched(rip - kMovBytes));
  return retry ? Mend::kRetry : Mend::kNone;
}

}  // namespace cloister::stub
