#ifndef CLOISTER_RUNSC_PROGRAM_PROGRAM_H_
#define CLOISTER_RUNSC_PROGRAM_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/abi/syscall_signatures.h"

namespace cloister::program {

// Where every guest process has its scratch memory, from which arguments that are pointers come.
inline constexpr uint64_t kScratch = 0x10000000;
inline constexpr uint64_t kScratchSize = 0x10000;
inline constexpr int kRegisters = 32;
inline constexpr int kTasks = 8;

struct Item;

// One argument, or one member of a struct, as it is written in a program:
//   0x1f, -100     a number
//   r7             what the last call that stored in register 7 returned (-1 if none did)
//   *40, **40      the 4 or 8 bytes that lie at that offset of the scratch memory
//   &40            the address of that offset
//   &40[…]         the same, after the items between the brackets were put there: "text" or width:value
struct Value {
  enum class Kind : uint8_t { kNumber, kRegister, kLoad4, kLoad8, kPointer };
  Kind kind = Kind::kNumber;
  uint64_t number = 0;  // the number, the register, or the offset
  std::vector<Item> items;

  static Value Of(uint64_t number);
};

struct Item {
  uint8_t width = 0;  // of the value: 1, 2, 4 or 8 bytes; 0: `bytes` instead
  std::string bytes;
  Value value;
};

inline Value Value::Of(uint64_t number) { return {Kind::kNumber, number, {}}; }

// One line: "2 r7 = openat(-100, &40["a"], 0x42, 0x1ff)". The first number chooses the task.
struct Call {
  uint8_t task = 0;
  int8_t into = -1;  // the register for the result, or -1
  const abi::Signature* signature = nullptr;
  std::vector<Value> args;
};

// A program for a whole sandbox: calls of several tasks, one after another or, if it races, those of odd
// tasks on a second thread of the host. As text it is one call a line, which any editor can shorten.
struct Program {
  bool races = false;
  std::vector<Call> calls;
};

inline constexpr size_t kMostCalls = 256;

// Takes any bytes: a line that is no call is left out, and so is what follows the first kMostCalls calls.
Program Parse(std::string_view text);
// The number of the first line, from 1, that Parse() would leave out although it is neither empty nor a
// comment
// ("# …"); 0 if there is none.
size_t FindBadLine(std::string_view text);
std::string Print(const Program& program);

}  // namespace cloister::program

#endif  // CLOISTER_RUNSC_PROGRAM_PROGRAM_H_
