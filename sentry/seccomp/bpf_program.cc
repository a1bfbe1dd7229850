#include "sentry/seccomp/bpf_program.h"

#include <cstring>
#include <span>
#include <utility>

#include "sentry/seccomp/bpf_check.h"

namespace cloister::seccomp {
namespace {

uint32_t Compute(uint16_t operation, uint32_t a, uint32_t operand) {
  switch (operation) {
    case BPF_ADD:
      return a + operand;
    case BPF_SUB:
      return a - operand;
    case BPF_MUL:
      return a * operand;
    case BPF_DIV:
      return a / operand;
    case BPF_AND:
      return a & operand;
    case BPF_OR:
      return a | operand;
    case BPF_XOR:
      return a ^ operand;
    case BPF_LSH:
      return a << (operand & 31);  // as Linux' own machine does with X
    case BPF_RSH:
      return a >> (operand & 31);
    default:  // BPF_NEG
      return -a;
  }
}

bool Compare(uint16_t operation, uint32_t a, uint32_t operand) {
  switch (operation) {
    case BPF_JEQ:
      return a == operand;
    case BPF_JGT:
      return a > operand;
    case BPF_JGE:
      return a >= operand;
    default:  // BPF_JSET
      return (a & operand) != 0;
  }
}

// load(offset, &value) gives the 32 bits at an offset of struct seccomp_data; false ends the program without
// a result. The program has been checked: it ends with a return, and nothing in it needs to be looked at
// again.
template <typename Load>
std::optional<uint32_t> Interpret(std::span<const sock_filter> code, Load load) {
  uint32_t a = 0, x = 0;
  uint32_t cells[BPF_MEMWORDS];
  for (const sock_filter* insn = code.data();; ++insn) {
    const uint32_t k = insn->k;
    switch (insn->code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (!load(k, &a)) return std::nullopt;
        break;
      case BPF_LD | BPF_W | BPF_LEN:
        a = sizeof(seccomp_data);
        break;
      case BPF_LDX | BPF_W | BPF_LEN:
        x = sizeof(seccomp_data);
        break;
      case BPF_LD | BPF_IMM:
        a = k;
        break;
      case BPF_LDX | BPF_IMM:
        x = k;
        break;
      case BPF_LD | BPF_MEM:
        a = cells[k];
        break;
      case BPF_LDX | BPF_MEM:
        x = cells[k];
        break;
      case BPF_ST:
        cells[k] = a;
        break;
      case BPF_STX:
        cells[k] = x;
        break;
      case BPF_MISC | BPF_TAX:
        x = a;
        break;
      case BPF_MISC | BPF_TXA:
        a = x;
        break;
      case BPF_RET | BPF_K:
        return k;
      case BPF_RET | BPF_A:
        return a;
      case BPF_JMP | BPF_JA:
        insn += k;
        break;
      case BPF_ALU | BPF_DIV | BPF_X:
        if (x == 0) return 0;
        a /= x;
        break;
      default: {
        const uint32_t operand = BPF_SRC(insn->code) == BPF_X ? x : k;
        if (BPF_CLASS(insn->code) == BPF_JMP) {
          insn += Compare(BPF_OP(insn->code), a, operand) ? insn->jt : insn->jf;
        } else {
          a = Compute(BPF_OP(insn->code), a, operand);
        }
        break;
      }
    }
  }
}

}  // namespace

BpfProgram::BpfProgram(std::vector<sock_filter> code)
    : code_(std::move(code)), counted_length_(ConvertedLength(code_)) {}

ErrnoOr<BpfProgram> BpfProgram::Make(std::vector<sock_filter> code) {
  if (!IsSeccompFilter(code)) return Errno::kInval;
  return BpfProgram(std::move(code));
}

uint32_t BpfProgram::Run(const seccomp_data& data) const {
  const auto load = [&data](uint32_t offset, uint32_t* value) {
    memcpy(value, reinterpret_cast<const char*>(&data) + offset, sizeof *value);
    return true;
  };
  return Interpret(code_, load).value_or(SECCOMP_RET_KILL_PROCESS);
}

std::optional<uint32_t> BpfProgram::RunOnNumber(uint32_t arch, int number) const {
  return Interpret(code_, [arch, number](uint32_t offset, uint32_t* value) {
    *value = offset == offsetof(seccomp_data, nr) ? static_cast<uint32_t>(number) : arch;
    return offset == offsetof(seccomp_data, nr) || offset == offsetof(seccomp_data, arch);
  });
}

}  // namespace cloister::seccomp
