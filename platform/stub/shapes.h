#ifndef CLOISTER_PLATFORM_STUB_SHAPES_H_
#define CLOISTER_PLATFORM_STUB_SHAPES_H_

#include <asm/unistd.h>

#include <cstdint>

// Which arguments of which system calls lie in guest memory, as far as it pays to copy them inline
// (window.h). Only a hint: what is missing or wrong here costs time, never correctness.

namespace cloister::stub {

struct Piece {
  enum class Kind : uint8_t {
    kNone,
    kString,  // in: a path
    kIn,      // in: `size` bytes
    kOut,     // out: `size` bytes
    kBoth,
  };
  Kind kind = Kind::kNone;
  uint8_t arg = 0;
  uint16_t size = 0;  // bytes; or of one element, of which argument `count_arg` tells the number
  int8_t count_arg = -1;
};

struct Shape {
  uint16_t nr;
  Piece pieces[3];
};

inline constexpr auto kString = Piece::Kind::kString;
inline constexpr auto kIn = Piece::Kind::kIn;
inline constexpr auto kOut = Piece::Kind::kOut;
inline constexpr auto kBoth = Piece::Kind::kBoth;

inline constexpr Shape kShapes[] = {
    {},  // of all others
    {__NR_read, {{kOut, 1, 1, 2}}},
    {__NR_write, {{kIn, 1, 1, 2}}},
    {__NR_open, {{kString, 0}}},
    {__NR_stat, {{kString, 0}, {kOut, 1, 144}}},
    {__NR_fstat, {{kOut, 1, 144}}},
    {__NR_lstat, {{kString, 0}, {kOut, 1, 144}}},
    {__NR_poll, {{kBoth, 0, 8, 1}}},
    {__NR_rt_sigaction, {{kIn, 1, 32}, {kOut, 2, 32}}},
    {__NR_pread64, {{kOut, 1, 1, 2}}},
    {__NR_pwrite64, {{kIn, 1, 1, 2}}},
    {__NR_access, {{kString, 0}}},
    {__NR_connect, {{kIn, 1, 1, 2}}},
    {__NR_bind, {{kIn, 1, 1, 2}}},
    {__NR_execve, {{kString, 0}}},
    {__NR_uname, {{kOut, 0, 390}}},
    {__NR_getrlimit, {{kOut, 1, 16}}},
    {__NR_getrusage, {{kOut, 1, 144}}},
    {__NR_sysinfo, {{kOut, 0, 112}}},
    {__NR_sigaltstack, {{kIn, 0, 24}, {kOut, 1, 24}}},
    {__NR_statfs, {{kString, 0}, {kOut, 1, 120}}},
    {__NR_fstatfs, {{kOut, 1, 120}}},
    {__NR_getdents64, {{kOut, 1, 1, 2}}},
    {__NR_clock_nanosleep, {{kIn, 2, 16}}},
    {__NR_ppoll, {{kBoth, 0, 8, 1}, {kIn, 2, 16}}},
    {__NR_prlimit64, {{kIn, 2, 16}, {kOut, 3, 16}}},
    {__NR_clone3, {{kIn, 0, 1, 1}}},
    {__NR_pipe, {{kOut, 0, 8}}},
    {__NR_nanosleep, {{kIn, 0, 16}}},
    {__NR_sendto, {{kIn, 1, 1, 2}, {kIn, 4, 1, 5}}},
    {__NR_recvfrom, {{kOut, 1, 1, 2}}},
    {__NR_wait4, {{kOut, 1, 4}}},
    {__NR_getcwd, {{kOut, 0, 1, 1}}},
    {__NR_chdir, {{kString, 0}}},
    {__NR_rename, {{kString, 0}, {kString, 1}}},
    {__NR_mkdir, {{kString, 0}}},
    {__NR_unlink, {{kString, 0}}},
    {__NR_readlink, {{kString, 0}, {kOut, 1, 1, 2}}},
    {__NR_futex, {{kIn, 3, 16}}},  // never the word: it is compared at the moment of queueing
    {__NR_epoll_wait, {{kOut, 1, 12, 2}}},
    {__NR_epoll_ctl, {{kIn, 3, 12}}},
    {__NR_openat, {{kString, 1}}},
    {__NR_newfstatat, {{kString, 1}, {kOut, 2, 144}}},
    {__NR_unlinkat, {{kString, 1}}},
    {__NR_readlinkat, {{kString, 1}, {kOut, 2, 1, 3}}},
    {__NR_faccessat, {{kString, 1}}},
    {__NR_faccessat2, {{kString, 1}}},
    {__NR_epoll_pwait, {{kOut, 1, 12, 2}}},
    {__NR_pipe2, {{kOut, 0, 8}}},
    {__NR_statx, {{kString, 1}, {kOut, 4, 256}}},
};

// The place of a system call's shape in kShapes, by its number.
struct ShapeIndex {
  static constexpr uint64_t kNumbers = 512;
  uint8_t place[kNumbers] = {};
  constexpr ShapeIndex() {
    for (uint8_t i = 1; i < sizeof kShapes / sizeof *kShapes; ++i) place[kShapes[i].nr] = i;
  }
};
inline constexpr ShapeIndex kShapeIndex;

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_SHAPES_H_
