#ifndef CLOISTER_RUNSC_PROGRAM_RAW_CALL_H_
#define CLOISTER_RUNSC_PROGRAM_RAW_CALL_H_

#include <sys/syscall.h>

#include <cstdint>

namespace cloister::program {

inline bool MakesTask(uint64_t number) {
  return number == SYS_clone || number == SYS_clone3 || number == SYS_fork || number == SYS_vfork;
}

// The system call itself; -errno if it failed. A child ends at once, before it touches a stack that may not
// be its own.
inline int64_t RawCall(uint64_t number, const uint64_t (&args)[6]) {
  int64_t result = static_cast<int64_t>(number);
  register uint64_t a10 asm("r10") = args[3];
  register uint64_t a8 asm("r8") = args[4];
  register uint64_t a9 asm("r9") = args[5];
  if (!MakesTask(number)) {
    asm volatile("syscall"
                 : "+a"(result)
                 : "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(a10), "r"(a8), "r"(a9)
                 : "rcx", "r11", "memory");
    return result;
  }
  uint64_t a0 = args[0];
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%edi, %%edi\n\t"
      "mov %[exit], %%eax\n\t"
      "syscall\n\t"
      "hlt\n"
      "1:"
      : "+a"(result), "+D"(a0)
      : "S"(args[1]), "d"(args[2]), "r"(a10), "r"(a8), "r"(a9), [exit] "i"(SYS_exit)
      : "rcx", "r11", "memory", "cc");
  return result;
}

}  // namespace cloister::program

#endif  // CLOISTER_RUNSC_PROGRAM_RAW_CALL_H_
