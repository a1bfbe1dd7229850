#ifndef CLOISTER_PLATFORM_STUB_SHAPES_H_
#define CLOISTER_PLATFORM_STUB_SHAPES_H_

#include <cstdint>

#include "base/abi/syscall_signatures.h"

// Which arguments of which system calls lie in guest memory, as far as it pays to copy them inline
// (window.h): what base/abi calls `windowed`. Only a hint: what is missing there costs time, never
// correctness.

namespace cloister::stub {

struct Piece {
  enum class Kind : uint8_t {
    kNone,
    kString,  // in: a path
    kIn,      // in: `size` bytes
    kOut,     // out: `size` bytes
    kBoth,
  };
  Kind kind = Kind::kNone;
  uint8_t arg = 0;
  uint16_t size = 0;  // bytes; or of one element, of which argument `count_arg` tells the number
  int8_t count_arg = -1;
};

struct Shape {
  Piece pieces[3];
};

inline constexpr auto kString = Piece::Kind::kString;
inline constexpr auto kIn = Piece::Kind::kIn;
inline constexpr auto kOut = Piece::Kind::kOut;
inline constexpr auto kBoth = Piece::Kind::kBoth;

constexpr Piece PieceOf(const abi::Arg& arg, uint8_t place) {
  using Way = abi::Arg::Way;
  if (arg.kind == abi::Arg::Kind::kPath) return {kString, place};
  const auto kind = arg.way == Way::kIn ? kIn : arg.way == Way::kOut ? kOut : kBoth;
  const uint16_t size = arg.in_bytes ? uint16_t{1} : arg.layout->size;
  return {kind, place, size, arg.count_arg};
}

constexpr bool HasShape(const abi::Signature& call) {
  for (const abi::Arg& arg : call.args) {
    if (arg.windowed) return true;
  }
  return false;
}

constexpr Shape ShapeOf(const abi::Signature& call) {
  Shape shape;
  int used = 0;
  for (uint8_t place = 0; place < 6; ++place) {
    if (call.args[place].windowed) shape.pieces[used++] = PieceOf(call.args[place], place);
  }
  return shape;
}

constexpr int CountShapes() {
  int count = 0;
  for (const abi::Signature& call : abi::kSyscallSignatures) count += HasShape(call) ? 1 : 0;
  return count;
}

// The shapes that there are, and the place of each system call's among them by its number; 0: none.
struct Shapes {
  static constexpr uint64_t kNumbers = 512;
  constexpr Shapes() {
    uint8_t last = 0;
    for (const abi::Signature& call : abi::kSyscallSignatures) {
      if (!HasShape(call)) continue;
      place[call.number] = ++last;
      shapes[last] = ShapeOf(call);
    }
  }
  const Shape* Find(uint64_t number) const {
    const uint8_t at = number < kNumbers ? place[number] : 0;
    return at != 0 ? &shapes[at] : nullptr;
  }

  uint8_t place[kNumbers] = {};
  Shape shapes[1 + CountShapes()];
};
inline constexpr Shapes kShapes;

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_SHAPES_H_
