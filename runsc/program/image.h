#ifndef CLOISTER_RUNSC_PROGRAM_IMAGE_H_
#define CLOISTER_RUNSC_PROGRAM_IMAGE_H_

#include <string_view>

namespace cloister::program {

// The static executable (run_program.cc) that makes a program's calls. It reads the program's text from its
// standard input and writes lines, flushed one by one:
//   INDEX RESULT     a call, in the order in which they were made; the kernel's result, -errno if it failed
//   INDEX waits      one that did not return in time, or not at all
//   exit CODE        how the process that made them has ended
//   signal NUMBER    the same
std::string_view RunnerImage();

}  // namespace cloister::program

#endif  // CLOISTER_RUNSC_PROGRAM_IMAGE_H_
