#include "platform/filter/stub_filter.h"

#include <asm/prctl.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>

#include "platform/filter/bpf_assembler.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace cloister::filter {
namespace {

constexpr uint32_t kPlainMapFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_FIXED_NOREPLACE |
                                    MAP_NORESERVE | MAP_STACK | MAP_POPULATE | MAP_GROWSDOWN;
constexpr uint32_t kProtBits = PROT_READ | PROT_WRITE | PROT_EXEC;

// Advice that concerns the caller's own pages only. Left out: MADV_REMOVE (punches holes into a
// shared file), MERGEABLE (a timing channel between containers), HWPOISON and SOFT_OFFLINE.
constexpr uint32_t kHarmlessAdvice =
    1u << MADV_NORMAL | 1u << MADV_RANDOM | 1u << MADV_SEQUENTIAL | 1u << MADV_WILLNEED |
    1u << MADV_DONTNEED | 1u << MADV_FREE | 1u << MADV_DONTFORK | 1u << MADV_DOFORK | 1u << MADV_HUGEPAGE |
    1u << MADV_NOHUGEPAGE | 1u << MADV_DONTDUMP | 1u << MADV_DODUMP | 1u << MADV_WIPEONFORK |
    1u << MADV_KEEPONFORK | 1u << MADV_COLD | 1u << MADV_PAGEOUT | 1u << MADV_POPULATE_READ |
    1u << MADV_POPULATE_WRITE | 1u << MADV_COLLAPSE;

// Left out: those that read a word as the owner's id, which the host knows by another number.
constexpr uint32_t kOwnerlessFutexes = 1u << FUTEX_WAIT | 1u << FUTEX_WAKE | 1u << FUTEX_REQUEUE |
                                       1u << FUTEX_CMP_REQUEUE | 1u << FUTEX_WAKE_OP |
                                       1u << FUTEX_WAIT_BITSET | 1u << FUTEX_WAKE_BITSET;

constexpr uint32_t kMaxLengthHigh = 0x7fff;  // upper half of the longest length there can be

constexpr uint32_t kNoSys = SECCOMP_RET_ERRNO | ENOSYS;

// In the order of how often they come: the filter asks one after the other.
constexpr StubRule kRules[] = {
    {SYS_rt_sigreturn, "rt_sigreturn", StubAction::kAllow, "back to the guest from a trap"},
    {SYS_futex, "futex", StubAction::kFutex,
     "the guest's own words, without owners; a thread at rest waits for its answer"},
    {SYS_mmap, "mmap", StubAction::kMmap,
     "the guest's memory, and private mappings of lent files; what is shared is checked by the sentry"},
    {SYS_munmap, "munmap", StubAction::kAllow, "the guest's memory"},
    {SYS_mprotect, "mprotect", StubAction::kMprotect, "the guest's memory: rwx alone"},
    {SYS_madvise, "madvise", StubAction::kMadvise, "the guest's memory: advice that concerns no other's"},
    {SYS_mremap, "mremap", StubAction::kMremap, "the guest's memory; growth checked by the sentry"},
    {SYS_clone, "clone", StubAction::kNotify, "threads and processes, each checked by the sentry"},
    {SYS_arch_prctl, "arch_prctl", StubAction::kArchPrctl, "FS and GS base"},
    {SYS_pread64, "pread64", StubAction::kPread, "a file that was lent to be read"},
    {SYS_close_range, "close_range", StubAction::kCloseRange,
     "lent descriptors, after their use; the zygote's listener and boot socket"},
    {SYS_sched_yield, "sched_yield", StubAction::kAllow,
     "the guest's own call: nothing but time is given up"},
    {SYS_rt_sigprocmask, "rt_sigprocmask", StubAction::kAllow,
     "a handler that sleeps in a futex lets interrupts in"},
    {SYS_futex_waitv, "futex_waitv", StubAction::kAllow, "the guest's own words"},
    {SYS_exit, "exit", StubAction::kAllow, "a thread ends"},
    {SYS_exit_group, "exit_group", StubAction::kAllow, "the process ends"},
    {SYS_sendmsg, "sendmsg", StubAction::kSendmsg, "the zygote's listener to the sentry, on the boot socket"},
};

// Builds the part behind the gate; one method for each call that needs a look at its arguments.
class Writer {
 public:
  explicit Writer(const StubFilterOptions& options) : options_(options) {}

