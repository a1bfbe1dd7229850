#ifndef CLOISTER_PLATFORM_STUB_IMAGE_H_
#define CLOISTER_PLATFORM_STUB_IMAGE_H_

#include <cstddef>
#include <span>

namespace cloister::stub {

// The stub's ELF file, to be executed from a memfd.
std::span<const std::byte> Image();

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_IMAGE_H_
