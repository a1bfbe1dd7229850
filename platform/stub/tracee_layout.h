#ifndef CLOISTER_PLATFORM_STUB_TRACEE_LAYOUT_H_
#define CLOISTER_PLATFORM_STUB_TRACEE_LAYOUT_H_

#include <cstdint>

#include "platform/stub/layout.h"
#include "platform/stub/tracee_offsets.h"

// The image of traced processes: where a tracer sends their threads, and what the zygote says as it boots.
// It lies where the other one does, in [kImageBase, kReservedEnd).

namespace cloister::stub {

// `syscall; int3`: one host call with the registers that the tracer has set.
inline constexpr uint64_t kTraceeGate = kGate;
// `lock cmpxchg %edx,(%rdi); int3`.
inline constexpr uint64_t kTraceeExchange = kGate + TRACEE_EXCHANGE_OFFSET;
// recvmsg, mmap and close of one file; see tracee.S.
inline constexpr uint64_t kTraceeMapFile = kGate + TRACEE_MAP_FILE_OFFSET;
// No int3 elsewhere ends such an errand.
inline constexpr uint64_t kTraceeGateEnd = kGate + 0x1000;

// A page of private memory for the header of a message; the guest can write it, too.
inline constexpr uint64_t kTraceeScratch = kContextBase;
inline constexpr uint64_t kTraceeScratchBytes = 4096;

// A socket of packets. The zygote says TraceeBoot, gets its filter, and waits for one byte, which says that
// it is traced: it stops by int3 then. Later on files come that way. It is a tracee's only descriptor; the
// next one is 0.
inline constexpr int kTraceeSocket = TRACEE_SOCKET;
inline constexpr int kTraceeFdLimit = 16;

struct TraceeBoot {
  uint64_t vdso_data, vdso_begin, vdso_end;  // as in struct Boot
};

inline constexpr uint32_t kMaxTraceeFilter = 128;  // instructions

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_TRACEE_LAYOUT_H_
