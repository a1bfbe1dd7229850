// The first steps of the zygote of traced processes, from execve(2) to its wait for a tracer.

#include <asm/unistd.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "platform/stub/internal.h"
#include "platform/stub/tracee_layout.h"
#include "platform/stub/vdso.h"

namespace cloister::stub {
namespace {

constexpr int kProtReadWrite = 3;
constexpr int kMapScratch = 0x32;  // MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED

[[noreturn]] void Fail(int step) {
  for (;;) stub_call(__NR_exit_group, static_cast<uint64_t>(step));
}

void InstallFilter() {
  sock_filter filter[kMaxTraceeFilter];
  const long bytes = stub_call(__NR_read, kTraceeSocket, reinterpret_cast<uint64_t>(filter), sizeof filter);
  if (bytes <= 0 || static_cast<uint64_t>(bytes) % sizeof(sock_filter) != 0) Fail(12);
  const sock_fprog program = {static_cast<unsigned short>(static_cast<uint64_t>(bytes) / sizeof(sock_filter)),
                              filter};
  if (stub_call(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, reinterpret_cast<uint64_t>(&program)) != 0) {
    Fail(13);
  }
}

// Waits for its tracer's word. False: the end of the stream, and so of the sentry.
bool TakeOneByte() {
  char byte;
  struct {
    void* base;
    uint64_t length;
  } piece = {&byte, 1};
  struct {
    uint64_t name, name_length;
    void* pieces;
    uint64_t piece_count, control, control_length, flags;
  } message = {0, 0, &piece, 1, 0, 0, 0};
  return stub_call(__NR_recvmsg, kTraceeSocket, reinterpret_cast<uint64_t>(&message), 0) == 1;
}

}  // namespace

extern "C" [[noreturn]] void stub_boot(const uint64_t* stack) {
  const long scratch =
      stub_call(__NR_mmap, kTraceeScratch, kTraceeScratchBytes, kProtReadWrite, kMapScratch, ~0ul, 0);
  if (scratch != static_cast<long>(kTraceeScratch)) Fail(10);
  const Vdso vdso = FindVdso(stack);
  if (!HideVersion(vdso)) Fail(18);
  const TraceeBoot boot = {vdso.data, vdso.begin, vdso.end};
  const long told = stub_call(__NR_write, kTraceeSocket, reinterpret_cast<uint64_t>(&boot), sizeof boot);
  if (told != static_cast<long>(sizeof boot)) Fail(11);
  InstallFilter();
  if (TakeOneByte()) asm volatile("int3");  // here it stops for good
  for (;;) stub_call(__NR_exit, 14);
}

}  // namespace cloister::stub
