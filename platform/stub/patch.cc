#include "platform/stub/patch.h"

#include <asm/unistd.h>

namespace cloister::stub {
namespace {

constexpr uint64_t kSiteBytes = 7, kMovBytes = 5, kCallBytes = 2, kCmpBytes = 6;
constexpr uint8_t kInvalid = 0x06;  // push %es: no instruction in 64-bit mode
constexpr uint8_t kHot = 24;        // traps at about one place, after which it is patched
constexpr uint8_t kMovEax = 0xb8, kMovR11 = 0x41, kRexW = 0x48, kJump = 0xff;
constexpr uint8_t kPlainSib = 0x25, kInSib = 0xe5;  // the same to `jmp`; by itself the latter is `in`

enum class Shape { kNone, kMovCall, kCallCmp };

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

struct Site {
  uint8_t bytes[kCallBytes + kCmpBytes];
};

// Of the last byte, the comparison's highest, nothing but its value has to be known.
bool ReadSite(uint64_t at, Site* site) {
  site->bytes[kSiteBytes] = 0xff;
  if (stub_copy(site->bytes, reinterpret_cast<const void*>(at), kSiteBytes) != 0) return false;
  if (site->bytes[2] != kRexW) return true;
  return stub_copy(site->bytes + kSiteBytes, reinterpret_cast<const void*>(at + kSiteBytes), 1) == 0;
}

Shape ShapeOf(const Site& site) {
  const uint8_t* b = site.bytes;
  if (b[0] == kMovEax && b[5] == 0x0f && b[6] == 0x05) return Shape::kMovCall;
  const bool compares =
      b[2] == kRexW && b[3] == 0x3d && b[4] <= 1 && b[5] == 0xf0 && b[6] == 0xff && b[7] == 0xff;
  return b[0] == 0x0f && b[1] == 0x05 && compares ? Shape::kCallCmp : Shape::kNone;
}

// With REX.B before it, the mov is one to another register.
bool HasRexB(uint64_t site) {
  uint8_t before;
  if (stub_copy(&before, reinterpret_cast<const void*>(site - 1), 1) != 0) return true;
  return (before & 0xf1) == 0x41;
}

// ---- Entries of the table ----

Shape ShapeOf(const PatchEntry& entry) {
  return entry.bytes[0] == kMovR11 ? Shape::kCallCmp : Shape::kMovCall;
}
uint64_t ReturnOf(const PatchEntry& entry) {
  return LoadUnaligned<uint64_t>(entry.bytes + (ShapeOf(entry) == Shape::kCallCmp ? 8 : 7));
}
uint64_t SiteOf(const PatchEntry& entry) {
  return ReturnOf(entry) - (ShapeOf(entry) == Shape::kCallCmp ? kCallBytes : kSiteBytes);
}
uint32_t NumberOf(const PatchEntry& entry) { return LoadUnaligned<uint32_t>(entry.bytes + 1); }

// What the site has to compare with: its lowest byte.
uint8_t LimitOf(const PatchEntry& entry) { return entry.bytes[22]; }

uint32_t AddressOf(const PatchEntry& entry) {
  return static_cast<uint32_t>(reinterpret_cast<uint64_t>(&entry));
}

void WriteEntry(PatchEntry* entry, Shape shape, uint64_t at_site, const Site& site) {
  const bool compares = shape == Shape::kCallCmp;
  const uint64_t back = at_site + (compares ? kCallBytes : kSiteBytes);
  const uint32_t self = AddressOf(*entry);
  uint8_t* at = entry->bytes;
  if (compares) {
    at = Put(at, "\x41\xbb", 2);
    at = Put(at, &self, sizeof self);
  } else {
    at = Put(at, site.bytes, kMovBytes);
  }
  at = Put(at, "\x48\xb9", 2);
  at = Put(at, &back, sizeof back);
  const uint64_t target = reinterpret_cast<uint64_t>(compares ? &Table()->compare_entry : &Table()->entry);
  const auto jump = static_cast<int32_t>(target - (reinterpret_cast<uint64_t>(at) + 6));
  at = Put(at, "\xff\x25", 2);
  at = Put(at, &jump, sizeof jump);
  if (compares) *at = site.bytes[4];
  entry->code = reinterpret_cast<uint64_t>(entry->bytes);
}

uint32_t Given() {
  const uint32_t count = __atomic_load_n(&Table()->count, __ATOMIC_ACQUIRE);
  return count < PatchTable::kEntries ? count : PatchTable::kEntries;
}

Site JumpTo(const PatchEntry& entry) {
  const uint32_t slot = AddressOf(entry);
  Site jump = {{kJump, 0x24, ShapeOf(entry) == Shape::kCallCmp ? kInSib : kPlainSib}};
  Put(jump.bytes + 3, &slot, sizeof slot);
  return jump;
}

Site CallOf(const PatchEntry& entry) {
  const uint32_t nr = NumberOf(entry);
  if (ShapeOf(entry) == Shape::kCallCmp) return {{0x0f, 0x05, kRexW, 0x3d, LimitOf(entry), 0xf0, 0xff}};
  Site call = {{kMovEax, 0, 0, 0, 0, 0x0f, 0x05}};
  Put(call.bytes + 1, &nr, sizeof nr);
  return call;
}

bool IsSame(const Site& a, const Site& b) { return __builtin_memcmp(a.bytes, b.bytes, kSiteBytes) == 0; }

const PatchEntry* FindEntry(Shape shape, uint64_t site) {
  const PatchEntry* entries = Table()->entries;
  for (uint32_t i = 0; i < Given(); ++i) {
    if (ShapeOf(entries[i]) == shape && SiteOf(entries[i]) == site) return &entries[i];
  }
  return nullptr;
}

// An entry for the site: the one that it had before, else a fresh one; null where the table is full.
const PatchEntry* EntryFor(Shape shape, uint64_t at, const Site& site) {
  PatchEntry* entries = Table()->entries;
  for (uint32_t i = 0; i < Given(); ++i) {
    if (ShapeOf(entries[i]) == shape && SiteOf(entries[i]) == at && IsSame(CallOf(entries[i]), site))
      return &entries[i];
  }
  if (Given() == PatchTable::kEntries) return nullptr;
  const uint32_t index = __atomic_fetch_add(&Table()->count, 1, __ATOMIC_ACQ_REL);
  if (index >= PatchTable::kEntries) return nullptr;
  WriteEntry(&entries[index], shape, at, site);
  return &entries[index];
}

// The entry that a patched site jumps to; null if the site is none.
const PatchEntry* TargetOf(uint64_t at, const Site& site) {
  const uint64_t first = reinterpret_cast<uint64_t>(Table()->entries);
  const uint64_t offset = LoadUnaligned<uint32_t>(site.bytes + 3) - first;
  if (offset % sizeof(PatchEntry) != 0 || offset / sizeof(PatchEntry) >= Given()) return nullptr;
  const PatchEntry* const entry = &Table()->entries[offset / sizeof(PatchEntry)];
  return SiteOf(*entry) == at && IsSame(site, JumpTo(*entry)) ? entry : nullptr;
}

bool Poke(uint64_t at, const uint8_t* bytes, uint64_t count) {
  const bool done = stub_copy(reinterpret_cast<void*>(at), bytes, count) == 0;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return done;
}

// Other threads may be running the site. Its first byte is made invalid, and the byte that those find who are
// at its second instruction; the rest is written, then the first byte: whoever comes along meanwhile traps,
// and tries again.
void Rewrite(Shape shape, uint64_t at, const Site& site) {
  const uint8_t* bytes = site.bytes;
  if (!Poke(at, &kInvalid, 1)) return;
  if (shape == Shape::kCallCmp) {
    const bool to_call = bytes[2] == kRexW;
    if (!to_call) Poke(at + 2, bytes + 2, 1);
    Poke(at + 3, bytes + 3, kSiteBytes - 3);
    if (to_call) Poke(at + 2, bytes + 2, 1);
    Poke(at + 1, bytes + 1, 1);
  } else {
    const bool to_call = bytes[0] == kMovEax;
    const uint64_t middle = to_call ? kMovBytes + 1 : kMovBytes;  // 06 05 is no instruction either
    Poke(at + middle, bytes + middle, 1);
    Poke(at + 1, bytes + 1, kSiteBytes - 1);
  }
  Poke(at, bytes, 1);
}

// Whether one store changes all that a thread sees of it at a time.
bool IsInOneLine(uint64_t site) { return site / 64 == (site + kSiteBytes) / 64; }

// The flags after `cmp $limit, %rax`.
uint64_t Compare(uint64_t eflags, uint64_t rax, uint8_t limit) {
  constexpr uint64_t kArithmetic = 0x8d5;
  const uint64_t wide = ~uint64_t{0xfff} | limit;
  uint64_t flags;
  asm("cmp %2, %1\n pushfq\n pop %0" : "=r"(flags) : "r"(rax), "r"(wide) : "cc");
  return (eflags & ~kArithmetic) | (flags & kArithmetic);
}

}  // namespace

void InitPatchTable() {
  Table()->entry = reinterpret_cast<uint64_t>(stub_entry);
  Table()->compare_entry = reinterpret_cast<uint64_t>(stub_compare_entry);
  Table()->count = 0;
}

uint64_t SiteToPatch(Context* context, uint64_t rip, uint64_t nr) {
  if (nr == __NR_exit) return 0;  // the frame is worth more: Answer::kAdopt
  uint8_t* heat = &context->heat[(rip ^ rip >> 8 ^ rip >> 16) % sizeof context->heat];
  if (++*heat < kHot) return 0;
  *heat = 0;
  Site site;
  const uint64_t with_mov = rip - kSiteBytes, with_cmp = rip - kCallBytes;
  if (ReadSite(with_mov, &site) && ShapeOf(site) == Shape::kMovCall && !HasRexB(with_mov) &&
      LoadUnaligned<uint32_t>(site.bytes + 1) == nr) {
    return with_mov;
  }
  return ReadSite(with_cmp, &site) && ShapeOf(site) == Shape::kCallCmp && IsInOneLine(with_cmp) ? with_cmp
                                                                                                : 0;
}

void PatchCall(uint64_t at) {
  Site site;
  if (!ReadSite(at, &site) || ShapeOf(site) == Shape::kNone) return;
  const PatchEntry* entry = EntryFor(ShapeOf(site), at, site);
  if (entry != nullptr) Rewrite(ShapeOf(site), at, JumpTo(*entry));
}

void UnpatchCalls() {
  constexpr uint64_t kPage = 4096, kReadExecute = 5, kAll = 7;
  for (uint32_t i = 0; i < Given(); ++i) {
    const PatchEntry& entry = Table()->entries[i];
    const uint64_t at = SiteOf(entry);
    Site site;
    if (!ReadSite(at, &site) || !IsSame(site, JumpTo(entry))) continue;
    const uint64_t page = at / kPage * kPage;
    const uint64_t length = (at + kSiteBytes - 1) / kPage * kPage + kPage - page;
    if (stub_call(__NR_mprotect, page, length, kAll) != 0) continue;
    Rewrite(ShapeOf(entry), at, CallOf(entry));
    stub_call(__NR_mprotect, page, length, kReadExecute);
  }
}

Mend MendAt(uint64_t rip) {
  uint8_t here;
  if (stub_copy(&here, reinterpret_cast<const void*>(rip), 1) != 0) return Mend::kNone;
  const uint64_t mov = rip - kMovBytes;
  Site site;
  if (here == kInvalid && ReadSite(mov, &site) && TargetOf(mov, site) != nullptr) return Mend::kCall;
  // Between the mov and a `syscall` that is half overwritten. Or it is complete by now.
  if ((here == kInvalid || here == 0x0f) && FindEntry(Shape::kMovCall, mov) != nullptr) return Mend::kRetry;
  const bool begins = here == kInvalid || here == kJump;
  if ((begins || here == kMovEax) && FindEntry(Shape::kMovCall, rip) != nullptr) return Mend::kRetry;
  return (begins || here == 0x0f) && FindEntry(Shape::kCallCmp, rip) != nullptr ? Mend::kRetry : Mend::kNone;
}

bool SkipComparison(UContext* uc) {
  uint8_t here;
  if (stub_copy(&here, reinterpret_cast<const void*>(uc->mc.rip), 1) != 0) return false;
  if (here != kInSib && here != kRexW) return false;
  const uint64_t at = uc->mc.rip - kCallBytes;
  Site site;
  if (!ReadSite(at, &site) || FindEntry(Shape::kCallCmp, at) == nullptr) return false;
  if (const PatchEntry* const entry = TargetOf(at, site)) {
    uc->mc.eflags = Compare(uc->mc.eflags, uc->mc.rax, LimitOf(*entry));
    uc->mc.rip += kCmpBytes;
    return true;
  }
  // It will be complete in a moment, or is what it was by now.
  return site.bytes[0] == kInvalid || ShapeOf(site) == Shape::kCallCmp;
}

extern "C" void stub_compare(Context* context, const PatchEntry* entry) {
  user_regs_struct& regs = context->regs;
  if (regs.rip != ReturnOf(*entry)) return;
  regs.eflags = Compare(regs.eflags, regs.rax, LimitOf(*entry));
  regs.rip += kCmpBytes;
}

}  // namespace cloister::stub
