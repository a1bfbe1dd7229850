#ifndef CLOISTER_PLATFORM_FILTER_BPF_ASSEMBLER_H_
#define CLOISTER_PLATFORM_FILTER_BPF_ASSEMBLER_H_

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace cloister::filter {

// Writes a classic BPF program over struct seccomp_data, with labels in place of jump distances.
// Jumps go forward only and at most 255 instructions far; Finish reports a violation.
class BpfAssembler {
 public:
  struct Label {
    size_t id;
  };

  Label NewLabel();
  // The label's place is the next instruction.
  void Bind(Label label);

  // 32 bits of struct seccomp_data into the accumulator.
  void Load(uint32_t offset);
  void LoadArgLow(int arg);
  void LoadArgHigh(int arg);
  void And(uint32_t mask);
  // A >>= X, A = constant, X = A.
  void ShiftRightByX();
  void LoadConstant(uint32_t value);
  void MoveToX();

  void Jump(Label to);
  void JumpIfEqual(uint32_t value, Label to);
  void JumpUnlessEqual(uint32_t value, Label to);
  void JumpIfAbove(uint32_t value, Label to);  // A > value, unsigned
  void JumpIfBelow(uint32_t value, Label to);  // A < value, unsigned
  void JumpIfAnyBit(uint32_t mask, Label to);
  void JumpIfAboveX(Label to);  // A > X, unsigned
  void JumpIfEqualX(Label to);
  void Return(uint32_t action);

  absl::StatusOr<std::vector<sock_filter>> Finish();

 private:
  struct Fixup {
    size_t at;
    size_t label;
    bool if_true;
  };
  void Emit(uint16_t code, uint32_t k);
  void EmitJump(uint16_t code, uint32_t k, Label to, bool if_true);

  std::vector<sock_filter> program_;
  std::vector<size_t> labels_;
  std::vector<Fixup> fixups_;
};

// Runs a program as the kernel would (the instructions that BpfAssembler emits); for tests.
uint32_t InterpretBpf(std::span<const sock_filter> program, const seccomp_data& data);

}  // namespace cloister::filter

#endif  // CLOISTER_PLATFORM_FILTER_BPF_ASSEMBLER_H_
