#ifndef CLOISTER_RUNSC_PROGRAM_EVALUATE_H_
#define CLOISTER_RUNSC_PROGRAM_EVALUATE_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "runsc/program/program.h"

namespace cloister::program {

using Registers = std::array<std::atomic<int64_t>, kRegisters>;

// What an argument is in the calling process, which must have its scratch memory mapped: faults otherwise.
// Puts the items of a pointer in their place first.
uint64_t Evaluate(const Value& value, const Registers& registers);

}  // namespace cloister::program

#endif  // CLOISTER_RUNSC_PROGRAM_EVALUATE_H_