  absl::StatusOr<std::vector<sock_filter>> Write() {
    Entry();
    Dispatch();
    Mmap();
    Mremap();
    Mprotect();
    Madvise();
    ArchPrctl();
    CloseRange();
    Pread();
    Futex();
    Sendmsg();
    Ends();
    return bpf_.Finish();
  }

 private:
  using Label = BpfAssembler::Label;

  void Entry() {
    bpf_.Load(offsetof(seccomp_data, instruction_pointer));
    bpf_.JumpUnlessEqual(static_cast<uint32_t>(options_.gate_return), trap_);
    bpf_.Load(offsetof(seccomp_data, instruction_pointer) + sizeof(uint32_t));
    bpf_.JumpUnlessEqual(static_cast<uint32_t>(options_.gate_return >> 32), trap_);
    bpf_.Load(offsetof(seccomp_data, arch));
    bpf_.JumpUnlessEqual(AUDIT_ARCH_X86_64, trap_);
  }

  void Dispatch() {
    bpf_.Load(offsetof(seccomp_data, nr));
    bpf_.JumpIfEqual(options_.doorbell_nr, notify_);
    for (const StubRule& rule : kRules)
      bpf_.JumpIfEqual(static_cast<uint32_t>(rule.nr), LabelOf(rule.action));
    bpf_.Return(kNoSys);
  }

  Label LabelOf(StubAction action) const {
    switch (action) {
      case StubAction::kAllow:
        return allow_;
      case StubAction::kNotify:
        return notify_;
      case StubAction::kMmap:
        return mmap_;
      case StubAction::kMremap:
        return mremap_;
      case StubAction::kMprotect:
        return mprotect_;
      case StubAction::kMadvise:
        return madvise_;
      case StubAction::kArchPrctl:
        return arch_prctl_;
      case StubAction::kCloseRange:
        return close_range_;
      case StubAction::kPread:
        return pread_;
      case StubAction::kFutex:
        return futex_;
      case StubAction::kSendmsg:
        return sendmsg_;
    }
    return no_sys_;
  }

  void RequireHighZero(int arg, Label otherwise) {
    bpf_.LoadArgHigh(arg);
    bpf_.JumpUnlessEqual(0, otherwise);
  }

  // mmap(addr, len, prot, flags, fd, offset).
  void Mmap() {
    bpf_.Bind(mmap_);
    RequireHighZero(2, notify_);
    bpf_.LoadArgLow(2);
    bpf_.JumpIfAnyBit(~kProtBits, notify_);
    RequireHighZero(3, notify_);
    bpf_.LoadArgLow(3);
    bpf_.JumpIfAnyBit(~kPlainMapFlags, notify_);
    bpf_.And(MAP_PRIVATE | MAP_ANONYMOUS);
    bpf_.JumpIfEqual(MAP_PRIVATE | MAP_ANONYMOUS, allow_);
    bpf_.JumpUnlessEqual(MAP_PRIVATE, notify_);
    bpf_.LoadArgLow(4);  // the kernel takes no more of it
    bpf_.JumpIfBelow(options_.first_lent_fd, notify_);
    bpf_.Return(SECCOMP_RET_ALLOW);
  }

  // mremap(addr, old_len, new_len, flags, new_addr): allowed if new_len <= old_len.
  void Mremap() {
    bpf_.Bind(mremap_);
    // An old length that rounds up to 0 would make a second mapping, as long as new_len says.
    bpf_.LoadArgHigh(1);
    bpf_.JumpIfAbove(kMaxLengthHigh, notify_);
    bpf_.MoveToX();
    bpf_.LoadArgHigh(2);
    bpf_.JumpIfAboveX(notify_);
    const Label low = bpf_.NewLabel();
    bpf_.JumpIfEqualX(low);
    bpf_.Return(SECCOMP_RET_ALLOW);
    bpf_.Bind(low);
    bpf_.LoadArgLow(1);
    bpf_.MoveToX();
    bpf_.LoadArgLow(2);
    bpf_.JumpIfAboveX(notify_);
    bpf_.Return(SECCOMP_RET_ALLOW);
  }

