#include "runsc/program/evaluate.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace cloister::program {

uint64_t Evaluate(const Value& value, const Registers& registers) {
  const uint64_t at = kScratch + value.number;
  uint64_t loaded = 0;
  switch (value.kind) {
    case Value::Kind::kNumber:
      return value.number;
    case Value::Kind::kRegister:
      return static_cast<uint64_t>(registers[value.number % kRegisters].load());
    case Value::Kind::kLoad4:
      if (value.number + 4 <= kScratchSize) memcpy(&loaded, reinterpret_cast<void*>(at), 4);
      return static_cast<uint64_t>(int64_t{static_cast<int32_t>(loaded)});
    case Value::Kind::kLoad8:
      if (value.number + sizeof(loaded) <= kScratchSize)
        memcpy(&loaded, reinterpret_cast<void*>(at), sizeof(loaded));
      return loaded;
    case Value::Kind::kPointer:
      break;
  }
  std::string bytes;
  for (const Item& item : value.items) {
    bytes += item.bytes;
    if (item.width == 0) continue;
    const uint64_t member = Evaluate(item.value, registers);
    bytes.append(reinterpret_cast<const char*>(&member), item.width);
  }
  memcpy(reinterpret_cast<void*>(at), bytes.data(),
         std::min<size_t>(bytes.size(), kScratchSize - value.number));
  return at;
}

}  // namespace cloister::program
