#ifndef CLOISTER_PLATFORM_STUB_VDSO_H_
#define CLOISTER_PLATFORM_STUB_VDSO_H_

#include <cstdint>

// Inside a stub image only, while its zygote boots.

namespace cloister::stub {

// Where execve(2) put the vDSO's image and the data pages before it; all 0 where the host has none.
struct Vdso {
  uint64_t data = 0, begin = 0, end = 0;
};

// stack: as the program found it.
Vdso FindVdso(const uint64_t* stack);

// What the vDSO's notes tell of the host is made to tell of the guest's kernel, on a private copy of
// their page. A host that seals its vDSO keeps them. False: it cannot be executed any more.
bool HideVersion(const Vdso& vdso);

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_VDSO_H_
