// The zygote's first steps, from execve(2) to its first trap. It runs no guest code before that.

#include <asm/unistd.h>
#include <linux/seccomp.h>

#include "platform/stub/internal.h"
#include "platform/stub/patch.h"
#include "platform/stub/vdso.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace cloister::stub {
namespace {

constexpr int kProtReadWrite = 3;
constexpr int kMapSharedFixed = 0x11;
constexpr int kMapStacks = 0x4032;  // MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE
constexpr int kProtAll = 7;
constexpr uint64_t kArchSetGs = 0x1001;  // asm/prctl.h
constexpr long kEBusy = 16;
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
  const Vdso vdso = FindVdso(stack);
  boot->vdso_data = vdso.data;
  boot->vdso_begin = vdso.begin;
  boot->vdso_end = vdso.end;
  if (!HideVersion(vdso)) Fail(18);
  InstallHandlers();
  const struct {
    uint64_t length;
    const sock_filter* filter;
  } program = {boot->filter_length, boot->filter};
  const long listener = stub_call(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
                                  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                                  reinterpret_cast<uint64_t>(&program));
  if (listener < 0) Fail(listener == -kEBusy ? kListenerIsTaken : kNoListener);
  SendListener(static_cast<int>(listener));
  stub_call(__NR_close_range, static_cast<uint64_t>(listener), static_cast<uint64_t>(listener), 0);
  stub_call(__NR_close_range, kBootFd, kBootFd, 0);
  stub_trap_once();
  Fail(17);
}

}  // namespace cloister::stub
