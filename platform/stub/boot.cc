// The zygote's first steps, from execve(2) to its first trap. It runs no guest code before that.

#include <asm/unistd.h>
#include <elf.h>
#include <linux/auxvec.h>
#include <linux/seccomp.h>

#include "platform/stub/internal.h"
#include "platform/stub/patch.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace cloister::stub {
namespace {

constexpr int kProtReadWrite = 3;
constexpr int kMapSharedFixed = 0x11;
constexpr int kMapStacks = 0x4032;  // MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE
constexpr uint64_t kPage = 4096;
constexpr int kProtReadExecute = 5, kProtAll = 7;
constexpr uint64_t kArchSetGs = 0x1001;                   // asm/prctl.h
constexpr uint32_t kGuestVersion = (6 << 16) | (6 << 8);  // as uname(2)'s release, 6.6.0
constexpr uint64_t kMostVdsoData = 64 * kPage;
constexpr int kSolSocket = 1, kScmRights = 1;
constexpr uint64_t kActionFlags = 0x4 | 0x04000000 | 0x08000000 | 0x40000000;  // SA_SIGINFO, _RESTORER,
                                                                               // _ONSTACK, _NODEFER
constexpr int kSynchronous[] = {4, 5, 7, 8, 11, 31};  // SIGILL, TRAP, BUS, FPE, SEGV, SYS

// struct kernel_sigaction, asm/signal.h.
struct KernelAction {
  void (*handler)(int, SigInfo*, UContext*);
  uint64_t flags;
  void (*restorer)();
  uint64_t mask;
};

[[noreturn]] void Fail(int step) {
  for (;;) stub_call(__NR_exit_group, static_cast<uint64_t>(step));
}

void Map() {
  const long context =
      stub_call(__NR_mmap, kContextBase, kContextRegionBytes, kProtReadWrite, kMapSharedFixed, kArenaFd, 0);
  if (context != static_cast<long>(kContextBase)) Fail(10);
  const long stacks = stub_call(__NR_mmap, kStackBase, kStackRegionBytes, kProtReadWrite, kMapStacks, -1, 0);
  if (stacks != static_cast<long>(kStackBase)) Fail(11);
  const long table = stub_call(__NR_mmap, kPatchBase, kPatchBytes, kProtAll, kMapStacks, -1, 0);
  if (table != static_cast<long>(kPatchBase)) Fail(19);
  InitPatchTable();
  if (stub_call(__NR_arch_prctl, kArchSetGs, ContextAddress(0)) != 0) Fail(20);
}

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

// The data pages lie right before the image, nothing else beside them.
void FindVdso(const uint64_t* stack, Boot* boot) {
  boot->vdso_data = boot->vdso_begin = boot->vdso_end = Auxiliary(stack, AT_SYSINFO_EHDR);
  if (boot->vdso_begin == 0) return;
  const Segments segments = SegmentsOf(boot->vdso_begin);
  for (const Elf64_Phdr* segment = segments.first; segment != segments.end; ++segment) {
    if (segment->p_type != PT_LOAD) continue;
    const uint64_t end = segment->p_vaddr + segment->p_memsz;
    boot->vdso_end = boot->vdso_begin + (end + kPage - 1) / kPage * kPage;
  }
  while (boot->vdso_begin - boot->vdso_data < kMostVdsoData && IsMapped(boot->vdso_data - kPage)) {
    boot->vdso_data -= kPage;
  }
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

// What the vDSO's notes tell of the host is made to tell of the guest's kernel, on a private copy of
// their page. A host that seals its vDSO keeps them.
void HideVersion(const Boot* boot) {
  if (boot->vdso_begin == 0) return;
  const uint64_t bytes = boot->vdso_end - boot->vdso_begin;
  if (stub_call(__NR_mprotect, boot->vdso_begin, bytes, kProtReadWrite) != 0) return;
  const Segments segments = SegmentsOf(boot->vdso_begin);
  for (const Elf64_Phdr* segment = segments.first; segment != segments.end; ++segment) {
    const uint64_t at = boot->vdso_begin + segment->p_vaddr;
    if (segment->p_type == PT_DYNAMIC) HideRunPath(boot->vdso_begin, reinterpret_cast<const Elf64_Dyn*>(at));
    if (segment->p_type == PT_NOTE) HideNotes(at, at + segment->p_memsz);
  }
  if (stub_call(__NR_mprotect, boot->vdso_begin, bytes, kProtReadExecute) != 0) Fail(18);
}

void InstallHandlers() {
  KernelAction action = {&stub_handler, kActionFlags, &stub_restore, ~0ul};
  for (int signo : kSynchronous) action.mask &= ~(1ul << (signo - 1));
  for (int signo : kSynchronous) {
    if (stub_call(__NR_rt_sigaction, signo, reinterpret_cast<uint64_t>(&action), 0, 8) != 0) Fail(12);
  }
  if (stub_call(__NR_rt_sigaction, kInterruptSignal, reinterpret_cast<uint64_t>(&action), 0, 8) != 0) {
    Fail(13);
  }
  const SignalStack stack = {StackAddress(0), 0, 0, kStackBytes};
  if (stub_call(__NR_sigaltstack, reinterpret_cast<uint64_t>(&stack), 0) != 0) Fail(14);
}

struct Message {
  uint64_t name, name_length;
  uint64_t iov, iov_count;
  uint64_t control, control_length;
  uint64_t flags;
};
struct ControlFd {
  uint64_t length;
  int32_t level, type;
  int32_t fd, pad;
};

void SendListener(int fd) {
  char byte = 'L';
  struct {
    void* base;
    uint64_t length;
  } iov = {&byte, 1};
  ControlFd control = {20, kSolSocket, kScmRights, fd, 0};
  Message message = {0, 0, reinterpret_cast<uint64_t>(&iov), 1, reinterpret_cast<uint64_t>(&control), 24, 0};
  if (stub_call(__NR_sendmsg, kBootFd, reinterpret_cast<uint64_t>(&message), 0) != 1) Fail(16);
}

}  // namespace

extern "C" [[noreturn]] void stub_boot(const uint64_t* stack) {
  Map();
  auto* boot = reinterpret_cast<Boot*>(ContextAddress(1));
  FindVdso(stack, boot);
  HideVersion(boot);
  InstallHandlers();
  const struct {
    uint64_t length;
    const sock_filter* filter;
  } program = {boot->filter_length, boot->filter};
  const long listener = stub_call(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
                                  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                                  reinterpret_cast<uint64_t>(&program));
  if (listener < 0) Fail(15);
  SendListener(static_cast<int>(listener));
  stub_call(__NR_close, static_cast<uint64_t>(listener));
  stub_call(__NR_close, kBootFd);
  stub_trap_once();
  Fail(17);
}

}  // namespace cloister::stub
