#ifndef CLOISTER_PLATFORM_STUB_LAYOUT_H_
#define CLOISTER_PLATFORM_STUB_LAYOUT_H_

#include <cstddef>
#include <cstdint>

// Where things lie in every stub process, and the descriptors it holds. Shared by the freestanding
// image, its linker script (which repeats kImageBase and kGate) and the sentry.

namespace cloister::stub {

// All that is not the guest's lies in [kImageBase, kReservedEnd): the image, the regions below,
// and what the host placed near its stack (the vDSO).
inline constexpr uint64_t kImageBase = 0x7fff00000000;
inline constexpr uint64_t kReservedEnd = 0x7ffffffff000;

// The gate: `syscall; ret`, the only place from which the filter lets a stub call the host.
inline constexpr uint64_t kGate = kImageBase + 0x1000;
inline constexpr uint64_t kGateReturn = kGate + 2;  // what the host sees as the instruction pointer

// Where patched call sites jump through (patch.h): below the guest's own memory, since a site's jump takes an
// absolute address of 32 bits. Bits 16 to 31, which come to lie where the site's `syscall` was, are no
// instruction: a thread caught between the two that were there traps, and is mended.
inline constexpr uint64_t kPatchBase = 0x60000;
inline constexpr uint64_t kPatchBytes = 0x10000;

// One slot for each thread of the address space.
inline constexpr uint64_t kSlots = 4096;

// The context region: shared with the sentry alone. Slot i has one page of control (struct Context)
// and five of an inline window of argument bytes (window.h).
inline constexpr uint64_t kContextBase = 0x7fff10000000;
inline constexpr uint64_t kContextBytes = 6 * 4096;
inline constexpr uint64_t kContextRegionBytes = kSlots * kContextBytes;

// Signal stacks: private memory. Slot i is found from the stack pointer.
inline constexpr uint64_t kStackBase = 0x7fff20000000;
inline constexpr uint64_t kStackBytes = 32768;
inline constexpr uint64_t kStackRegionBytes = kSlots * kStackBytes;
// Where in its stack a new thread starts, below the copy of its parent's signal frame.
inline constexpr uint64_t kLaunchOffset = 12288;

constexpr uint64_t ContextAddress(uint64_t slot) { return kContextBase + slot * kContextBytes; }
constexpr uint64_t StackAddress(uint64_t slot) { return kStackBase + slot * kStackBytes; }
constexpr uint64_t LaunchAddress(uint64_t slot) { return StackAddress(slot) + kLaunchOffset; }

inline constexpr int kBootFd = 3;            // a socket; closed when the zygote has booted
inline constexpr int kArenaFd = 4;           // the memfd of all context regions
inline constexpr int kFirstInjectedFd = 10;  // from here on: files that the sentry lends
inline constexpr int kMappedFds = 2;         // for each slot: a program and its interpreter, to be mapped,
inline constexpr int kLentFds = 3;           // and one file that is read
inline constexpr int kFdLimit = kFirstInjectedFd + kLentFds * static_cast<int>(kSlots) + 1;

constexpr int LentFd(uint64_t slot) { return kFirstInjectedFd + kLentFds * static_cast<int>(slot); }
constexpr int ReadFd(uint64_t slot) { return LentFd(slot) + kMappedFds; }

// The doorbell: a number that no kernel has a call for; the filter sends it to the sentry.
inline constexpr uint64_t kDoorbellNr = 4000;

// Exit statuses of a zygote that got no seccomp listener: another filter of its process has one already, or
// the host's kernel has none such.
inline constexpr int kListenerIsTaken = 15;
inline constexpr int kNoListener = 21;

// The one host signal that interrupts a guest thread.
inline constexpr int kInterruptSignal = 23;  // SIGURG

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_LAYOUT_H_
