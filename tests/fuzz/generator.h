#ifndef CLOISTER_TESTS_FUZZ_GENERATOR_H_
#define CLOISTER_TESTS_FUZZ_GENERATOR_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/program.h"

namespace cloister::fuzz {

// Makes and changes programs by the signatures of base/abi, so that they stay well formed. The same seed
// gives the same programs.
class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  // Only these calls are made from now on; empty: all.
  void Restrict(std::vector<const abi::Signature*> calls) { calls_ = std::move(calls); }

  Call MakeCall();
  Program MakeProgram(size_t calls);
  // One change: a call more or less, moved, given to another task, or with another argument.
  void Mutate(Program& program);
  // Calls of both, in their order.
  Program Cross(const Program& a, const Program& b);

 private:
  uint32_t Below(uint32_t bound) { return bound == 0 ? 0 : random_() % bound; }
  bool OneIn(uint32_t n) { return Below(n) == 0; }
  template <typename T>
  const T& Any(const std::vector<T>& list) {
    return list[Below(static_cast<uint32_t>(list.size()))];
  }

  uint64_t Interesting();
  uint64_t Number(const abi::Arg& arg);
  uint64_t Combine(const abi::Words& words);
  Value MakeResource(abi::Resource resource);
  Value MakeValue(const abi::Arg& arg, int depth);
  Value MakeMemory(const abi::Arg& arg, int depth);
  Value MakeStrings(int depth);
  void FillStruct(const abi::Layout& layout, int depth, std::vector<Item>* items);
  // Sets arguments (or members) that count another to what that really has, as a rule.
  template <typename ArgAt, typename ValueAt>
  void SetCounts(int count, ArgAt arg_at, ValueAt value_at);
  std::string PathText();
  std::string AnyBytes(uint32_t most);
  uint64_t Place(uint32_t size);
  void MutateArgument(Call& call);
  void MutateValue(Value& value);

  std::mt19937 random_;
  std::vector<const abi::Signature*> calls_;
};

}  // namespace cloister::fuzz

#endif  // CLOISTER_TESTS_FUZZ_GENERATOR_H_
