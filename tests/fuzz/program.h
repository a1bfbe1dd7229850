#ifndef CLOISTER_TESTS_FUZZ_PROGRAM_H_
#define CLOISTER_TESTS_FUZZ_PROGRAM_H_

#include "runsc/program/program.h"

namespace cloister::fuzz {

// What the fuzzers make and run.
using program::Call;
using program::Item;
using program::kRegisters;
using program::kScratch;
using program::kScratchSize;
using program::kTasks;
using program::Parse;
using program::Print;
using program::Program;
using program::Value;

}  // namespace cloister::fuzz

#endif  // CLOISTER_TESTS_FUZZ_PROGRAM_H_
