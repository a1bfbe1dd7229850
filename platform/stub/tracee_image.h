#ifndef CLOISTER_PLATFORM_STUB_TRACEE_IMAGE_H_
#define CLOISTER_PLATFORM_STUB_TRACEE_IMAGE_H_

#include <cstddef>
#include <span>

namespace cloister::stub {

// The ELF file of traced processes, to be executed from a memfd.
std::span<const std::byte> TraceeImage();

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_TRACEE_IMAGE_H_
