#include "sentry/seccomp/bpf_check.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cloister::seccomp {
namespace {

bool IsLoadOrStore(uint16_t code) {
  switch (code) {
    case BPF_LD | BPF_W | BPF_ABS:
    case BPF_LD | BPF_H | BPF_ABS:
    case BPF_LD | BPF_B | BPF_ABS:
    case BPF_LD | BPF_W | BPF_IND:
    case BPF_LD | BPF_H | BPF_IND:
    case BPF_LD | BPF_B | BPF_IND:
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_B | BPF_MSH:
    case BPF_LDX | BPF_IMM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
      return true;
    default:
      return false;
  }
}

bool IsArithmetic(uint16_t code) {
  if (BPF_CLASS(code) != BPF_ALU || (code & ~0xff) != 0) return false;
  if (code == (BPF_ALU | BPF_NEG)) return true;
  constexpr uint16_t kOperations[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_MOD,
                                      BPF_AND, BPF_OR,  BPF_XOR, BPF_LSH, BPF_RSH};
  return std::find(std::begin(kOperations), std::end(kOperations), BPF_OP(code)) != std::end(kOperations);
}

bool IsConditional(uint16_t code) {
  if (BPF_CLASS(code) != BPF_JMP || (code & ~0xff) != 0) return false;
  const uint16_t operation = BPF_OP(code);
  return operation == BPF_JEQ || operation == BPF_JGT || operation == BPF_JGE || operation == BPF_JSET;
}

bool IsReturn(uint16_t code) { return code == (BPF_RET | BPF_K) || code == (BPF_RET | BPF_A); }

bool IsKnown(uint16_t code) {
  return IsLoadOrStore(code) || IsArithmetic(code) || IsConditional(code) || IsReturn(code) ||
         code == (BPF_JMP | BPF_JA) || code == (BPF_MISC | BPF_TAX) || code == (BPF_MISC | BPF_TXA);
}

// Linux: bpf_anc_helper. Data beside the packet, of which a filter of seccomp(2) has none.
bool IsAncillary(uint32_t k) {
  const uint32_t what = k - static_cast<uint32_t>(SKF_AD_OFF);
  return what < SKF_AD_MAX && what % 4 == 0;
}

// `left` instructions follow it.
bool HasGoodOperand(const sock_filter& insn, size_t left) {
  switch (insn.code) {
    case BPF_ALU | BPF_DIV | BPF_K:
    case BPF_ALU | BPF_MOD | BPF_K:
      return insn.k != 0;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K:
      return insn.k < 32;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
      return insn.k < BPF_MEMWORDS;
    case BPF_LD | BPF_W | BPF_ABS:
    case BPF_LD | BPF_H | BPF_ABS:
    case BPF_LD | BPF_B | BPF_ABS:
      return insn.k < static_cast<uint32_t>(SKF_AD_OFF) || IsAncillary(insn.k);
    case BPF_JMP | BPF_JA:
      return insn.k < left;
    default:
      return !IsConditional(insn.code) || (insn.jt < left && insn.jf < left);
  }
}

// Whether every cell has been written on all ways to where it is read. Linux: check_load_and_stores.
bool WritesBeforeReads(std::span<const sock_filter> code) {
  std::vector<uint16_t> on_arrival(code.size(), 0xffff);  // a bit for each cell, of jumps to there
  uint16_t written = 0;
  for (size_t pc = 0; pc < code.size(); ++pc) {
    const sock_filter& insn = code[pc];
    written &= on_arrival[pc];
    const auto cell = static_cast<uint16_t>(1u << (insn.k & 15));
    if (insn.code == BPF_ST || insn.code == BPF_STX) {
      written |= cell;
    } else if (insn.code == (BPF_LD | BPF_MEM) || insn.code == (BPF_LDX | BPF_MEM)) {
      if ((written & cell) == 0) return false;
    } else if (insn.code == (BPF_JMP | BPF_JA)) {
      on_arrival[pc + 1 + insn.k] &= written;
      written = 0xffff;
    } else if (IsConditional(insn.code)) {
      on_arrival[pc + 1 + insn.jt] &= written;
      on_arrival[pc + 1 + insn.jf] &= written;
      written = 0xffff;
    }
  }
  return true;
}

size_t ConvertedLength(const sock_filter& insn) {
  switch (insn.code) {
    case BPF_RET | BPF_K:
      return 2;
    case BPF_ALU | BPF_DIV | BPF_X:
      return 5;  // returns 0 where X is
    default:
      break;
  }
  if (!IsConditional(insn.code)) return 1;
  // A constant that is negative as a signed one goes through a register; there is one target beside the next
  // instruction; and no opposite of JSET.
  const size_t constant = BPF_SRC(insn.code) == BPF_K && static_cast<int32_t>(insn.k) < 0 ? 1 : 0;
  const bool one_jump = insn.jf == 0 || (insn.jt == 0 && BPF_OP(insn.code) != BPF_JSET);
  return constant + (one_jump ? 1 : 2);
}

}  // namespace

bool IsClassicBpf(std::span<const sock_filter> code) {
  if (code.empty() || code.size() > BPF_MAXINSNS || !IsReturn(code.back().code)) return false;
  for (size_t pc = 0; pc < code.size(); ++pc) {
    if (!IsKnown(code[pc].code) || !HasGoodOperand(code[pc], code.size() - pc - 1)) return false;
  }
  return WritesBeforeReads(code);
}

bool IsSeccompFilter(std::span<const sock_filter> code) {
  if (!IsClassicBpf(code)) return false;
  return std::all_of(code.begin(), code.end(), [](const sock_filter& insn) {
    switch (insn.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        return insn.k < sizeof(seccomp_data) && insn.k % 4 == 0;
      case BPF_LD | BPF_H | BPF_ABS:
      case BPF_LD | BPF_B | BPF_ABS:
      case BPF_LD | BPF_W | BPF_IND:
      case BPF_LD | BPF_H | BPF_IND:
      case BPF_LD | BPF_B | BPF_IND:
      case BPF_LDX | BPF_B | BPF_MSH:
      case BPF_ALU | BPF_MOD | BPF_K:
      case BPF_ALU | BPF_MOD | BPF_X:
        return false;
      default:
        return true;
    }
  });
}

size_t ConvertedLength(std::span<const sock_filter> code) {
  size_t length = 3;  // clears A and X, keeps the data's address
  for (const sock_filter& insn : code) length += ConvertedLength(insn);
  return length;
}

}  // namespace cloister::seccomp
