#ifndef CLOISTER_PLATFORM_STUB_WINDOW_H_
#define CLOISTER_PLATFORM_STUB_WINDOW_H_

#include "platform/stub/context.h"

// The inline window: the further pages of a slot. Small arguments of a system call are copied there by the
// stub, small results by the sentry, so that neither side reaches into the other's memory. The sentry copies
// the ranges once and checks them; bytes may change under it, as guest memory may.

namespace cloister::stub {

struct WindowRange {
  uint64_t addr;  // in the guest
  uint32_t size;
  uint32_t offset;  // of its bytes in Window::data
};

struct Window {
  static constexpr uint32_t kIns = 3, kOuts = 3, kWrites = 6;
  static constexpr uint32_t kBytes = 5 * 4096;
  static constexpr uint32_t kDataBytes = kBytes - 16 - (kIns + kOuts + kWrites) * sizeof(WindowRange);

  // Stub to sentry.
  uint32_t in_count;   // ranges whose bytes are in data
  uint32_t out_count;  // ranges that could be written a moment ago
  uint32_t used;       // bytes of data; behind them there is room for results
  uint32_t pad;
  WindowRange ins[kIns];
  WindowRange outs[kOuts];
  // Sentry to stub (Context::writes of them).
  WindowRange writes[kWrites];
  uint8_t data[kDataBytes];
};
static_assert(sizeof(Window) == Window::kBytes);
inline constexpr uint64_t kWindowOffset = 4096;
static_assert(kWindowOffset + sizeof(Window) <= kContextBytes);

// What is larger goes by process_vm_readv(2) and process_vm_writev(2).
inline constexpr uint64_t kMostInline = 16384;
inline constexpr uint64_t kStringPiece = 256;  // of a path; the sentry asks for as much, up to its page's end

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_WINDOW_H_
