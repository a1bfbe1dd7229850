// Programs of system calls without libFuzzer, so that the sanitizers of every variant see them: those of the
// saved corpus, and random ones. FUZZ_SEED and FUZZ_PROGRAMS choose others.

#include "tests/fuzz/machine.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"
#include "tests/fuzz/generator.h"

namespace cloister::fuzz {
namespace {

uint32_t FromEnvironment(const char* name, uint32_t otherwise) {
  const char* const text = getenv(name);
  return text != nullptr ? static_cast<uint32_t>(strtoul(text, nullptr, 0)) : otherwise;
}

// The machine aborts if a task does not end, or a lock is taken in the wrong order.
size_t RunOnce(const Program& program) { return Machine(program).Run(); }

TEST(Machine, RunsTheCorpus) {
  size_t programs = 0;
  for (const auto& file : std::filesystem::directory_iterator("tests/fuzz/corpus/inproc")) {
    std::ifstream source(file.path(), std::ios::binary);
    const Program program = Parse(std::string{std::istreambuf_iterator<char>(source), {}});
    EXPECT_GT(RunOnce(program), 0u) << file.path();
    ++programs;
  }
  EXPECT_GT(programs, 2u);
}

TEST(Machine, RunsRandomPrograms) {
  constexpr size_t kCallsEach = 40;
  const uint32_t first = FromEnvironment("FUZZ_SEED", 1), count = FromEnvironment("FUZZ_PROGRAMS", 200);
  const clock_t began = clock();
  size_t calls = 0;
  for (uint32_t seed = first; seed != first + count; ++seed) {
    SCOPED_TRACE(seed);
    calls += RunOnce(Generator(seed).MakeProgram(kCallsEach));
  }
  const double seconds = static_cast<double>(clock() - began) / CLOCKS_PER_SEC;
  printf("%u programs, %zu calls, %.0f a second of processor time\n", count, calls,
         static_cast<double>(calls) / seconds);
  EXPECT_GT(calls, size_t{count} * kCallsEach / 4);
}

}  // namespace
}  // namespace cloister::fuzz
