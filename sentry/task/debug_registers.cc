#include "sentry/task/debug_registers.h"

#include <algorithm>
#include <span>
#include <utility>

namespace cloister::task {
namespace {

constexpr int kStatus = 6, kControl = 7;
constexpr uint64_t kStatusOnes = 0xffff0ff0;  // bits of DR6 that read as 1
constexpr uint64_t kUserEnd = 0x7ffffffff000;
constexpr unsigned kExecute = 0, kWrite = 1;  // types of DR7

}  // namespace

size_t DebugRegisters::Length(int n) const {
  constexpr size_t kLengths[] = {1, 2, 8, 4};
  return kLengths[control_ >> (18 + 4 * n) & 3];
}

bool DebugRegisters::IsGood(int n) const {
  if (!IsEnabled(n)) return true;
  if (address_[n] >= kUserEnd || address_[n] % Length(n) != 0) return false;
  return Type(n) == kWrite || (Type(n) == kExecute && Length(n) == 1);
}

uint64_t DebugRegisters::Get(int number) const {
  if (number < kCount) return address_[number];
  if (number == kStatus) return status_ ^ kStatusOnes;
  return number == kControl ? control_ : 0;
}

ErrnoOrVoid DebugRegisters::Set(int number, uint64_t value) {
  if (number < 0 || number > kControl || (number >= kCount && number < kStatus)) return Errno::kIo;
  if (number == kStatus) {
    status_ = value ^ kStatusOnes;
    return {};
  }
  uint64_t& place = number == kControl ? control_ : address_[number];
  const uint64_t before = std::exchange(place, value);
  for (int n = 0; n < kCount; ++n) {
    if (IsGood(n)) continue;
    place = before;
    return Errno::kInval;
  }
  return {};
}

uint64_t DebugRegisters::Value(int n, platform::AddressSpace& space) const {
  uint64_t value = 0;
  static_cast<void>(space.Read(address_[n], std::as_writable_bytes(std::span(&value, 1)).first(Length(n))));
  return value;
}

void DebugRegisters::Remember(platform::AddressSpace& space) {
  for (int n = 0; n < kCount; ++n) {
    if (IsEnabled(n) && Type(n) == kWrite) seen_[n] = Value(n, space);
  }
}

bool DebugRegisters::Hit(uint64_t rip, platform::AddressSpace& space) {
  bool hit = false;
  for (int n = 0; n < kCount; ++n) {
    if (!IsEnabled(n)) continue;
    const uint64_t before = seen_[n];
    if (Type(n) == kWrite) seen_[n] = Value(n, space);
    if (Type(n) == kExecute ? rip != address_[n] : seen_[n] == before) continue;
    status_ |= uint64_t{1} << n;
    hit = true;
  }
  return hit;
}

}  // namespace cloister::task
