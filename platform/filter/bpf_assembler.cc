#include "platform/filter/bpf_assembler.h"

#include <cstddef>
#include <cstring>

namespace cloister::filter {
namespace {

constexpr size_t kUnbound = SIZE_MAX;
constexpr size_t kMaxDistance = 255;

}  // namespace

BpfAssembler::Label BpfAssembler::NewLabel() {
  labels_.push_back(kUnbound);
  return {labels_.size() - 1};
}

void BpfAssembler::Bind(Label label) { labels_[label.id] = program_.size(); }

void BpfAssembler::Emit(uint16_t code, uint32_t k) { program_.push_back({code, 0, 0, k}); }

void BpfAssembler::EmitJump(uint16_t code, uint32_t k, Label to, bool if_true) {
  fixups_.push_back({program_.size(), to.id, if_true});
  Emit(code, k);
}

void BpfAssembler::Load(uint32_t offset) { Emit(BPF_LD | BPF_W | BPF_ABS, offset); }
void BpfAssembler::LoadArgLow(int arg) {
  Load(static_cast<uint32_t>(offsetof(seccomp_data, args) + sizeof(uint64_t) * arg));
}
void BpfAssembler::LoadArgHigh(int arg) {
  Load(static_cast<uint32_t>(offsetof(seccomp_data, args) + sizeof(uint64_t) * arg + sizeof(uint32_t)));
}
void BpfAssembler::And(uint32_t mask) { Emit(BPF_ALU | BPF_AND | BPF_K, mask); }
void BpfAssembler::ShiftRightByX() { Emit(BPF_ALU | BPF_RSH | BPF_X, 0); }
void BpfAssembler::LoadConstant(uint32_t value) { Emit(BPF_LD | BPF_IMM, value); }
void BpfAssembler::MoveToX() { Emit(BPF_MISC | BPF_TAX, 0); }

void BpfAssembler::Jump(Label to) { EmitJump(BPF_JMP | BPF_JA, 0, to, true); }
void BpfAssembler::JumpIfEqual(uint32_t value, Label to) {
  EmitJump(BPF_JMP | BPF_JEQ | BPF_K, value, to, true);
}
void BpfAssembler::JumpUnlessEqual(uint32_t value, Label to) {
  EmitJump(BPF_JMP | BPF_JEQ | BPF_K, value, to, false);
}
void BpfAssembler::JumpIfAbove(uint32_t value, Label to) {
  EmitJump(BPF_JMP | BPF_JGT | BPF_K, value, to, true);
}
void BpfAssembler::JumpIfBelow(uint32_t value, Label to) {
  EmitJump(BPF_JMP | BPF_JGE | BPF_K, value, to, false);
}
void BpfAssembler::JumpIfAnyBit(uint32_t mask, Label to) {
  EmitJump(BPF_JMP | BPF_JSET | BPF_K, mask, to, true);
}
void BpfAssembler::JumpIfAboveX(Label to) { EmitJump(BPF_JMP | BPF_JGT | BPF_X, 0, to, true); }
void BpfAssembler::JumpIfEqualX(Label to) { EmitJump(BPF_JMP | BPF_JEQ | BPF_X, 0, to, true); }
void BpfAssembler::Return(uint32_t action) { Emit(BPF_RET | BPF_K, action); }

absl::StatusOr<std::vector<sock_filter>> BpfAssembler::Finish() {
  for (const Fixup& fixup : fixups_) {
    const size_t target = labels_[fixup.label];
    if (target == kUnbound || target <= fixup.at || target >= program_.size()) {
      return absl::InternalError("BPF: a jump goes nowhere or back");
    }
    const size_t distance = target - fixup.at - 1;
    sock_filter& jump = program_[fixup.at];
    if (BPF_OP(jump.code) == BPF_JA) {
      jump.k = static_cast<uint32_t>(distance);
      continue;
    }
    if (distance > kMaxDistance) return absl::InternalError("BPF: a jump is too far");
    (fixup.if_true ? jump.jt : jump.jf) = static_cast<uint8_t>(distance);
  }
  return program_;
}

namespace {

bool Holds(const sock_filter& jump, uint32_t a, uint32_t x) {
  const uint32_t operand = BPF_SRC(jump.code) == BPF_X ? x : jump.k;
  switch (BPF_OP(jump.code)) {
    case BPF_JEQ:
      return a == operand;
    case BPF_JGT:
      return a > operand;
    case BPF_JGE:
      return a >= operand;
    case BPF_JSET:
      return (a & operand) != 0;
  }
  return true;
}

}  // namespace

uint32_t InterpretBpf(std::span<const sock_filter> program, const seccomp_data& data) {
  uint32_t a = 0, x = 0;
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const sock_filter& at = program[pc];
    switch (BPF_CLASS(at.code)) {
      case BPF_LD:
        if (BPF_MODE(at.code) == BPF_IMM) {
          a = at.k;
        } else {
          memcpy(&a, reinterpret_cast<const char*>(&data) + at.k, sizeof a);
        }
        break;
      case BPF_ALU:
        a = BPF_OP(at.code) == BPF_AND ? a & at.k : (x < 32 ? a >> x : 0);
        break;
      case BPF_MISC:
        x = a;
        break;
      case BPF_JMP:
        pc += BPF_OP(at.code) == BPF_JA ? at.k : (Holds(at, a, x) ? at.jt : at.jf);
        break;
      case BPF_RET:
        return at.k;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

}  // namespace cloister::filter
