#include "runsc/program/image.h"

extern "C" {
extern const char _binary_runner_start[];  // by ld -b binary
extern const char _binary_runner_end[];
}

namespace cloister::program {

std::string_view RunnerImage() {
  return {_binary_runner_start, static_cast<size_t>(_binary_runner_end - _binary_runner_start)};
}

}  // namespace cloister::program
