#include "platform/stub/vdso.h"

#include <asm/unistd.h>
#include <elf.h>
#include <linux/auxvec.h>

#include "platform/stub/internal.h"

namespace cloister::stub {
namespace {

constexpr uint64_t kPage = 4096;
constexpr int kProtReadWrite = 3, kProtReadExecute = 5;
constexpr uint32_t kGuestVersion = (6 << 16) | (6 << 8);  // as uname(2)'s release, 6.6.0
constexpr uint64_t kMostVdsoData = 64 * kPage;

// The program's auxiliary vector stands behind its arguments and its environment.
uint64_t Auxiliary(const uint64_t* stack, uint64_t type) {
  const uint64_t* at = stack + 1 + stack[0] + 1;
  while (*at++ != 0) continue;
  for (; at[0] != AT_NULL; at += 2) {
    if (at[0] == type) return at[1];
  }
  return 0;
}

bool IsMapped(uint64_t page) {
  unsigned char resident;
  return stub_call(__NR_mincore, page, kPage, reinterpret_cast<uint64_t>(&resident)) == 0;
}

struct Segments {
  const Elf64_Phdr* first;
  const Elf64_Phdr* end;
};
Segments SegmentsOf(uint64_t image) {
  const auto* elf = reinterpret_cast<const Elf64_Ehdr*>(image);
  const auto* first = reinterpret_cast<const Elf64_Phdr*>(image + elf->e_phoff);
  return {first, first + elf->e_phnum};
}

// ELFNOTE Linux of the vDSO: the version by which the C library knows the kernel, and the build's salt.
void HideNote(uint32_t type, uint32_t* text, uint32_t bytes) {
  constexpr uint32_t kVersion = 0, kBuildSalt = 0x100;
  if (type != kVersion && type != kBuildSalt) return;
  for (uint32_t i = 0; i < (bytes + 3) / sizeof *text; ++i) text[i] = type == kVersion ? kGuestVersion : 0;
}

void HideNotes(uint64_t at, uint64_t end) {
  while (at + sizeof(Elf64_Nhdr) < end) {
    const auto* note = reinterpret_cast<const Elf64_Nhdr*>(at);
    const auto* name = reinterpret_cast<const uint32_t*>(at + sizeof *note);
    auto* text = reinterpret_cast<uint32_t*>(at + sizeof *note + (note->n_namesz + 3) / 4 * 4);
    const bool linux_name = note->n_namesz == 6 && name[0] == 0x756e694c;  // "Linu"
    if (linux_name) HideNote(note->n_type, text, note->n_descsz);
    at = reinterpret_cast<uint64_t>(text) + (note->n_descsz + 3) / 4 * 4;
  }
}

// A library path that the kernel's builder left in the vDSO.
void HideRunPath(uint64_t base, const Elf64_Dyn* dynamic) {
  uint64_t strings = 0, path = 0;
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    if (dynamic->d_tag == DT_STRTAB) strings = dynamic->d_un.d_ptr;
    if (dynamic->d_tag == DT_RUNPATH || dynamic->d_tag == DT_RPATH) path = dynamic->d_un.d_val;
  }
  if (strings == 0 || path == 0) return;
  for (auto* at = reinterpret_cast<char*>(base + strings + path); *at != 0; ++at) *at = 0;
}

}  // namespace

// The data pages lie right before the image, nothing else beside them.
Vdso FindVdso(const uint64_t* stack) {
  Vdso vdso;
  vdso.data = vdso.begin = vdso.end = Auxiliary(stack, AT_SYSINFO_EHDR);
  if (vdso.begin == 0) return vdso;
  const Segments segments = SegmentsOf(vdso.begin);
  for (const Elf64_Phdr* segment = segments.first; segment != segments.end; ++segment) {
    if (segment->p_type != PT_LOAD) continue;
    const uint64_t end = segment->p_vaddr + segment->p_memsz;
    vdso.end = vdso.begin + (end + kPage - 1) / kPage * kPage;
  }
  while (vdso.begin - vdso.data < kMostVdsoData && IsMapped(vdso.data - kPage)) vdso.data -= kPage;
  return vdso;
}

bool HideVersion(const Vdso& vdso) {
  if (vdso.begin == 0) return true;
  const uint64_t bytes = vdso.end - vdso.begin;
  if (stub_call(__NR_mprotect, vdso.begin, bytes, kProtReadWrite) != 0) return true;
  const Segments segments = SegmentsOf(vdso.begin);
  for (const Elf64_Phdr* segment = segments.first; segment != segments.end; ++segment) {
    const uint64_t at = vdso.begin + segment->p_vaddr;
    if (segment->p_type == PT_DYNAMIC) HideRunPath(vdso.begin, reinterpret_cast<const Elf64_Dyn*>(at));
    if (segment->p_type == PT_NOTE) HideNotes(at, at + segment->p_memsz);
  }
  return stub_call(__NR_mprotect, vdso.begin, bytes, kProtReadExecute) == 0;
}

}  // namespace cloister::stub
