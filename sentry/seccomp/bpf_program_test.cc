#include "sentry/seccomp/bpf_program.h"

#include <gtest/gtest.h>
#include <linux/audit.h>

#include <random>

#include "sentry/seccomp/bpf_check.h"

namespace cloister::seccomp {
namespace {

using Code = std::vector<sock_filter>;

constexpr sock_filter kAllow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
constexpr sock_filter kReturnA = BPF_STMT(BPF_RET | BPF_A, 0);

sock_filter Statement(int code, uint32_t k = 0) { return BPF_STMT(static_cast<uint16_t>(code), k); }
sock_filter Jump(int code, uint32_t k, uint8_t jt, uint8_t jf) {
  return BPF_JUMP(static_cast<uint16_t>(code), k, jt, jf);
}
sock_filter LoadWord(uint32_t offset) { return Statement(BPF_LD | BPF_W | BPF_ABS, offset); }

bool IsTaken(Code code) { return BpfProgram::Make(std::move(code)).ok(); }

seccomp_data Data() {
  seccomp_data data = {};
  data.nr = 42;
  data.arch = AUDIT_ARCH_X86_64;
  data.instruction_pointer = 0x1122334455667788;
  for (int i = 0; i < 6; ++i) data.args[i] = 0x100000000u * (i + 1) + 0x10u * (i + 1);
  return data;
}

uint32_t Result(Code code) {
  const ErrnoOr<BpfProgram> program = BpfProgram::Make(std::move(code));
  EXPECT_TRUE(program.ok());
  return program.ok() ? program->Run(Data()) : 0;
}

TEST(BpfCheckTest, LengthAndEnd) {
  EXPECT_FALSE(IsTaken({}));
  EXPECT_TRUE(IsTaken({kAllow}));
  EXPECT_TRUE(IsTaken({kReturnA}));
  EXPECT_FALSE(IsTaken({Statement(BPF_LD | BPF_IMM)}));
  EXPECT_FALSE(IsTaken({kAllow, Statement(BPF_MISC | BPF_TAX)}));
  EXPECT_TRUE(IsTaken(Code(BPF_MAXINSNS, kAllow)));
  EXPECT_FALSE(IsTaken(Code(BPF_MAXINSNS + 1, kAllow)));
}

TEST(BpfCheckTest, UnknownInstructions) {
  for (uint32_t code = 0; code <= 0xffff; ++code) {
    if (code < 0x100) continue;
    ASSERT_FALSE(IsTaken({{static_cast<uint16_t>(code), 0, 0, 0}, kAllow})) << code;
  }
  EXPECT_FALSE(IsTaken({Statement(BPF_RET | BPF_X), kAllow}));
  EXPECT_FALSE(IsTaken({Statement(BPF_ALU | 0xb0), kAllow}));
  EXPECT_FALSE(IsTaken({Statement(BPF_MISC | 0x40), kAllow}));
}

TEST(BpfCheckTest, WhatFiltersOfSyscallsMayNot) {
  // Classic BPF, but nothing for a filter of system calls.
  for (const int code : {BPF_LD | BPF_H | BPF_ABS, BPF_LD | BPF_B | BPF_ABS, BPF_LD | BPF_W | BPF_IND,
                         BPF_LDX | BPF_B | BPF_MSH, BPF_ALU | BPF_MOD | BPF_X}) {
    const Code program = {Statement(code), kAllow};
    EXPECT_TRUE(IsClassicBpf(program)) << code;
    EXPECT_FALSE(IsTaken(program)) << code;
  }
  EXPECT_FALSE(IsTaken({Statement(BPF_ALU | BPF_MOD | BPF_K, 3), kAllow}));
}

TEST(BpfCheckTest, LoadsStayInsideTheData) {
  for (uint32_t offset = 0; offset < sizeof(seccomp_data); ++offset)
    EXPECT_EQ(IsTaken({LoadWord(offset), kAllow}), offset % 4 == 0) << offset;
  for (const uint32_t offset : {64u, 68u, 0x7ffffffcu, 0xfffffffcu, 0xfffff000u, 0xfffff004u})
    EXPECT_FALSE(IsTaken({LoadWord(offset), kAllow})) << offset;
}

TEST(BpfCheckTest, Constants) {
  EXPECT_FALSE(IsTaken({Statement(BPF_ALU | BPF_DIV | BPF_K, 0), kAllow}));
  EXPECT_TRUE(IsTaken({Statement(BPF_ALU | BPF_DIV | BPF_K, 1), kAllow}));
  EXPECT_TRUE(IsTaken({Statement(BPF_ALU | BPF_LSH | BPF_K, 31), kAllow}));
  EXPECT_FALSE(IsTaken({Statement(BPF_ALU | BPF_LSH | BPF_K, 32), kAllow}));
  EXPECT_FALSE(IsTaken({Statement(BPF_ALU | BPF_RSH | BPF_K, ~0u), kAllow}));
  EXPECT_TRUE(IsTaken({Statement(BPF_ST, 15), kAllow}));
  EXPECT_FALSE(IsTaken({Statement(BPF_ST, 16), kAllow}));
  EXPECT_FALSE(IsTaken({Statement(BPF_STX, ~0u), kAllow}));
}

TEST(BpfCheckTest, JumpsStayInside) {
  EXPECT_TRUE(IsTaken({Statement(BPF_JMP | BPF_JA, 0), kAllow}));
  EXPECT_FALSE(IsTaken({Statement(BPF_JMP | BPF_JA, 1), kAllow}));
  EXPECT_FALSE(IsTaken({Statement(BPF_JMP | BPF_JA, ~0u), kAllow}));
  EXPECT_FALSE(IsTaken({Statement(BPF_JMP | BPF_JA, ~1u), kAllow}));
  EXPECT_TRUE(IsTaken({Jump(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), kAllow, kAllow}));
  EXPECT_FALSE(IsTaken({Jump(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0), kAllow, kAllow}));
  EXPECT_FALSE(IsTaken({Jump(BPF_JMP | BPF_JSET | BPF_X, 0, 0, 255), kAllow, kAllow}));
}

TEST(BpfCheckTest, CellsAreWrittenBeforeTheyAreRead) {
  EXPECT_FALSE(IsTaken({Statement(BPF_LD | BPF_MEM, 3), kAllow}));
  EXPECT_TRUE(IsTaken({Statement(BPF_ST, 3), Statement(BPF_LD | BPF_MEM, 3), kAllow}));
  EXPECT_FALSE(IsTaken({Statement(BPF_ST, 2), Statement(BPF_LDX | BPF_MEM, 3), kAllow}));
  // On one of two ways alone.
  EXPECT_FALSE(IsTaken({Jump(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), Statement(BPF_ST, 1),
                        Statement(BPF_LD | BPF_MEM, 1), kAllow}));
  EXPECT_TRUE(IsTaken({Statement(BPF_ST, 1), Jump(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), Statement(BPF_ST, 1),
                       Statement(BPF_LD | BPF_MEM, 1), kAllow}));
  // Behind a jump that passes it by.
  EXPECT_FALSE(IsTaken(
      {Statement(BPF_JMP | BPF_JA, 1), Statement(BPF_ST, 1), Statement(BPF_LD | BPF_MEM, 1), kAllow}));
}

TEST(BpfProgramTest, Loads) {
  const seccomp_data data = Data();
  EXPECT_EQ(Result({LoadWord(0), kReturnA}), 42u);
  EXPECT_EQ(Result({LoadWord(4), kReturnA}), uint32_t{AUDIT_ARCH_X86_64});
  EXPECT_EQ(Result({LoadWord(8), kReturnA}), 0x55667788u);
  EXPECT_EQ(Result({LoadWord(12), kReturnA}), 0x11223344u);
  EXPECT_EQ(Result({LoadWord(60), kReturnA}), static_cast<uint32_t>(data.args[5] >> 32));
  EXPECT_EQ(Result({Statement(BPF_LD | BPF_W | BPF_LEN), kReturnA}), 64u);
  EXPECT_EQ(Result({Statement(BPF_LDX | BPF_W | BPF_LEN), Statement(BPF_MISC | BPF_TXA), kReturnA}), 64u);
  EXPECT_EQ(Result({kReturnA}), 0u);
  EXPECT_EQ(Result({Statement(BPF_MISC | BPF_TXA), kReturnA}), 0u);
}

TEST(BpfProgramTest, Arithmetic) {
  const auto compute = [](int operation, uint32_t a, uint32_t b) {
    const uint32_t by_k =
        Result({Statement(BPF_LD | BPF_IMM, a), Statement(BPF_ALU | operation | BPF_K, b), kReturnA});
    const uint32_t by_x = Result({Statement(BPF_LD | BPF_IMM, a), Statement(BPF_LDX | BPF_IMM, b),
                                  Statement(BPF_ALU | operation | BPF_X), kReturnA});
    EXPECT_EQ(by_k, by_x) << operation;
    return by_k;
  };
  EXPECT_EQ(compute(BPF_ADD, ~0u, 2), 1u);
  EXPECT_EQ(compute(BPF_SUB, 1, 2), ~0u);
  EXPECT_EQ(compute(BPF_MUL, 0x10001, 0x10001), 0x20001u);
  EXPECT_EQ(compute(BPF_DIV, 7, 2), 3u);
  EXPECT_EQ(compute(BPF_DIV, 0x80000000, ~0u), 0u);
  EXPECT_EQ(compute(BPF_AND, 6, 3), 2u);
  EXPECT_EQ(compute(BPF_OR, 6, 3), 7u);
  EXPECT_EQ(compute(BPF_XOR, 6, 3), 5u);
  EXPECT_EQ(compute(BPF_LSH, 3, 31), 0x80000000u);
  EXPECT_EQ(compute(BPF_RSH, 0x80000000, 31), 1u);
  EXPECT_EQ(Result({Statement(BPF_LD | BPF_IMM, 1), Statement(BPF_ALU | BPF_NEG), kReturnA}), ~0u);
}

TEST(BpfProgramTest, DivisionByAZeroInXReturnsZero) {
  EXPECT_EQ(Result({Statement(BPF_LD | BPF_IMM, 7), Statement(BPF_ALU | BPF_DIV | BPF_X), kAllow}), 0u);
}

TEST(BpfProgramTest, ShiftsByXTakeItsLowBits) {
  for (const auto& [by, result] : {std::pair{32u, 5u}, {33u, 10u}, {~0u, 0x80000000u}}) {
    EXPECT_EQ(Result({Statement(BPF_LD | BPF_IMM, 5), Statement(BPF_LDX | BPF_IMM, by),
                      Statement(BPF_ALU | BPF_LSH | BPF_X), kReturnA}),
              result);
  }
}

TEST(BpfProgramTest, Jumps) {
  const auto jumps = [](int operation, uint32_t a, uint32_t b) {
    return Result({Statement(BPF_LD | BPF_IMM, a), Jump(BPF_JMP | operation | BPF_K, b, 1, 0),
                   Statement(BPF_RET | BPF_K, 1), Statement(BPF_RET | BPF_K, 2)}) == 2;
  };
  EXPECT_TRUE(jumps(BPF_JEQ, 5, 5));
  EXPECT_FALSE(jumps(BPF_JEQ, 5, 6));
  EXPECT_TRUE(jumps(BPF_JGT, ~0u, 1));  // unsigned
  EXPECT_FALSE(jumps(BPF_JGT, 1, 1));
  EXPECT_TRUE(jumps(BPF_JGE, 1, 1));
  EXPECT_FALSE(jumps(BPF_JGE, 0, 1));
  EXPECT_TRUE(jumps(BPF_JSET, 6, 2));
  EXPECT_FALSE(jumps(BPF_JSET, 4, 2));
  EXPECT_EQ(Result({Statement(BPF_JMP | BPF_JA, 1), kAllow, Statement(BPF_RET | BPF_K, 3)}), 3u);
}

TEST(BpfProgramTest, Cells) {
  Code code;
  for (uint32_t cell = 0; cell < BPF_MEMWORDS; ++cell) {
    code.push_back(Statement(BPF_LD | BPF_IMM, 100 + cell));
    code.push_back(Statement(BPF_ST, cell));
  }
  code.push_back(Statement(BPF_LDX | BPF_MEM, 15));
  code.push_back(Statement(BPF_LD | BPF_MEM, 3));
  code.push_back(Statement(BPF_ALU | BPF_ADD | BPF_X));
  code.push_back(kReturnA);
  EXPECT_EQ(Result(code), 103u + 115u);
}

TEST(BpfProgramTest, WhatDependsOnTheNumberAlone) {
  const auto on_number = [](Code code, int number) {
    return BpfProgram::Make(std::move(code))->RunOnNumber(AUDIT_ARCH_X86_64, number);
  };
  const Code by_number = {LoadWord(4), Jump(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
                          LoadWord(0), Jump(BPF_JMP | BPF_JEQ | BPF_K, 39, 1, 0),
                          kAllow,      Statement(BPF_RET | BPF_K, 7)};
  EXPECT_EQ(on_number(by_number, 39), 7u);
  EXPECT_EQ(on_number(by_number, 40), SECCOMP_RET_ALLOW);
  // An argument is looked at for one number only.
  const Code by_argument = {LoadWord(0), Jump(BPF_JMP | BPF_JEQ | BPF_K, 39, 1, 0), kAllow, LoadWord(16),
                            kReturnA};
  EXPECT_EQ(on_number(by_argument, 39), std::nullopt);
  EXPECT_EQ(on_number(by_argument, 40), SECCOMP_RET_ALLOW);
  EXPECT_EQ(on_number({LoadWord(8), kAllow}, 1), std::nullopt);
}

// Linux takes 4096 instructions for one program, and counts more than it was given.
TEST(BpfProgramTest, LengthAsLinuxCounts) {
  const auto length = [](Code code) { return BpfProgram::Make(std::move(code))->counted_length(); };
  EXPECT_EQ(length({kAllow}), 3u + 2);
  EXPECT_EQ(length({kReturnA}), 3u + 1);
  EXPECT_EQ(length({Statement(BPF_ALU | BPF_DIV | BPF_X), kReturnA}), 3u + 5 + 1);
  EXPECT_EQ(length({Jump(BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 0), kReturnA, kReturnA}), 3u + 1 + 2);
  EXPECT_EQ(length({Jump(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), kReturnA, kReturnA}), 3u + 1 + 2);
  EXPECT_EQ(length({Jump(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1), kReturnA, kReturnA}), 3u + 2 + 2);
  EXPECT_EQ(length({Jump(BPF_JMP | BPF_JEQ | BPF_K, ~0u, 1, 1), kReturnA, kReturnA}), 3u + 3 + 2);
}

// Whatever is taken runs to an end inside its bounds (under AddressSanitizer as well).
TEST(BpfProgramTest, HostilePrograms) {
  std::mt19937 random(1);  // NOLINT: the same in each run
  const uint16_t kCodes[] = {BPF_LD | BPF_W | BPF_ABS,
                             BPF_LD | BPF_MEM,
                             BPF_LDX | BPF_MEM,
                             BPF_ST,
                             BPF_STX,
                             BPF_JMP | BPF_JA,
                             BPF_JMP | BPF_JEQ | BPF_K,
                             BPF_JMP | BPF_JSET | BPF_X,
                             BPF_ALU | BPF_DIV | BPF_X,
                             BPF_ALU | BPF_LSH | BPF_X,
                             BPF_MISC | BPF_TAX,
                             BPF_RET | BPF_A};
  int taken = 0;
  for (int round = 0; round < 200'000; ++round) {
    Code code(1 + random() % 8);
    for (sock_filter& insn : code) {
      insn.code = random() % 8 == 0 ? static_cast<uint16_t>(random()) : kCodes[random() % std::size(kCodes)];
      insn.jt = random() % 8 == 0 ? 255 : random() % 4;
      insn.jf = random() % 4;
      insn.k = random() % 8 == 0 ? random() : random() % 5 * (insn.code == BPF_ST ? 1 : 4);
    }
    code.push_back(kReturnA);
    const ErrnoOr<BpfProgram> program = BpfProgram::Make(code);
    if (!program.ok()) continue;
    ++taken;
    const uint32_t result = program->Run(Data());
    const std::optional<uint32_t> known = program->RunOnNumber(AUDIT_ARCH_X86_64, Data().nr);
    EXPECT_EQ(known.value_or(result), result);
  }
  EXPECT_GT(taken, 1000);
}

}  // namespace
}  // namespace cloister::seccomp
