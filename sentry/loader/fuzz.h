#ifndef CLOISTER_SENTRY_LOADER_FUZZ_H_
#define CLOISTER_SENTRY_LOADER_FUZZ_H_

#include <cstddef>
#include <cstdint>

namespace cloister::loader {

// Loads any bytes as a program, up to its image; for libFuzzer and for the unit test.
void LoadAnyBytes(const uint8_t* data, size_t size);

}  // namespace cloister::loader

#endif  // CLOISTER_SENTRY_LOADER_FUZZ_H_
