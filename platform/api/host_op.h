#ifndef CLOISTER_PLATFORM_API_HOST_OP_H_
#define CLOISTER_PLATFORM_API_HOST_OP_H_

#include <cstdint>

namespace cloister::platform {

// One operation on a guest's own host process, decided by the sentry and carried out by the
// stopped guest thread itself. Arguments are those of the host call of the same name.
struct HostOp {
  enum class Kind : uint32_t {
    kMmap,             // addr, len, prot, flags, (fd: member), offset; flags holds MAP_FIXED
    kMunmap,           // addr, len
    kMprotect,         // addr, len, prot
    kMremap,           // old addr, old len, new len, flags, new addr
    kMadvise,          // addr, len, advice
    kArchPrctl,        // code, addr: sets or gets this thread's FS or GS base
    kStoreFpState,     // addr: copies the thread's FP state (Platform::fp_state_size bytes) to addr
    kLoadFpState,      // addr: takes the thread's FP state from there; a bad one faults at resume
    kCompareExchange,  // addr, expected, desired: 32-bit atomic; the result is the value found
    kFutex,       // word, op, value, deadline or second value, second word, value: any futex(2) but those
                  // that name an owner. A wait (kFutexWaitv too) is -EINTR after an Interrupt, which is
                  // then over
    kFutexWaitv,  // waiters, their number, flags, timeout, clock
    kReadFile,    // addr, len, offset, file id, (fd: member): pread(2) of all len bytes, or an error (-EIO:
                // less was there). The thread keeps the last file that it was given so: with fd -1 it is that
                // one, if it has this id (else -EBADF), which is never another file's. The only operation of
                // its list
    kStartAfresh,   // FP state, FS, GS and what the stub keeps for itself become a new process'
    kUnpatchCalls,  // undoes every kPatchCall of the process
    kPatchCall,     // addr: makes the call site there (kPatchBytes long, writable) a quick one, if it can
  };
  static constexpr uint64_t kPatchBytes = 7;
  Kind kind = Kind::kMunmap;
  uint64_t args[6] = {};
  int fd = -1;  // kMmap of a file, kReadFile: the sentry's descriptor; must stay open until the ops are done

  static HostOp Mmap(uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t offset) {
    return {
        Kind::kMmap, {addr, len, static_cast<uint64_t>(prot), static_cast<uint64_t>(flags), 0, offset}, fd};
  }
  static HostOp Munmap(uint64_t addr, uint64_t len) { return {Kind::kMunmap, {addr, len}}; }
  static HostOp Mprotect(uint64_t addr, uint64_t len, int prot) {
    return {Kind::kMprotect, {addr, len, static_cast<uint64_t>(prot)}};
  }
  static HostOp Mremap(uint64_t addr, uint64_t len, uint64_t new_len, int flags, uint64_t new_addr) {
    return {Kind::kMremap, {addr, len, new_len, static_cast<uint64_t>(flags), new_addr}};
  }
  static HostOp Madvise(uint64_t addr, uint64_t len, int advice) {
    return {Kind::kMadvise, {addr, len, static_cast<uint64_t>(advice)}};
  }
  static HostOp ArchPrctl(int code, uint64_t addr) {
    return {Kind::kArchPrctl, {static_cast<uint64_t>(code), addr}};
  }
  static HostOp StoreFpState(uint64_t addr) { return {Kind::kStoreFpState, {addr}}; }
  static HostOp LoadFpState(uint64_t addr) { return {Kind::kLoadFpState, {addr}}; }
  // until: absolute, of the clock that op names; kNoDeadline.
  static HostOp FutexWait(uint64_t word, int op, uint32_t value, int64_t until, uint32_t bitset) {
    return {Kind::kFutex, {word, static_cast<uint64_t>(op), value, static_cast<uint64_t>(until), 0, bitset}};
  }
  static constexpr int64_t kNoDeadline = INT64_MAX;
  static HostOp ReadFile(uint64_t addr, uint64_t len, uint64_t offset, int fd, uint64_t file_id) {
    return {Kind::kReadFile, {addr, len, offset, file_id}, fd};
  }
  static HostOp StartAfresh() { return {Kind::kStartAfresh, {}}; }
  static HostOp UnpatchCalls() { return {Kind::kUnpatchCalls, {}}; }
  static HostOp PatchCall(uint64_t addr) { return {Kind::kPatchCall, {addr}}; }
  static HostOp CompareExchange(uint64_t addr, uint32_t expected, uint32_t desired) {
    return {Kind::kCompareExchange, {addr, expected, desired}};
  }
};

// What follows a list of operations.
enum class AfterOps {
  kResume,  // the guest runs on with regs(); a failed operation reports instead
  kReport,  // TrapHandler::OnTrap(kOpsDone); the thread stays stopped
};

}  // namespace cloister::platform

#endif  // CLOISTER_PLATFORM_API_HOST_OP_H_
