// What gate.S knows of struct Context and of the patch table: plain numbers, asserted in context.h and
// patch.h. Included by assembly and by C++.
#ifndef CLOISTER_PLATFORM_STUB_OFFSETS_H_
#define CLOISTER_PLATFORM_STUB_OFFSETS_H_

#define STUB_CONTEXT_SELF 256
#define STUB_CONTEXT_MAGIC 264
#define STUB_CONTEXT_INTERRUPTED 268
#define STUB_CONTEXT_STACK 272
#define STUB_CONTEXT_COMPARES 288

// By this a patched call knows that GS still is the stub's.
#define STUB_MAGIC 0x5bc1a6e3

// No system call of the host: the stub traps itself to get a signal frame underfoot.
#define STUB_REFRAME_NR 4001

// struct user_regs_struct, sys/user.h.
#define STUB_REG_R15 0
#define STUB_REG_R14 8
#define STUB_REG_R13 16
#define STUB_REG_R12 24
#define STUB_REG_RBP 32
#define STUB_REG_RBX 40
#define STUB_REG_R11 48
#define STUB_REG_R10 56
#define STUB_REG_R9 64
#define STUB_REG_R8 72
#define STUB_REG_RAX 80
#define STUB_REG_RCX 88
#define STUB_REG_RDX 96
#define STUB_REG_RSI 104
#define STUB_REG_RDI 112
#define STUB_REG_ORIG_RAX 120
#define STUB_REG_RIP 128
#define STUB_REG_CS 136
#define STUB_REG_EFLAGS 144
#define STUB_REG_RSP 152
#define STUB_REG_SS 160

// asm/segment.h: __USER_CS, __USER_DS.
#define STUB_USER_CS 0x33
#define STUB_USER_SS 0x2b

#endif  // CLOISTER_PLATFORM_STUB_OFFSETS_H_
