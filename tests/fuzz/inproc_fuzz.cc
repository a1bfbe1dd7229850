// libFuzzer on programs of system calls. Its inputs are the text of program.h; a file replays by itself:
// `inproc_fuzz FILE`.

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "tests/fuzz/generator.h"
#include "tests/fuzz/machine.h"

namespace cloister::fuzz {
namespace {

// Descriptors that a sandbox leaves open in this process are a leak that any guest could use up.
void CheckDescriptors() {
  constexpr int kMost = 512;
  const int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(lowest);
  if (lowest >= 0 && lowest < kMost) return;
  fprintf(stderr, "fuzz: descriptors of the host leak\n");
  abort();
}

class Statistics {
 public:
  ~Statistics() {
    fprintf(stderr, "fuzz: %zu programs, %zu system calls, %.0f a second of processor time\n", programs_,
            calls_, static_cast<double>(calls_) / (ProcessorSeconds() - began_));
  }
  void Count(size_t calls) {
    ++programs_;
    calls_ += calls;
  }

 private:
  static double ProcessorSeconds() { return static_cast<double>(clock()) / CLOCKS_PER_SEC; }

  const double began_ = ProcessorSeconds();
  size_t programs_ = 0;
  size_t calls_ = 0;
};

std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

size_t Store(const Program& program, uint8_t* data, size_t most) {
  const std::string text = Print(program);
  // Cut at a line's end.
  const size_t size = text.size() <= most ? text.size() : text.rfind('\n', most - 1) + 1;
  memcpy(data, text.data(), size);
  return size;
}

}  // namespace
}  // namespace cloister::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static cloister::fuzz::Statistics statistics;
  const cloister::fuzz::Program program = cloister::fuzz::Parse(cloister::fuzz::AsText(data, size));
  if (program.calls.empty()) return -1;
  {
    cloister::fuzz::Machine machine(program);
    statistics.Count(machine.Run());
  }
  cloister::fuzz::CheckDescriptors();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  cloister::fuzz::Generator generator(seed);
  cloister::fuzz::Program program = cloister::fuzz::Parse(cloister::fuzz::AsText(data, size));
  if (program.calls.empty()) program = generator.MakeProgram(40);
  for (unsigned changes = 1 + seed % 5; changes > 0; --changes) generator.Mutate(program);
  return cloister::fuzz::Store(program, data, most);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* data1, size_t size1, const uint8_t* data2,
                                            size_t size2, uint8_t* out, size_t most, unsigned seed) {
  cloister::fuzz::Generator generator(seed);
  const cloister::fuzz::Program a = cloister::fuzz::Parse(cloister::fuzz::AsText(data1, size1));
  const cloister::fuzz::Program b = cloister::fuzz::Parse(cloister::fuzz::AsText(data2, size2));
  return cloister::fuzz::Store(generator.Cross(a, b), out, most);
}
