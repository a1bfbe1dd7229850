#ifndef CLOISTER_PLATFORM_STUB_FP_LAYOUT_H_
#define CLOISTER_PLATFORM_STUB_FP_LAYOUT_H_

#include <cstdint>

// The FP state of a signal frame, asm/sigcontext.h, and what a new process begins with. Linux: fpstate_reset.
namespace cloister::stub {

inline constexpr uint64_t kLegacyBytes = 512;   // struct _fpstate_64 of FXSAVE
inline constexpr uint64_t kHeaderBytes = 64;    // struct _header
inline constexpr uint64_t kSwReserved = 464;    // offset of struct _fpx_sw_bytes
inline constexpr uint64_t kLegacyFeatures = 3;  // x87 and SSE
inline constexpr uint64_t kMxcsrOffset = 24;    // in the legacy area
inline constexpr uint16_t kInitialControl = 0x37f;
inline constexpr uint32_t kInitialMxcsr = 0x1f80;

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_FP_LAYOUT_H_