  // mprotect(addr, len, prot).
  void Mprotect() {
    bpf_.Bind(mprotect_);
    RequireHighZero(2, no_sys_);
    bpf_.LoadArgLow(2);
    bpf_.JumpIfAnyBit(~kProtBits, no_sys_);
    bpf_.Return(SECCOMP_RET_ALLOW);
  }

  // madvise(addr, len, int advice).
  void Madvise() {
    bpf_.Bind(madvise_);
    bpf_.LoadArgLow(2);
    bpf_.JumpIfAbove(31, no_sys_);
    bpf_.MoveToX();
    bpf_.LoadConstant(kHarmlessAdvice);
    bpf_.ShiftRightByX();
    bpf_.JumpIfAnyBit(1, allow_);
    bpf_.Return(kNoSys);
  }

  // arch_prctl(int code, addr).
  void ArchPrctl() {
    bpf_.Bind(arch_prctl_);
    bpf_.LoadArgLow(0);
    bpf_.JumpIfBelow(ARCH_SET_GS, no_sys_);
    bpf_.JumpIfAbove(ARCH_GET_GS, no_sys_);
    bpf_.Return(SECCOMP_RET_ALLOW);
  }

  // pread64(int fd, buffer, count, offset): of what the sentry lends.
  void Pread() {
    bpf_.Bind(pread_);
    bpf_.LoadArgLow(0);  // the kernel takes no more of it
    bpf_.JumpIfBelow(options_.first_lent_fd, no_sys_);
    bpf_.Return(SECCOMP_RET_ALLOW);
  }

  // close_range(first, last, flags): without flags it is as harmless as close(2).
  void CloseRange() {
    bpf_.Bind(close_range_);
    bpf_.LoadArgLow(2);
    bpf_.JumpIfEqual(0, allow_);
    bpf_.Return(kNoSys);
  }

  // futex(word, int op, ...).
  void Futex() {
    bpf_.Bind(futex_);
    bpf_.LoadArgLow(1);
    bpf_.And(FUTEX_CMD_MASK);
    bpf_.JumpIfAbove(FUTEX_WAKE_BITSET, no_sys_);
    bpf_.MoveToX();
    bpf_.LoadConstant(kOwnerlessFutexes);
    bpf_.ShiftRightByX();
    bpf_.JumpIfAnyBit(1, allow_);
    bpf_.Return(kNoSys);
  }

  // sendmsg(int fd, message, flags).
  void Sendmsg() {
    bpf_.Bind(sendmsg_);
    bpf_.LoadArgLow(0);
    bpf_.JumpIfEqual(options_.boot_fd, allow_);
    bpf_.Return(kNoSys);
  }

  void Ends() {
    bpf_.Bind(no_sys_);
    bpf_.Return(kNoSys);
    bpf_.Bind(trap_);
    bpf_.Return(SECCOMP_RET_TRAP);
    bpf_.Bind(notify_);
    bpf_.Return(SECCOMP_RET_USER_NOTIF);
    bpf_.Bind(allow_);
    bpf_.Return(SECCOMP_RET_ALLOW);
  }

  const StubFilterOptions options_;
  BpfAssembler bpf_;
  const Label trap_ = bpf_.NewLabel(), notify_ = bpf_.NewLabel(), allow_ = bpf_.NewLabel();
  const Label no_sys_ = bpf_.NewLabel(), mmap_ = bpf_.NewLabel(), mremap_ = bpf_.NewLabel();
  const Label mprotect_ = bpf_.NewLabel(), madvise_ = bpf_.NewLabel(), sendmsg_ = bpf_.NewLabel();
  const Label arch_prctl_ = bpf_.NewLabel(), close_range_ = bpf_.NewLabel(), futex_ = bpf_.NewLabel();
  const Label pread_ = bpf_.NewLabel();
};

}  // namespace

std::span<const StubRule> StubRules() { return kRules; }

absl::StatusOr<std::vector<sock_filter>> BuildStubFilter(const StubFilterOptions& options) {
  return Writer(options).Write();
}

}  // namespace cloister::filter
